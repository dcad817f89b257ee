"""Recovery: what is sent again over the next connection, and what the executor is told has come in."""

import asyncio
import base64
from typing import Any

import pytest

from harness.client import (
    OutcomeUnknown,
)
from tests.support.fake_executor import Fake, fake
from tests.support.scripted import CAPABLE, PATIENT, Script, read, session, status

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


# Writes, starts, acknowledgements


async def test_writes_are_sent_again_in_order_and_before_newer_ones() -> None:
    script = Script()
    script.silent = {"process/write"}
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        process = await client.start(["x"], stdin=True, process_id="p")
        async with asyncio.TaskGroup() as tasks:
            for text in ("one", "two", "three"):
                tasks.create_task(process.write(text.encode()))
            for _ in range(3):
                await script.until("process/write")
            await script.drop()
            tasks.create_task(process.write(b"four"))
            for _ in range(3):
                await script.until("process/write")
            await script.drop()
            script.silent = set()
    sent: dict[int, list[tuple[str, str]]] = {}
    for number, method, params in script.asked:
        if method == "process/write":
            text = base64.b64decode(params["chunk"]).decode()
            sent.setdefault(number, []).append((text, params["writeId"]))
    texts = [text for text, _ in sent[3]]
    assert texts == ["one", "two", "three", "four"]
    # The same identity each time, or else they would be done twice.
    assert sent[1] == sent[3][:3]
    assert sent[2] == sent[3][: len(sent[2])]
    assert len(dict(sent[3])) == 4


async def test_a_write_that_is_too_big_for_the_executor_is_given_up() -> None:
    script = Script()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method == "process/write" and len(params["chunk"]) > 1000:
            await server.socket.close(1009, "too big")
            return None
        return await script.answer(server, method, params, id)

    async with fake(answer, greet=script.greet, recovery=PATIENT) as client:
        process = await client.start(["x"], stdin=True)
        with pytest.raises(OutcomeUnknown, match="1009: too big"):
            await process.write(bytes(5000))
        await process.write(b"small")
        assert client.recovered == 2


async def test_a_start_that_was_called_off_is_cleaned_up_over_the_next_connection_too() -> None:
    script = Script()
    script.silent = {"process/start", "process/terminate"}
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        start = asyncio.ensure_future(client.start(["x"], process_id="p"))
        await script.until("process/start")
        start.cancel()
        await script.until("process/terminate")
        await script.drop()
        script.silent = set()
        assert (await script.until("process/terminate"))["processId"] == "p"
        # An event of it is nobody's.
        await script.servers[-1].told("output", processId="p", seq=1, stream="stdout", chunk="eA==")
        assert await status(client) == "ready"
        # Once is enough.
        await script.drop()
        assert await status(client) == "ready"
    ended = [number for number, method, _ in script.asked if method == "process/terminate"]
    assert ended == [1, 2]


@pytest.mark.parametrize("capable", [True, False])
async def test_what_has_come_in_is_acknowledged_where_that_is_understood(capable: bool) -> None:
    script = Script(session(info=CAPABLE) if capable else session())
    told = asyncio.Queue[Any]()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        return await script.answer(server, method, params, id)

    async with fake(answer, greet=script.greet, recovery=PATIENT, notified=told) as client:
        process = await client.start(["x"], process_id="p")
        chunk = base64.b64encode(bytes(100_000)).decode()
        for seq in range(1, 8):
            await script.servers[-1].told("output", processId="p", seq=seq, stream="stdout", chunk=chunk)
        await script.servers[-1].told("exited", processId="p", seq=8, exitCode=0)
        await script.servers[-1].told("closed", processId="p", seq=9)
        assert len((await process.communicate()).stdout) == 700_000
        # Of one that nobody follows: it must not wait for a reader.
        await script.servers[-1].told("output", processId="q", seq=4, stream="stdout", chunk=chunk)
        assert await status(client) == "ready"
        assert await status(client) == "ready"
    found = []
    while not told.empty():
        method, params = told.get_nowait()
        if method == "process/acknowledge":
            found.append((params["processId"], params["seq"]))
    assert found == ([("p", 3), ("p", 6), ("p", 9), ("q", 4)] if capable else [])


async def test_what_has_come_in_is_acknowledged_again_over_the_next_connection() -> None:
    """Word of it may have been lost with the one before, and the executor have the process wait for it."""
    script = Script(session(info=CAPABLE), session(info=CAPABLE))
    told = asyncio.Queue[Any]()
    async with fake(script.answer, greet=script.greet, recovery=PATIENT, notified=told) as client:
        await client.start(["x"], process_id="p")
        await script.servers[-1].told("output", processId="p", seq=1, stream="stdout", chunk="eA==")
        script.reads["p"] = [read(next_seq=2)]
        script.next["p"] = 2
        assert await status(client) == "ready"
        await script.drop()
        assert await status(client) == "ready"
        while (notified := await told.get())[0] != "process/acknowledge":
            pass
        assert notified[1] == {"processId": "p", "seq": 1}


async def test_a_replay_that_is_cut_short_is_asked_for_in_smaller_pieces() -> None:
    """Where no connection lasts for a mebibyte, whole pages would never come through."""
    script = Script(session(info=CAPABLE))
    script.silent = {"process/read"}
    asked = []
    async with fake(script.answer, greet=script.greet, recovery=PATIENT) as client:
        await client.start(["x"], process_id="p")
        for _ in range(3):
            await script.drop()
            asked.append((await script.until("process/read"))["maxBytes"])
        script.silent = set()
        await script.drop()
        asked.append((await script.until("process/read"))["maxBytes"])
        await status(client)
        await script.drop()
        asked.append((await script.until("process/read"))["maxBytes"])
    assert asked == [2**20, 2**18, 2**16, 2**14, 2**20]
