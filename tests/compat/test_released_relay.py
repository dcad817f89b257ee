"""The released exec-server and its client with the other end of ours, through a registry and a rendezvous."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from executors.transport.noise_keys import PublicKey
from executors.transport.relay_pb2 import RelayMessageFrame
from harness.client import Client, ConnectFailed, State
from harness.environments.base import Running
from harness.environments.remote import RemoteEnvironment
from harness.executor_kinds.codex import guard
from harness.remote.options import RemoteOptions
from harness.remote.registry import Bundle, HarnessRegistry
from harness.rendezvous.registry import Code, Refusal
from harness.rendezvous.signing import Role
from harness.rendezvous.store import Store, open_store
from tests.compat.model import StubModel, ended, run, write
from tests.compat.peer import Peer
from tests.relay.harness import HandshakeFailed, harness
from tests.relay.peer import ENVIRONMENT_ID as PEER_ID
from tests.relay.peer import open_peer, released
from tests.relay.served import COUNT, COUNTED, ENVIRONMENT_ID, Served, executor, served
from tests.support.launch import Executor
from tests.support.rendezvous import Call, Reply
from tests.support.watch import SECONDS

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "rendezvous.sqlite") as opened:
        yield opened


@pytest.fixture
async def service(anyio_backend: str, store: Store, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(store, tmp_path) as made:
        yield made


@pytest.fixture
async def running(service: Served, peer: Peer) -> AsyncIterator[Running]:
    """The released executor, as an environment of ours."""
    async with released(str(peer.program), service), service.environment().start() as up:
        yield up


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not happened():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


async def recovered(client: Client) -> None:
    await until(lambda: client.recovered > 0 or client.state is State.FAILED)
    assert client.state is not State.FAILED, await client.wait_lost()


async def loses_nothing(client: Client, trouble: Callable[[], Awaitable[None]]) -> None:
    """Has *trouble* come in the middle of a process that talks and listens."""
    process = await client.start(COUNT, stdin=True)
    await trouble()
    await recovered(client)
    await process.write(b"it\n")
    done = await process.communicate()
    assert (done.exit_code, done.stdout) == (0, COUNTED + b"got it\n")


def refuse(monkeypatch: pytest.MonkeyPatch, service: Served, name: str, role: Role, code: Code) -> list[None]:
    """Has the service refuse one side once, when it dials (admit) or is asked about (validate); returns what
    grows by one then."""
    registry = service.service._registry
    real = getattr(registry, name)
    refused: list[None] = []

    def answer(*given: Any) -> Any:
        if not refused and (name == "validate" or given[0].get("role") == role):
            refused.append(None)
            raise Refusal(code, "not now")
        return real(*given)

    monkeypatch.setattr(registry, name, answer)
    return refused


# The released executor


async def test_a_command_runs_and_its_output_comes(running: Running) -> None:
    assert running.info.executor_version == "0.169.0"
    async with running.connect() as client:
        done = await client.run(["sh", "-c", "echo hello; head -c 3000000 /dev/zero; exit 3"])
        again = await client.run(["pwd"], cwd=running.workspace_root)
    assert (done.exit_code, done.stdout) == (3, b"hello\n" + bytes(3_000_000))
    assert again.stdout.decode().strip() == running.workspace_root.render()


async def test_files_of_several_mebibytes_go_both_ways(running: Running) -> None:
    content = bytes(range(256)) * 4 * 5 * 1024
    async with running.connect() as client:
        file = running.workspace_root.join("file")
        await client.files.write_file(file, content)
        assert await client.files.read_file(file) == content


async def test_messages_share_records_and_are_cut_into_many(peer: Peer) -> None:
    async with open_peer(str(peer.program)) as service, harness(service, PEER_ID) as client:
        await client.initialize()
        together = [client.queue("environment/status") for _ in range(3)]
        await client.flush()
        async with asyncio.timeout(SECONDS):
            assert [(await reply)["result"] for reply in together] == [{"status": "ready"}] * 3
        reply = await client.ask("unknown", {"big": "x" * (5 * 1024 * 1024)})
        assert reply["error"]["code"] == -32601
        assert await client.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize("role", ["harness", "executor"])
async def test_a_cut_on_either_side_loses_nothing(service: Served, running: Running, role: Role) -> None:
    async def cut() -> None:
        service.cut(role)

    async with running.connect() as client:
        await loses_nothing(client, cut)
    assert service.registered() == 1


async def test_a_service_that_is_started_anew_loses_nothing(service: Served, running: Running) -> None:
    async def restart() -> None:
        await service.stop()
        await service.start()

    async with running.connect() as client:
        await loses_nothing(client, restart)
    assert service.registered() == 1


@pytest.mark.parametrize(
    ("code", "registrations"),
    [("unauthorized", 2), ("forbidden", 2), ("conflict", 2), ("executor_offline", 1)],
)
async def test_it_registers_anew_where_its_url_is_refused_and_dials_again_elsewhere(
    service: Served, running: Running, monkeypatch: pytest.MonkeyPatch, code: Code, registrations: int
) -> None:
    """401, 403 and 409; not 503. It keeps its key, and so its sessions."""
    refused = refuse(monkeypatch, service, "admit", "executor", code)

    async def cut() -> None:
        service.cut("executor")

    async with running.connect() as client:
        await loses_nothing(client, cut)
    assert len(refused) == 1
    assert service.registered() == registrations


async def test_a_harness_that_the_registry_refuses_is_told_so(
    service: Served, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our harness comes once more, with a fresh bundle."""
    async with released(str(peer.program), service):
        refused = refuse(monkeypatch, service, "validate", "harness", "unauthorized")
        async with service.environment().start() as up, up.connect() as client:
            assert (await client.run(["echo", "there"])).stdout == b"there\n"
    assert len(refused) == 1


