"""An executor behind the real service, as an environment: commands, cuts, outages, refusals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executors.transport.noise_keys import KeyPair, PublicKey
from fixtures.wire import Wire
from harness.client import (
    Client,
    ConnectFailed,
    ExecutorKeyChanged,
    LinkOptions,
    MessageTooLarge,
    RpcError,
    SessionLost,
    State,
)
from harness.environments import make_environment, read_settings
from harness.environments.base import Running
from harness.environments.remote import RemoteEnvironment
from harness.remote.options import TOKEN_VARIABLE, RemoteOptions, remote_options
from harness.remote.registry import Bundle, HarnessRegistry
from harness.rendezvous.registry import Refusal
from harness.rendezvous.signing import Role
from harness.rendezvous.store import Store, open_store
from tests.relay.served import COUNT, COUNTED, ENVIRONMENT_ID, Served, executor, served
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
async def running(service: Served) -> AsyncIterator[Running]:
    async with executor(service), service.environment().start() as up:
        yield up


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not happened():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


async def recovered(client: Client, times: int = 1) -> None:
    """Waits for calls to be answered after so many losses."""
    await until(lambda: client.recovered >= times or client.state is State.FAILED)
    assert client.state is not State.FAILED, await client.wait_lost()


async def recovering(client: Client, attempts: int) -> None:
    """Waits until so many attempts have been begun."""
    await until(lambda: client._session.recovery.attempts >= attempts)
    assert client.state is State.RECOVERING


async def test_a_command_runs_and_its_output_comes(running: Running) -> None:
    assert running.is_remote
    assert running.url == f"remote:{ENVIRONMENT_ID}"
    async with running.connect() as client:
        done = await client.run(["cat"], input=b"some input")
        big = await client.run(["head", "-c", "3000000", "/dev/zero"])
    assert done.stdout == b"some input"
    assert big.stdout == bytes(3_000_000)
    assert not [task for task in asyncio.all_tasks() if "harness/remote" in repr(task.get_coro())]


async def test_single_messages_go_through_too(running: Running) -> None:
    def talk() -> None:
        with Wire(running.url, running.open_link) as wire:
            session = wire.handshake()["sessionId"]
            assert wire.request("environment/status", {})["result"]
            wire.drop()
            assert wire.closed() == (1006, "")
            wire.close()
            wire.drop()
        with Wire(running.url, running.open_link) as wire:
            wire.handshake(resumeSessionId=session)
            with pytest.raises(TimeoutError, match="no message within"):
                wire.receive(0.01)

    await asyncio.to_thread(talk)


async def test_a_reply_that_is_too_long_is_an_error_and_no_end(service: Served, tmp_path: Path) -> None:
    path = (tmp_path / "large").as_uri()
    async with (
        executor(service, message_bytes=100_000),
        service.environment().start() as up,
        up.connect() as client,
    ):
        for size in (1_000, 75_000, 70_000):
            await asyncio.to_thread((tmp_path / "large").write_bytes, bytes(size))
            if size < 75_000:
                assert await client.files.read_file(path) == bytes(size)
                continue
            with pytest.raises(RpcError, match=r"has 1000\d\d bytes: .* at most 100000; .*`fs/readBlock`"):
                await client.files.read_file(path)
        assert client.generation == 1


async def test_a_call_that_is_too_long_is_an_error_and_no_end(running: Running, tmp_path: Path) -> None:
    path = (tmp_path / "large").as_uri()
    async with running.connect() as client:
        with pytest.raises(MessageTooLarge, match="at most 67108864; give a large file or input in pieces"):
            await client.files.write_file(path, bytes(50 * 1024 * 1024))
        await client.files.write_file(path, b"small")
        assert await client.files.read_file(path) == b"small"
        assert client.generation == 1


@pytest.mark.parametrize("role", ["harness", "executor"])
async def test_a_cut_on_either_side_loses_nothing(service: Served, running: Running, role: Role) -> None:
    async with running.connect() as client:
        process = await client.start(COUNT, stdin=True)
        service.cut(role)
        await recovered(client)
        done = await process.communicate(b"it\n")
        assert client.generation == 2
    assert done.stdout == COUNTED + b"got it\n"


async def test_a_service_that_is_started_anew_loses_nothing(service: Served, running: Running) -> None:
    async with running.connect() as client:
        process = await client.start(COUNT, stdin=True)
        await service.stop()
        await service.start()
        await recovered(client)
        done = await process.communicate(b"it\n")
    assert done.stdout == COUNTED + b"got it\n"


async def test_an_outage_of_the_service_is_waited_for(service: Served, running: Running) -> None:
    async with running.connect() as client:
        process = await client.start(COUNT, stdin=True)
        await service.stop()
        await recovering(client, 3)
        await service.start()
        await recovered(client)
        done = await process.communicate(b"it\n")
    assert done.stdout == COUNTED + b"got it\n"


async def test_the_waits_between_attempts_grow(running: Running) -> None:
    async with running.connect() as one, running.connect() as other:
        policies = [each._session.recovery._policy for each in (one, other)]
    delays = [[policy.delay(attempt) for attempt in (1, 2, 3, 4, 5, 9)] for policy in policies]
    for delay in delays:
        jitter = delay[0] / 0.5
        assert 1.0 <= jitter <= 1.5
        assert delay == pytest.approx([jitter * each for each in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0)])
    assert delays[0] != delays[1], "many harnesses would come back at the same moment"


async def test_each_connection_has_a_bundle_of_its_own(service: Served, running: Running) -> None:
    before = service.log.getvalue().count('"event": "connect"')
    async with running.connect() as client:
        for times in (1, 2):
            service.cut("harness")
            await recovered(client, times)
    assert service.log.getvalue().count('"event": "connect"') - before == 3


async def test_who_asks_too_often_comes_again_when_told(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [0.2, 0.1, 0.0]

    def wait(who: str, now: float) -> float:
        return waits.pop(0) if waits else 0.0

    async with executor(service):
        monkeypatch.setattr(service.service._limits["connect"], "wait", wait)
        async with service.environment().start():
            assert service.log.getvalue().count('"outcome": "rate_limited"') == 2


async def test_who_asks_too_often_does_not_wait_for_ever(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.service._limits["connect"], "wait", lambda who, now: 1000.0)
    with pytest.raises(ConnectFailed, match="status 429, rate_limited: this token asks too often"):
        async with service.environment().start():
            pass


async def test_an_executor_that_is_about_to_be_back_is_waited_for(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def is_connected(environment: str, registration: str) -> bool:
        nonlocal asked
        asked += 1
        return asked > 1

    async with executor(service):
        monkeypatch.setattr(service.service._registry, "_is_connected", is_connected)
        async with service.environment().start():
            assert service.log.getvalue().count('"outcome": "executor_offline"') == 1


async def test_who_is_unknown_to_the_registry_is_told_so(service: Served) -> None:
    service.token_file.write_text("a-token-that-nobody-knows")
    async with executor(service):
        with pytest.raises(ConnectFailed, match=r"remote:box: the registry refused: status 401") as failed:
            async with service.environment().start():
                pass
    assert "a-token-that-nobody-knows" not in str(failed.value)


def refuse(monkeypatch: pytest.MonkeyPatch, service: Served, name: str, times: int) -> list[Any]:
    """Has the service answer a harness' connection with 401; returns what grows by one with each."""
    registry = service.service._registry
    real = getattr(registry, name)
    refused: list[Any] = []

    def answer(*given: Any) -> Any:
        is_harness = name == "validate" or given[0].get("role") == "harness"
        if is_harness and len(refused) < times:
            refused.append(None)
            raise Refusal("unauthorized", "not now")
        return real(*given)

    monkeypatch.setattr(registry, name, answer)
    return refused


