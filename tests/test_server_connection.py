"""A connection without a socket: holding back, and calling off."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Coroutine
from typing import Any

from executors.server.connection import Connection
from tests.fuzz.fuzz_messages import HANDSHAKE, PlayedFiles, PlayedSessions, PlayedTransport, call


class Stage:
    """A connection whose handshake is over, and what it sent since."""

    def __init__(self) -> None:
        self.transport = PlayedTransport()
        self.tasks: list[asyncio.Task[None]] = []
        self.connection = Connection(
            self.transport,
            PlayedSessions(),  # type: ignore[arg-type]
            PlayedFiles,  # type: ignore[arg-type]
            self._start,
            lambda _: None,
        )
        for message in HANDSHAKE:
            self.connection.message_received(message)
        self.transport.sent.clear()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.ensure_future(coroutine))
        return self.tasks[-1]

    def ids(self) -> list[Any]:
        return [found["id"] for found in map(json.loads, self.transport.sent) if "id" in found]

    async def end(self) -> None:
        self.connection.connection_lost()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_what_waits_at_the_end_is_called_off_without_a_trace() -> None:
    async def main() -> None:
        stage = Stage()
        stage.connection.message_received(
            call("process/start", processId="p", argv=["a"], cwd="file:///", env={}, tty=False)
        )
        for _ in range(10):
            stage.connection.message_received(call("process/read", processId="p", waitMs=600_000))
        assert len(stage.tasks) == 10
        # A coroutine that is never awaited makes a warning, and so a failure.
        await stage.end()
        assert len(stage.transport.sent) == 1

    asyncio.run(main())
    gc.collect()


def test_messages_that_were_read_already_wait_while_held_back_and_keep_their_order() -> None:
    async def main() -> None:
        stage = Stage()
        unread = 17 * 1024 * 1024
        stage.transport.send_buffer_size = lambda: unread  # type: ignore[method-assign]
        for number in range(100):
            stage.connection.message_received(b'{"id":%d,"method":"nope"}' % number)
        # The first reply found too much unread.
        assert (stage.ids(), stage.transport.paused) == ([0], True)
        stage.connection.resume_writing()
        assert (stage.ids(), stage.transport.paused) == ([0], True), "it is still too much"
        unread = 0
        stage.connection.resume_writing()
        assert (stage.ids(), stage.transport.paused) == (list(range(100)), False)
        stage.connection.message_received(b'{"id":100,"method":"nope"}')
        assert stage.ids() == list(range(101))
        await stage.end()

    asyncio.run(main())


def test_nothing_is_done_or_sent_after_the_end() -> None:
    async def main() -> None:
        stage = Stage()
        await stage.end()
        stage.connection.message_received(call("environment/info"))
        assert stage.transport.sent == []

    asyncio.run(main())