async def test_a_refusal_is_in_the_handshake(peer: Peer) -> None:
    async def answer(call: Call) -> Reply | None:
        return Reply(401, {}) if call.action == "validate" else None

    async with open_peer(str(peer.program)) as service:
        service.answer = answer
        with pytest.raises(HandshakeFailed) as raised:
            async with harness(service, PEER_ID):
                pass
        assert raised.value.refused


async def test_a_harness_whose_token_is_revoked_is_cut_off_and_another_is_not(
    service: Served, store: Store, running: Running, tmp_path: Path
) -> None:
    token, secret = store.add_token(ENVIRONMENT_ID, "harness", 0.0, None)
    file = tmp_path / "other"
    file.write_text(secret)
    options = RemoteOptions(registry=service.url, token_file=file)
    connect = RemoteEnvironment(ENVIRONMENT_ID, options).clients()
    async with running.connect() as client, connect("other") as other:
        assert (await other.run(["echo", "there"])).stdout == b"there\n"
        assert store.revoke_token(token.id, 1.0)
        await until(lambda: other.state is not State.CONNECTED)
        with pytest.raises(ConnectFailed, match="status 401"):
            async with connect("again"):
                pass
        assert (await client.run(["echo", "still"])).stdout == b"still\n"
        assert client.recovered == 0


async def test_an_executor_whose_token_is_revoked_is_cut_off_and_ends(
    service: Served, store: Store, peer: Peer
) -> None:
    """Its registry refuses it for good."""
    (token,) = [each for each in store.tokens() if each.role == "executor"]
    async with released(str(peer.program), service) as process:
        assert store.revoke_token(token.id, 1.0)
        async with asyncio.timeout(SECONDS):
            assert await process.wait() == 1


async def test_who_comes_back_after_a_reset_resumes_its_session(service: Served, peer: Peer) -> None:
    """By the harness, or by the rendezvous on behalf of one that has gone."""
    async with released(str(peer.program), service):
        session = None
        for way in ("reset", "gone", "end"):
            async with harness(service, ENVIRONMENT_ID) as client:
                told = await client.initialize(resumeSessionId=session)
                assert session in (None, told["sessionId"])
                session = told["sessionId"]
                if way == "reset":
                    await client.reset()


async def test_a_second_one_takes_the_place_and_the_first_waits(service: Served, peer: Peer) -> None:
    async with released(str(peer.program), service), released(str(peer.program), service):
        await until(lambda: service.log.getvalue().count('"outcome": "displaced"') > 1)
        async with service.environment().start() as up, up.connect() as client:
            assert (await client.run(["echo", "there"])).stdout == b"there\n"
    assert service.registered() == 2