@pytest.mark.parametrize("where", ["admit", "validate"])
async def test_a_401_is_answered_by_one_fresh_bundle(
    service: Served, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """From the rendezvous when it is dialled, or in the handshake from the registry by the executor."""
    async with executor(service):
        refused = refuse(monkeypatch, service, where, 1)
        async with service.environment().start() as up, up.connect() as client:
            assert (await client.run(["echo", "there"])).stdout == b"there\n"
    assert len(refused) == 1


@pytest.mark.parametrize("where", ["admit", "validate"])
async def test_a_second_401_is_the_end(service: Served, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    async with executor(service):
        refused = refuse(monkeypatch, service, where, 9)
        with pytest.raises(ConnectFailed, match="cannot connect to remote:box"):
            async with service.environment().start():
                pass
    assert len(refused) == 2


async def replaced(service: Served, stop: asyncio.Event) -> None:
    """Ends the first executor where nobody hears of it."""
    await service.stop()
    stop.set()
    await service.start()


async def test_an_executor_with_another_key_is_another(service: Served) -> None:
    connect = service.environment().clients()
    async with executor(service) as stop, connect("first") as client:
        await replaced(service, stop)
        async with executor(service):
            with pytest.raises(ExecutorKeyChanged, match="--remote-accept-new-key=yes"):
                async with connect("second"):
                    pass
            async with asyncio.timeout(SECONDS):
                lost = await client.wait_lost()
            assert "has the key" in lost.why
            with pytest.raises(SessionLost, match="when it was first reached"):
                await client.run(["true"])


async def test_only_the_key_that_the_user_was_told_is_taken(
    service: Served, caplog: pytest.LogCaptureFixture
) -> None:
    async with executor(service):
        (told,) = [text for text in caplog.messages if "this executor's key: " in text]
        fingerprint = told.rpartition(" ")[2]
        async with service.environment(pin=fingerprint).start() as up:
            assert up.facts["executor's key"] == fingerprint
        before = service.log.getvalue().count('"event": "dial"')
        other = "0" * 32
        with pytest.raises(ExecutorKeyChanged, match=f"{fingerprint}, and --remote-pin takes {other} alone"):
            async with service.environment(pin=other).start():
                pass
        assert service.log.getvalue().count('"event": "dial"') == before, "it has not been spoken to"


async def test_another_key_is_taken_if_that_is_wished(
    service: Served, caplog: pytest.LogCaptureFixture
) -> None:
    connect = service.environment(accept_new_key=True).clients()
    async with executor(service) as stop, connect("first") as client:
        await replaced(service, stop)
        async with executor(service):
            async with connect("second") as other:
                assert (await other.run(["echo", "new"])).stdout == b"new\n"
            async with asyncio.timeout(SECONDS):
                lost = await client.wait_lost()
            assert "the executor does not resume it" in lost.why
    assert "when it was first reached" in caplog.text


async def test_a_key_that_is_not_the_executors_gets_no_answer(service: Served, store: Store) -> None:
    """A registry that lies about the key cannot have anybody in between."""
    async with executor(service):
        key = msgspec.to_builtins(KeyPair.generate().public.to_wire())
        text = msgspec.json.encode(key, order="deterministic").decode()
        with store._database as db:
            db.execute("UPDATE registrations SET key = ?", (text,))
        with pytest.raises(ConnectFailed, match="reset by the other side: noise_relay_protocol_error"):
            async with service.environment().start():
                pass


async def test_an_executor_that_ends_says_so(service: Served) -> None:
    connect = service.environment().clients()
    async with executor(service) as stop, connect("test") as client:
        stop.set()
        async with asyncio.timeout(SECONDS):
            lost = await client.wait_lost()
        assert lost.code == 1001
        assert lost.why == "the executor has ended, and its sessions with it"


@asynccontextmanager
async def stalled(port: int = 0) -> AsyncIterator[str]:
    """A registry that takes requests and never answers; yields its URL."""
    waiting: set[asyncio.StreamWriter] = set()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.add(writer)

    server = await asyncio.start_server(take, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in waiting:
            writer.transport.abort()


async def test_a_registry_that_stalls_is_waited_for_no_longer_than_said(service: Served) -> None:
    link_options = LinkOptions(open_seconds=0.3)
    async with stalled() as url:
        options = RemoteOptions(registry=url, token_file=service.token_file)
        with pytest.raises(ConnectFailed, match=r"did not all answer within 0\.3 s"):
            async with RemoteEnvironment("box", options, link_options=link_options).start():
                pass


async def test_a_recovery_survives_a_registry_that_stalls(service: Served) -> None:
    environment = service.environment(link_options=LinkOptions(open_seconds=2.0))
    async with executor(service), environment.start() as up, up.connect() as client:
        await service.stop()
        async with stalled(int(service.url.rpartition(":")[2])):
            await recovering(client, 2)
        await service.start()
        await recovered(client)
        assert (await client.run(["echo", "there"])).stdout == b"there\n"


async def test_nothing_secret_is_logged_or_shown(
    service: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles: list[Bundle] = []
    real = HarnessRegistry.connect

    async def connect(self: HarnessRegistry, key: PublicKey) -> Bundle:
        bundles.append(await real(self, key))
        return bundles[-1]

    monkeypatch.setattr(HarnessRegistry, "connect", connect)
    caplog.set_level(logging.DEBUG)
    async with executor(service), service.environment().start() as up, up.connect() as client:
        service.cut("harness")
        await recovered(client)
        shown = repr((up, client, client.connection, service.environment()._options, bundles))
    secrets = [service.token, service.executor_token]
    for bundle in bundles:
        secrets += [bundle.harness_key_authorization, bundle.url, bundle.url.rpartition("signature=")[2]]
    assert len(secrets) > 2
    # What the service itself audits is looked through as well.
    for where in (caplog.text, shown, service.log.getvalue()):
        assert not [secret for secret in secrets if secret in where]


def test_an_environment_that_cannot_be_reached_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.delenv("CROSSEXEC_REMOTE_REGISTRY", raising=False)

    def told(**chosen: str) -> str:
        settings = read_settings(remote={name.replace("_", "-"): text for name, text in chosen.items()})
        return str(make_environment("remote:box", settings).available())

    assert "give --remote-registry URL or set CROSSEXEC_REMOTE_REGISTRY" in told()
    here = "http://127.0.0.1:1"
    assert f"give --remote-token-file or set {TOKEN_VARIABLE}" in told(registry=here)
    assert "missing" in told(registry=here, token_file=str(tmp_path / "missing"))
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")
    assert told(registry=here) == "available"
    assert "over https only" in told(registry="http://relay.example")
    assert "is not sent to relay.example: allow it by --remote-allow-registry" in told(
        registry="https://relay.example"
    )
    assert told(registry="https://relay.example", allow_registry="other.example,.example") == "available"
    monkeypatch.setenv("CROSSEXEC_REMOTE_REGISTRY", here)
    assert told() == "available"
    assert "names no environment" in str(make_environment("remote:", read_settings()).available())


def test_a_choice_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="--remote-accept-new-key perhaps: give yes or no"):
        remote_options({"accept-new-key": "perhaps"})
    for wrong in ("x", "0" * 31, "g" * 32):
        with pytest.raises(ValueError, match=f"--remote-pin {wrong}: give the 32 hexadecimal digits"):
            remote_options({"pin": wrong})
    with pytest.raises(ValueError, match="give one of them"):
        remote_options({"pin": "0" * 32, "accept-new-key": "yes"})
    assert remote_options({"pin": "A" * 32}).pin == "a" * 32
