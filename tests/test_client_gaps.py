"""The client and a server that skips, shuffles and loses the events of a process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from harness.client import Client, ClosedEvent, Event, ExitedEvent, OutputEvent, OutputLost, RpcError
from tests.support.fake_executor import Fake, fake

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def process_of(
    told: Sequence[Event], read: dict[str, Any] | None, separators: tuple[str, str] = (",", ":")
) -> AsyncIterator[tuple[Client, list[Any]]]:
    """A server whose only process tells *told*, and *read* when asked for more."""
    asked: list[Any] = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        server.separators = separators
        if method == "process/start":
            await server.send(id=id, result={"processId": "p"})
            for event in told:
                if isinstance(event, OutputEvent):
                    await server.told("output", processId="p", seq=event.seq, stream="stdout", chunk="eA==")
                elif isinstance(event, ExitedEvent):
                    await server.told("exited", processId="p", seq=event.seq, exitCode=event.exit_code)
                else:
                    await server.told("closed", processId="p", seq=event.seq)
        elif method == "process/read":
            asked.append(params.get("afterSeq", 0))
            if read is None:
                await server.send(id=id, error={"code": -32600, "message": "unknown process id p"})
            return read
        elif method == "process/terminate":
            return {"running": False}
        elif method == "environment/status":
            return {"status": "ready"}

    async with fake(answer) as client:
        yield client, asked


X = b"x"


@pytest.mark.parametrize("separators", [(",", ":"), (", ", " : ")])
async def test_events_out_of_order_are_put_in_order(separators: tuple[str, str]) -> None:
    told: list[Event] = [
        ClosedEvent(4),
        OutputEvent(2, "stdout", X),
        ExitedEvent(3, 0),
        OutputEvent(1, "stdout", X),
    ]
    nothing = {
        "chunks": [],
        "nextSeq": 1,
        "exited": False,
        "exitCode": None,
        "closed": False,
        "failure": None,
    }
    async with process_of(told, nothing, separators) as (client, _):
        process = await client.start(["x"], process_id="p")
        assert [event async for event in process] == sorted(told, key=lambda event: event.seq)


async def test_a_gap_is_filled_from_the_executor() -> None:
    told: list[Event] = [OutputEvent(1, "stdout", X), ClosedEvent(4)]
    read = {
        "chunks": [{"seq": 2, "stream": "stderr", "chunk": "eQ=="}],
        "nextSeq": 5,
        "exited": True,
        "exitCode": 6,
        "closed": True,
        "failure": None,
    }
    async with process_of(told, read) as (client, asked):
        process = await client.start(["x"], process_id="p")
        events = [event async for event in process]
        assert events == [told[0], OutputEvent(2, "stderr", b"y"), ExitedEvent(3, 6), ClosedEvent(4)]
        assert asked == [1]


@pytest.mark.parametrize("known", [True, False])
async def test_a_gap_that_cannot_be_filled_fails_that_process_only(known: bool) -> None:
    told = [OutputEvent(1, "stdout", X), OutputEvent(5, "stdout", X)]
    read = {"chunks": [{"seq": 5, "stream": "stdout", "chunk": "eA=="}], "nextSeq": 6}
    read |= {"exited": False, "exitCode": None, "closed": False, "failure": None}
    async with process_of(told, read if known else None) as (client, _):
        process = await client.start(["x"], process_id="p")
        assert await anext(process) == told[0]
        error, text = (OutputLost, "3 events from 2 on") if known else (RpcError, "unknown process id p")
        with pytest.raises(error, match=text):
            await anext(process)
        with pytest.raises(error, match=text):
            await process.wait()
        assert (await client.call(ENVIRONMENT_STATUS, Empty())).status == "ready"


async def test_a_start_whose_result_is_unknown_is_cleaned_up() -> None:
    asked = asyncio.Queue[tuple[str, Any]]()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        asked.put_nowait((method, params["processId"]))

    async with fake(answer) as client:
        start = asyncio.ensure_future(client.start(["x"], process_id="p"))
        assert await asked.get() == ("process/start", "p")
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert await asked.get() == ("process/terminate", "p")
