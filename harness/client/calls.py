"""Calls that wait for their replies, matched by id in any order. Plain state, no I/O."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from executors.protocol import methods
from executors.protocol.envelope import UNKNOWN_ID, ErrorObject, Message, decode_as
from executors.protocol.environment import EnvironmentInfo
from executors.protocol.errors import RpcError
from executors.protocol.files import OpenParams
from executors.protocol.methods import Method
from harness.client.errors import BadReply, ConnectionLost

P = TypeVar("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

_ONLY_READ: Final = frozenset(
    (
        methods.INITIALIZE.name,
        methods.ENVIRONMENT_INFO.name,
        methods.ENVIRONMENT_STATUS.name,
        methods.PROCESS_READ.name,
        methods.FS_READ_FILE.name,
        methods.FS_CANONICALIZE.name,
        methods.FS_GET_METADATA.name,
        methods.FS_READ_DIRECTORY.name,
        methods.FS_WALK.name,
        methods.FS_READ_BLOCK.name,
    )
)


def changes_something(method: Method[P, Any], params: P) -> bool:
    """Whether it matters if a call was carried out whose answer is not known."""
    if isinstance(params, OpenParams):
        return params.mode != "read"
    return method.name not in _ONLY_READ


class Pending(Generic[R]):
    """A call whose request is sent; await it once for the result.

    :ivar changes: whether it changes something where it is carried out.
    :raises RpcError: the executor refused.
    :raises BadReply: the reply has another form than the method's.
    :raises ConnectionLost: it can no longer be answered; see there.
    """

    __slots__ = ("_calls", "changes", "future", "id", "method")

    def __init__(self, calls: Calls, id: int, method: Method[Any, R], changes: bool) -> None:
        self._calls = calls
        self.id = id
        self.method = method
        self.changes = changes
        self.future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, R]:
        try:
            raw = yield from self.future.__await__()
        except asyncio.CancelledError:
            self.abandon()
            raise
        try:
            return decode_as(raw, self.method.result)
        except RpcError as error:
            raise BadReply(f"malformed reply to {self.method.name}: {error.message}") from None

    def abandon(self) -> None:
        """Nobody will await this call any more; its reply is dropped."""
        self._calls.forget(self.id)
        if self.future.done() and not self.future.cancelled():
            # Marks an error as seen.
            self.future.exception()
        else:
            self.future.cancel()


class Calls:
    """The calls of one connection that wait for a reply."""

    def __init__(self) -> None:
        self._waiting: dict[int, Pending[Any]] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, method: Method[P, R], params: P) -> Pending[R]:
        self._last_id += 1
        pending = Pending(self, self._last_id, method, changes_something(method, params))
        self._waiting[pending.id] = pending
        return pending

    def forget(self, id: int) -> None:
        self._waiting.pop(id, None)

    def settle(self, reply: Message) -> None:
        """Hands a reply, result or error, to the call that waits for it."""
        pending = self._waiting.pop(reply.id, None) if isinstance(reply.id, int) else None
        if pending is None:
            self._log_unmatched(reply)
            return
        if pending.future.done():
            return
        if reply.error is msgspec.UNSET:
            assert reply.result is not msgspec.UNSET
            pending.future.set_result(reply.result)
            return
        try:
            error = decode_as(reply.error, ErrorObject)
        except RpcError as malformed:
            text = f"malformed error reply to {pending.method.name}: {malformed.message}"
            pending.future.set_exception(BadReply(text))
        else:
            pending.future.set_exception(RpcError(error.code, error.message))

    def fail(self, explain: Callable[[Pending[Any]], ConnectionLost]) -> None:
        """Fails every waiting call with what *explain* makes of it."""
        waiting, self._waiting = self._waiting, {}
        for pending in waiting.values():
            if not pending.future.done():
                pending.future.set_exception(explain(pending))

    def _log_unmatched(self, reply: Message) -> None:
        if reply.id == UNKNOWN_ID and reply.error is not msgspec.UNSET:
            logger.warning("the executor could not read a message: %s", bytes(reply.error).decode())
        elif isinstance(reply.id, int) and 0 < reply.id <= self._last_id:
            logger.debug("late or repeated reply to call %d", reply.id)
        else:
            logger.warning("reply to a call that was never made: id %r", reply.id)


class Caller(Protocol):
    """Who carries calls to an executor."""

    @property
    def info(self) -> EnvironmentInfo: ...

    async def call(self, method: Method[P, R], params: P) -> R:
        """Sends a request and waits for its reply; raises as :class:`Pending`."""

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        """Sends a request, waiting only while the send buffer is full or the connection is being recovered.

        :raises ConnectionLost: it was not sent, and cannot be.
        """

    async def one_connection(self) -> Caller:
        """Returns who makes calls over the present connection alone, and raises
        :class:`harness.client.errors.HandleLost` once that is gone."""


async def pipelined(
    caller: Caller, method: Method[P, R], requests: AsyncIterable[P], window: int
) -> AsyncGenerator[R, None]:
    """Calls *method* for each of *requests*, up to *window* at a time; yields results in order.

    Close the iterator (``contextlib.aclosing``) when leaving it early.
    """
    waiting: deque[Pending[R]] = deque()
    try:
        async for params in requests:
            waiting.append(await caller.submit(method, params))
            if len(waiting) >= window:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for pending in waiting:
            pending.abandon()
