"""Our executor and a harness that speaks frames, at the real service."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.rendezvous.store import open_store
from tests.relay.harness import harness, python, until
from tests.relay.served import ENVIRONMENT_ID, Served, executor, served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    return made


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """A service with an executor."""
    with open_store(folder / "rendezvous.sqlite") as store:
        async with served(store, folder) as service, executor(service):
            yield service


def test_many_harnesses_at_once(folder: Path) -> None:
    async def one(service: Served, number: int) -> None:
        async with harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            await client.call("process/start", python(f"print({number})"))
            assert await client.output() == b"%d\n" % number

    async def body() -> None:
        async with serving(folder) as service, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(one(service, number))

    asyncio.run(body())


def test_a_large_message_goes_both_ways(folder: Path, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(folder) as service, harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            data = base64.b64encode(bytes(range(256)) * 40 * 1024).decode()
            path = (tmp_path / "big").as_uri()
            await client.call("fs/writeFile", {"path": path, "dataBase64": data})
            assert (tmp_path / "big").stat().st_size == 10 * 1024 * 1024
            assert await client.call("fs/readFile", {"path": path}) == {"dataBase64": data}

    asyncio.run(body())


def executors(service: Served, event: str) -> int:
    """How often executors have done that."""
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    return len([each for each in lines if each["event"] == event and each.get("role") != "harness"])


def test_a_session_is_resumed_on_another_stream_and_another_connection(folder: Path) -> None:
    async def body() -> None:
        async with serving(folder) as service:
            async with harness(service, ENVIRONMENT_ID) as client:
                session = (await client.initialize())["sessionId"]
                await client.call("process/start", python("input(); print('still')", pipeStdin=True))
                await client.reset()
            # And now the rendezvous loses the executor.
            service.cut("executor")
            await until(lambda: executors(service, "dial") == 2)
            async with harness(service, ENVIRONMENT_ID) as client:
                assert (await client.initialize(resumeSessionId=session))["sessionId"] == session
                chunk = base64.b64encode(b"\n").decode()
                await client.call("process/write", {"processId": "p", "chunk": chunk, "writeId": "1"})
                assert await client.output() == b"still\n"
            assert executors(service, "register") == 1

    asyncio.run(body())


def test_a_harness_that_says_it_is_done_ends_its_session(folder: Path) -> None:
    async def body() -> None:
        async with serving(folder) as service:
            async with harness(service, ENVIRONMENT_ID) as client:
                session = (await client.initialize())["sessionId"]
                await client.close()
                assert client.stream.ended
            async with harness(service, ENVIRONMENT_ID) as client:
                reply = await client.ask("initialize", {"clientName": "x", "resumeSessionId": session})
                assert "unknown or expired session" in reply["error"]["message"]

    asyncio.run(body())