async def test_nothing_secret_is_in_its_log(
    service: Served, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is logged where ``--executor=codex`` dials out, where a token would come into a report."""
    bundles: list[Bundle] = []
    real = HarnessRegistry.connect

    async def connect(self: HarnessRegistry, key: PublicKey) -> Bundle:
        bundles.append(await real(self, key))
        return bundles[-1]

    monkeypatch.setattr(HarnessRegistry, "connect", connect)
    refuse(monkeypatch, service, "validate", "harness", "unauthorized")
    file = tmp_path / "log"
    with file.open("wb") as log:
        async with (
            released(str(peer.program), service, log=log, RUST_LOG=guard.LOGGED),
            service.environment().start() as up,
            up.connect() as client,
        ):
            service.cut("executor")
            await recovered(client)
    text = file.read_text()
    assert text.count("Noise executor connected to rendezvous") == 2
    secrets = [service.token, service.executor_token, "signature="]
    for bundle in bundles:
        secrets += [bundle.harness_key_authorization, bundle.url.rpartition("signature=")[2]]
    assert len(secrets) > 5
    assert not [secret for secret in secrets if secret in text]


async def test_it_forwards_to_our_executor_that_listens(service: Served, peer: Peer) -> None:
    """Its subcommand ``forward``: the relay is its, the executor ours."""
    with Executor() as ours:
        command = ("forward", "--connect", ours.url)
        async with released(str(peer.program), service, *command), service.environment().start() as up:
            assert up.info.capabilities.process_close_stdin
            async with up.connect() as client:
                assert (await client.run(["cat"], input=b"some input")).stdout == b"some input"


# What it lacks, and docs/compatibility.md tells of


async def test_a_session_stays_attached_unless_the_rendezvous_resets_its_stream(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: str) -> None:
        pass

    async with open_peer(str(peer.program)) as service:
        monkeypatch.setattr(service, "_reset", nothing)
        async with harness(service, PEER_ID) as client:
            session = (await client.initialize())["sessionId"]
        async with harness(service, PEER_ID) as client:
            reply = await client.ask("initialize", {"clientName": "test", "resumeSessionId": session})
    assert reply["error"]["code"] == ErrorCode.SESSION_ATTACHED


async def test_a_first_message_is_taken_again_after_its_stream_if_the_registry_says_so(peer: Peer) -> None:
    """Our service does not: an authorization is good once."""

    async with open_peer(str(peer.program)) as service:

        def handshakes(role: str) -> list[bytes]:
            return [
                frame
                for sender, frame in service.seen
                if sender == role and RelayMessageFrame.FromString(frame).WhichOneof("body") == "handshake"
            ]

        async with harness(service, PEER_ID) as client:
            await client.initialize()
        # It has been told that its stream is no more.
        await until(lambda: not service._streams)
        (first,) = handshakes("harness")
        await service.executors[PEER_ID].send(first)
        await until(lambda: len(handshakes("executor")) == 2)


# The released client


def variables(service: Served) -> dict[str, str]:
    """Returns what tells the released client of an executor behind the service."""
    return {
        "CODEX_EXEC_SERVER_NOISE_REGISTRY_URL": service.url,
        "CODEX_EXEC_SERVER_NOISE_ENVIRONMENT_ID": ENVIRONMENT_ID,
        "CODEX_EXEC_SERVER_NOISE_AUTH_TOKEN": service.token,
    }


async def test_the_released_client_runs_commands_on_our_executor(
    service: Served, peer: Peer, tmp_path: Path
) -> None:
    calls = [run("echo $((40 + 2))"), run("head -c 3000000 /dev/zero | wc -c")]
    async with executor(service):
        with StubModel(calls) as model:
            events = await asyncio.to_thread(peer.run_client, model, tmp_path, **variables(service))
            assert len(model.outputs()) == 2, events
            first, second = model.outputs()
    assert first.endswith("Process exited with code 0\nOriginal token count: 1\nOutput:\n42\n")
    assert second.endswith("Output:\n3000000\n")


@pytest.mark.parametrize("role", ["harness", "executor"])
async def test_a_cut_does_not_end_the_released_clients_command(
    service: Served, peer: Peer, tmp_path: Path, role: Role
) -> None:
    go_on = tmp_path / "go-on"
    os.mkfifo(go_on)
    knows = threading.Event()
    calls = [
        run(f"echo before; read line < {go_on}; echo $line", yield_time_ms=250),
        write("", after=knows.set, yield_time_ms=30_000),
    ]
    async with executor(service):
        with StubModel(calls) as model:
            client = asyncio.create_task(
                asyncio.to_thread(peer.run_client, model, tmp_path, **variables(service))
            )
            # Before it knows, its call would be lost with the connection.
            await until(knows.is_set)
            before = service.dialled("harness")
            service.cut(role)
            await until(lambda: service.dialled("harness") > before)
            await asyncio.to_thread(go_on.write_text, "after\n")
            events = await client
            assert len(model.outputs()) == 2, events
            first, second = model.outputs()
    code, shown = ended(second)
    # What came when is a matter of time.
    assert (code, first.partition("Output:\n")[2] + shown) == (0, "before\nafter\n")


async def test_both_of_them_meet_at_our_service(service: Served, peer: Peer, tmp_path: Path) -> None:
    async with released(str(peer.program), service):
        with StubModel([run("echo $((40 + 2))")]) as model:
            events = await asyncio.to_thread(peer.run_client, model, tmp_path, **variables(service))
            assert len(model.outputs()) == 1, events
            (output,) = model.outputs()
    assert output.endswith("Output:\n42\n")
