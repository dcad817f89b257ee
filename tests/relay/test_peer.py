"""Our harness's end with the released exec-server in remote mode."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest

from tests.compat.peer import skip_without_peer
from tests.relay.harness import HandshakeFailed, harness
from tests.relay.peer import ENVIRONMENT_ID, open_peer
from tests.support.rendezvous import Call, Reply
from tests.support.watch import SECONDS

skip_without_peer()
PROGRAM = os.environ["CROSSEXEC_PEER"]


def test_a_process_runs_through_the_relay() -> None:
    async def body() -> None:
        async with open_peer(PROGRAM) as service, harness(service, ENVIRONMENT_ID) as client:
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


def test_messages_share_records_and_are_cut_into_many() -> None:
    async def body() -> None:
        async with open_peer(PROGRAM) as service, harness(service, ENVIRONMENT_ID) as client:
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


def test_a_harness_that_the_registry_refuses_is_told_so() -> None:
    async def refuse(call: Call) -> Reply | None:
        return Reply(401, {}) if call.action == "validate" else None

    async def body() -> None:
        async with open_peer(PROGRAM) as service:
            service.answer = refuse
            with pytest.raises(HandshakeFailed) as raised:
                async with harness(service, ENVIRONMENT_ID):
                    pass
            assert raised.value.refused

    asyncio.run(body())
