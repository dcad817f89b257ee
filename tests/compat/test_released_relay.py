"""Our harness with the released exec-server in remote mode, and our executor with the released client."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from tests.compat.model import StubModel, run
from tests.compat.peer import Peer
from tests.relay.harness import HandshakeFailed, harness
from tests.relay.peer import ENVIRONMENT_ID, open_peer
from tests.relay.remote import in_loop
from tests.support.rendezvous import Call, Reply, rendezvous
from tests.support.watch import SECONDS


def test_a_process_runs_through_the_relay(peer: Peer) -> None:
    async def body() -> None:
        async with open_peer(str(peer.program)) as service, harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            start = {
                "processId": "p",
                "argv": ["/bin/echo", "hello"],
                "cwd": "file:///",
                "env": {},
                "tty": False,
            }
            await client.call("process/start", start)
            output = await client.notified("process/output", processId="p")
            assert base64.b64decode(output["chunk"]) == b"hello\n"
            assert (await client.notified("process/exited", processId="p"))["exitCode"] == 0
            await client.notified("process/closed", processId="p")

    asyncio.run(body())


def test_messages_share_records_and_are_cut_into_many(peer: Peer) -> None:
    async def body() -> None:
        async with open_peer(str(peer.program)) as service, harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            together = [client.queue("environment/status") for _ in range(3)]
            await client.flush()
            async with asyncio.timeout(SECONDS):
                assert [(await reply)["result"] for reply in together] == [{"status": "ready"}] * 3
            big = "x" * (5 * 1024 * 1024)
            reply = await client.ask("unknown", {"big": big})
            assert reply["error"]["code"] == -32601
            assert await client.call("environment/status") == {"status": "ready"}

    asyncio.run(body())


def test_a_harness_that_the_registry_refuses_is_told_so(peer: Peer) -> None:
    async def refuse(call: Call) -> Reply | None:
        return Reply(401, {}) if call.action == "validate" else None

    async def body() -> None:
        async with open_peer(str(peer.program)) as service:
            service.answer = refuse
            with pytest.raises(HandshakeFailed) as raised:
                async with harness(service, ENVIRONMENT_ID):
                    pass
            assert raised.value.refused

    asyncio.run(body())


def test_the_released_client_runs_commands_on_our_executor(peer: Peer, tmp_path: Path) -> None:
    async def body() -> list[str]:
        calls = [run("echo $((40 + 2))"), run("head -c 3000000 /dev/zero | wc -c")]
        async with rendezvous() as service, in_loop(service, environment_id="plain"):
            with StubModel(calls) as model:
                events = await asyncio.to_thread(
                    peer.run_client,
                    model,
                    tmp_path,
                    CODEX_EXEC_SERVER_NOISE_REGISTRY_URL=service.base_url,
                    CODEX_EXEC_SERVER_NOISE_ENVIRONMENT_ID="plain",
                    CODEX_EXEC_SERVER_NOISE_AUTH_TOKEN=service.token,
                )
                assert len(model.outputs()) == 2, events
                return model.outputs()

    first, second = asyncio.run(body())
    assert first.endswith("Process exited with code 0\nOriginal token count: 1\nOutput:\n42\n")
    assert second.endswith("Output:\n3000000\n")
