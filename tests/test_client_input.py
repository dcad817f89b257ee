"""The queue of what is written to a process, with connections that take calls when the test says so."""

import asyncio
from typing import Any

import pytest

from executors.protocol.binary import encode_base64
from executors.protocol.methods import PROCESS_WRITE, Method
from executors.protocol.processes import ProcessWriteParams
from harness.client.calls import Calls, Pending
from harness.client.errors import ConnectionLost, OutcomeUnknown
from harness.client.input import _MAX_UNANSWERED, InputQueue

pytestmark = pytest.mark.anyio

SECONDS = 60


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Line:
    """A connection whose send buffer is full until there is room."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.lost: ConnectionLost | None = None
        self.sent: list[str] = []
        self._calls = Calls()
        self._pending: list[Pending[Any]] = []

    async def submit(self, method: Method[Any, Any], params: Any) -> Pending[Any]:
        await self.room.wait()
        if self.lost is not None:
            raise self.lost
        self.sent.append(params.write_id)
        self._pending.append(self._calls.add(method, params))
        return self._pending[-1]

    def answer(self, count: int) -> None:
        for pending in self._pending[:count]:
            pending.future.set_result(b'{"status":"accepted"}')  # type: ignore[arg-type]
        del self._pending[:count]

    def lose(self) -> None:
        self.lost = ConnectionLost("ws://x", None, "cut")
        self._calls.fail(lambda pending: OutcomeUnknown("ws://x", None, "cut", pending.method.name))
        self.room.set()


class Lines:
    """One connection after the other."""

    def __init__(self) -> None:
        self.all = [Line()]
        self.renewed = asyncio.Event()

    async def connected(self, waiting_for: str) -> Any:
        while self.all[-1].lost is not None:
            self.renewed.clear()
            await self.renewed.wait()
        return self.all[-1]

    def renew(self) -> Line:
        self.all.append(Line())
        self.renewed.set()
        return self.all[-1]


async def write(queue: InputQueue, name: str) -> str:
    sent = await queue.put(PROCESS_WRITE, ProcessWriteParams("p", encode_base64(b""), name))
    return (await queue.answered(sent)).status


def writing(queue: InputQueue, names: str) -> list[asyncio.Task[str]]:
    return [asyncio.ensure_future(write(queue, name)) for name in names]


async def settled() -> None:
    """Everybody has come as far as he can: it takes a few rounds of the loop, and none waits for time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_unanswered_is_sent_again_first() -> None:
    async with asyncio.timeout(SECONDS):
        lines = Lines()
        queue = InputQueue(lines)
        first = lines.all[0]
        tasks = writing(queue, "abcd")
        await settled()
        assert first.sent == [*"abcd"]
        first.answer(1)
        first.lose()
        tasks += writing(queue, "ef")
        await settled()
        second = lines.renew()
        await settled()
        assert second.sent == [*"bcdef"]
        second.answer(5)
        assert await asyncio.gather(*tasks) == ["accepted"] * 6


async def test_a_loss_between_two_of_them() -> None:
    async with asyncio.timeout(SECONDS):
        lines = Lines()
        queue = InputQueue(lines)
        first = lines.all[0]
        tasks = writing(queue, "a")
        await settled()
        first.room.clear()
        tasks += writing(queue, "bc")
        await settled()
        assert first.sent == ["a"]
        first.lose()
        second = lines.renew()
        await settled()
        # Not the one that was about to be sent.
        assert second.sent == [*"abc"]
        second.answer(3)
        await asyncio.gather(*tasks)


async def test_what_was_called_off_is_not_sent() -> None:
    async with asyncio.timeout(SECONDS):
        lines = Lines()
        queue = InputQueue(lines)
        line = lines.all[0]
        line.room.clear()
        tasks = writing(queue, "abc")
        await settled()
        tasks[0].cancel()
        tasks[1].cancel()
        await settled()
        line.room.set()
        await settled()
        assert line.sent == ["c"]
        line.answer(1)
        assert await tasks[2] == "accepted"


async def test_answers_make_room_whether_or_not_somebody_has_taken_them() -> None:
    async with asyncio.timeout(SECONDS):
        lines = Lines()
        queue = InputQueue(lines)
        line = lines.all[0]
        params = ProcessWriteParams("p", encode_base64(b""), "x")
        kept = [await queue.put(PROCESS_WRITE, params) for _ in range(_MAX_UNANSWERED)]
        # So many may be done twice; of more the executor would not know.
        more = asyncio.ensure_future(queue.put(PROCESS_WRITE, params))
        await settled()
        assert len(line.sent) == _MAX_UNANSWERED
        line.answer(1)
        queue.abandon(await more)
        for sent in kept:
            queue.abandon(sent)
        assert not queue._room.locked()
