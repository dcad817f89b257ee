"""What is written to a process, in its order, through any number of connections."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from executors.protocol.methods import Method
from harness.client.calls import Pending
from harness.client.connection import Connection
from harness.client.errors import ConnectionLost, SessionLost

P = TypeVar("P")
R = TypeVar("R")

_MAX_UNANSWERED: Final = 1024
"""An executor remembers the last 4,096 writes of a process; one that it has forgotten would be done twice."""
_TOO_BIG: Final = 1009  # RFC 6455 section 7.4.1


class Connected(Protocol):
    """Who has a connection, time and again."""

    async def connected(self, waiting_for: str) -> Connection:
        """Waits for the connection over which calls go.

        :raises SessionLost: there is none any more.
        """


class Sent(Generic[R]):
    """A call in the queue; see :meth:`InputQueue.put`."""

    def __init__(self, method: Method[Any, R], params: Any) -> None:
        self.method = method
        self.params = params
        self.pending: Pending[R] | None = None
        self.over = False
        # It may be done a second time, if it is sent again.
        self.has_room = True
        self.blamed = 0

    def is_due(self) -> bool:
        """Whether it was never sent, or over a connection that was lost before the answer."""
        if self.over or self.pending is None:
            return not self.over
        future = self.pending.future
        return future.done() and not future.cancelled() and isinstance(future.exception(), ConnectionLost)


class InputQueue:
    """Calls of one process that must be carried out in order, each once.

    Each is repeated until it is answered, and never after one that was put later. It must be such that
    the executor takes a second one for what it is.
    """

    def __init__(self, session: Connected) -> None:
        self._session = session
        self._unanswered: dict[Sent[Any], None] = {}
        self._room = asyncio.Semaphore(_MAX_UNANSWERED)
        self._turn = asyncio.Lock()
        # New ones, and the connection over which all others were sent.
        self._unsent: deque[Sent[Any]] = deque()
        self._connection: Connection | None = None

    async def put(self, method: Method[P, R], params: P) -> Sent[R]:
        """Sends a call, waiting while the send buffer is full or there is no connection.

        Have it :meth:`answered`, or :meth:`abandon` it.

        :raises SessionLost: there is no connection any more.
        """
        await self._room.acquire()
        sent = Sent(method, params)
        self._unanswered[sent] = None
        self._unsent.append(sent)
        try:
            await self._send()
        except BaseException:
            self.abandon(sent)
            raise
        return sent

    async def answered(self, sent: Sent[R]) -> R:
        """Waits for the answer, sending again what a lost connection has left unanswered.

        :raises RpcError: the executor refused.
        :raises OutcomeUnknown: it has ended two connections, since one side takes no message of its size.
        :raises SessionLost: there is no connection any more.
        """
        try:
            while True:
                assert sent.pending is not None
                try:
                    return await sent.pending
                except SessionLost:
                    raise
                except ConnectionLost as lost:
                    if lost.code == _TOO_BIG:
                        sent.blamed += 1
                    if sent.blamed > 1:
                        # It would end one connection after the other.
                        raise
                    await self._send()
        finally:
            self.abandon(sent)

    def abandon(self, sent: Sent[Any]) -> None:
        """Nobody waits for the answer; it is not sent any more."""
        if sent.over:
            return
        sent.over = True
        del self._unanswered[sent]
        self._give_room_back(sent)
        if sent.pending is not None:
            sent.pending.abandon()

    def _give_room_back(self, sent: Sent[Any]) -> None:
        if sent.has_room:
            sent.has_room = False
            self._room.release()

    def _done(self, sent: Sent[Any], future: asyncio.Future[msgspec.Raw]) -> None:
        # Not only when somebody takes the answer: he may be waiting for room himself.
        if not future.cancelled() and not isinstance(future.exception(), ConnectionLost):
            self._give_room_back(sent)

    async def _send(self) -> None:
        # One at a time: else a later call would overtake one that waits for room in the send buffer.
        async with self._turn:
            while self._unsent or self._connection is None or self._connection.lost is not None:
                waiting_for = next(iter(self._unanswered)).method.name if self._unanswered else ""
                connection = await self._session.connected(waiting_for)
                if connection is not self._connection:
                    self._connection = connection
                    self._unsent = deque(filter(Sent.is_due, self._unanswered))
                try:
                    while self._unsent:
                        sent = self._unsent[0]
                        if not sent.over:
                            sent.pending = await connection.submit(sent.method, sent.params)
                            sent.pending.future.add_done_callback(partial(self._done, sent))
                        self._unsent.popleft()
                except ConnectionLost:
                    # What had just been sent is due again, and comes first.
                    continue
