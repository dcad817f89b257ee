"""WebSocket connections of executors and harnesses, and what of it waits in memory until it is sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from harness.rendezvous.signing import Ticket

MOST_FRAME_BYTES: Final = 256 * 1024
DISPLACED: Final = 4409
"""The close code of an executor whose place another one has taken; of the range that is for applications."""
_CLOSE_SECONDS: Final = 2.0
_MIB: Final = 1024 * 1024
# To a harness: more than the 256 records of 60 KiB that an executor which heeds acks sends ahead, so that
# such a one never waits for a harness that does not read.
_TO_HARNESS: Final = 17 * _MIB
# To an executor: what waits there, waits before the frames of all its harnesses.
_TO_EXECUTOR: Final = _MIB // 2
_SCARCE: Final = _MIB // 4
_MOST_WAITING: Final = 64 * _MIB
_LITTLE: Final = 64 * 1024
_LEAST_PROGRESS: Final = _MIB // 4


class Link:
    """One connection. Frames go out at once, or wait in the transport's buffer.

    :ivar ticket: whose it is.
    :ivar received: bytes.
    :ivar sent: bytes.
    :ivar has_offered: whether a harness has begun a handshake.
    :ivar is_answered: whether the executor has answered it, in one way or the other.
    :ivar waits_for: the connection on which more waits already than may.
    :ivar why: this service has ended it, if it has.
    :ivar since: when it began.
    :ivar heard_at: when something came last.
    :ivar limit: how many bytes may wait before those who send more wait, too.
    :ivar drained: of what was sent, what did not wait when :class:`Pressure` looked.
    :ivar drained_at: when that was.
    """

    def __init__(self, ticket: Ticket, transport: asyncio.Transport) -> None:
        self.ticket = ticket
        self.socket = web.WebSocketResponse(
            max_msg_size=MOST_FRAME_BYTES,
            # Exchange pings: it knows when this process itself has slept.
            autoping=False,
            compress=False,
            timeout=_CLOSE_SECONDS,
            # Each waiter that its sends had would, once cancelled, cancel all others.
            writer_limit=sys.maxsize,
        )
        self.received = 0
        self.sent = 0
        self.has_offered = False
        self.is_answered = False
        self.waits_for: Link | None = None
        self.why = ""
        self.since = 0.0
        self.heard_at = 0.0
        self._taken = 0
        self.limit = 0
        self.drained = 0
        self.drained_at = 0.0
        self._transport = transport
        self._writer: AbstractStreamWriter | None = None
        self._early: list[bytes] = []
        self._draining: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def __repr__(self) -> str:
        return f"<{self.ticket.role} of {self.ticket.environment}>"

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def restrict(self, limit: int) -> None:
        """Sets :attr:`limit`."""
        self.limit = limit
        self._transport.set_write_buffer_limits(high=limit, low=limit // 2)

    async def prepare(self, request: web.Request) -> None:
        """Answers the upgrade."""
        self._writer = await self.socket.prepare(request)
        early, self._early = self._early, []
        for frame in early:
            await self.send(frame)

    async def send(self, frame: bytes) -> None:
        """Has a frame sent, after those that wait; then waits while too much does. If the connection has
        ended, its reader tells of that, and the frame is gone."""
        if self._writer is None:
            self._early.append(frame)
            return
        self.sent += len(frame)
        with suppress(ConnectionError):
            await self.socket.send_bytes(frame)
        if self.waiting > self.limit:
            if self._draining is None:
                self._draining = self._start(self._drain(self._writer))
            # Unlike awaiting it, this cancels nobody but who waits.
            await asyncio.wait((self._draining,))

    def send_soon(self, frame: bytes) -> None:
        """Has a small frame sent."""
        self._start(self.send(frame))

    def is_draining(self) -> bool:
        """Whether much waits, and some of it was taken since this was asked last."""
        waiting = self.waiting
        before, self._taken = self._taken, self.sent - waiting
        return waiting > _LITTLE and self._taken > before

    def ping(self) -> None:
        """Asks the peer for an answer."""
        if self._writer is not None:
            self._start(self._ping())

    async def _ping(self) -> None:
        with suppress(ConnectionError):
            await self.socket.ping()

    async def pong(self, payload: bytes) -> None:
        """Gives the peer the answer that it has asked for."""
        with suppress(ConnectionError):
            await self.socket.pong(payload)

    async def _drain(self, writer: AbstractStreamWriter) -> None:
        try:
            await writer.drain()
        except ConnectionError:
            pass  # Then nothing waits any more.
        finally:
            self._draining = None

    def close(self, code: int, reason: str) -> None:
        """Ends it; what the peer does not take within 2 s is dropped."""
        if not self._is_closing:
            self._is_closing = True
            self._start(self._close(code, reason))

    def abort(self) -> None:
        """Ends it at once."""
        self._transport.abort()

    async def closed(self) -> None:
        """Waits for the end that :meth:`close` has begun, and for all that goes on."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                if self._writer is not None:
                    await self.socket.close(code=code, message=reason.encode(), drain=False)
        except TimeoutError:
            pass  # It does not read, or is half-open.
        finally:
            self.abort()

    def _start(self, what: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Pressure:
    """Sees to it that what waits on all connections together stays small.

    As long as that is little, much may wait on each. Who takes nothing of what waits on it for a while,
    although somebody waits for that, is told of.

    :param stall_seconds: how long a while is.
    :param stalled: told of it.
    """

    def __init__(self, stall_seconds: float, stalled: Callable[[Link], None]) -> None:
        self._stall_seconds = stall_seconds
        self._stalled = stalled
        self._links: set[Link] = set()
        self._behind: set[Link] = set()
        self._is_scarce = False

    @property
    def waiting(self) -> int:
        """Bytes that wait to be sent."""
        return sum(link.waiting for link in self._behind)

    def add(self, link: Link) -> None:
        self._links.add(link)
        self._restrict(link)

    def discard(self, link: Link) -> None:
        self._links.discard(link)
        self._behind.discard(link)

    def sending(self, link: Link, length: int, now: float) -> None:
        """Has to be told of each frame before it is sent."""
        if link.waiting + length > _LITTLE and link not in self._behind and link in self._links:
            self._behind.add(link)
            link.drained, link.drained_at = link.sent - link.waiting, now

    def review(self, now: float) -> None:
        """Has to be called several times in *stall_seconds*."""
        total = 0
        for link in list(self._behind):
            waiting = link.waiting
            if waiting <= _LITTLE:
                self._behind.discard(link)
                continue
            total += waiting
            drained = link.sent - waiting
            if waiting < link.limit // 2 or drained - link.drained >= _LEAST_PROGRESS:
                link.drained, link.drained_at = drained, now
            elif now - link.drained_at >= self._stall_seconds:
                self._stalled(link)
        if self._is_scarce != (total > (_MOST_WAITING // 2 if self._is_scarce else _MOST_WAITING)):
            self._is_scarce = not self._is_scarce
            for link in self._links:
                self._restrict(link)

    def _restrict(self, link: Link) -> None:
        if self._is_scarce:
            link.restrict(_SCARCE)
        else:
            link.restrict(_TO_EXECUTOR if link.ticket.role == "executor" else _TO_HARNESS)
