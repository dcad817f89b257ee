"""An event loop that goes on listening when a connection ends before it was taken.

asyncio's own closes the listener then (https://github.com/python/cpython/issues/93821), so that whoever
connects and resets the connection at once ends the service for everybody.

Other threads wake it by a completion instead of a byte through a socket: one call in place of five, each of
which is a message to another process under Wine.
"""

from __future__ import annotations

import _overlapped  # type: ignore[import-not-found]  # the standard library's own, without a stub
import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Any, Final

assert sys.platform == "win32"

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0
# The address of nothing that was begun, which the proactor passes over; 0 would be an error.
_NO_OPERATION: Final = 1
_OTHER_WAITER: Final = "accept_coro"


def new_event_loop() -> asyncio.ProactorEventLoop:
    """Returns a loop as asyncio makes it, but for its way to take connections."""
    loop = _Loop(_Proactor())
    loop.set_exception_handler(_report)
    return loop


class _Loop(asyncio.ProactorEventLoop):
    def _write_to_self(self) -> None:
        # Whoever calls from another thread may find the loop closed, or while it closes: nobody is left to be
        # woken then.
        port = getattr(getattr(self, "_proactor", None), "_iocp", None)
        if port is not None:
            with suppress(OSError):
                _overlapped.PostQueuedCompletionStatus(port, 0, 0, _NO_OPERATION)


class _Proactor(asyncio.IocpProactor):
    def accept(self, listener: socket.socket) -> asyncio.Future[Any]:
        # The loop keeps it, waits for it, and cancels it when the listener is closed.
        return asyncio.get_running_loop().create_task(self._next(listener))

    async def _next(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        while True:
            try:
                waiting = super().accept(listener)
            except OSError as error:
                if listener.fileno() == -1:
                    raise
                # Such as too many open sockets.
                logger.warning("no connection can be taken for now: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                connection, address = await waiting
            except OSError as error:
                if listener.fileno() == -1:
                    raise
                logger.debug("a connection ended before it was taken: %s", error)
                continue
            try:
                # asyncio does this next, and would take it for a fault of the listener too.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                logger.debug("a connection ended while it was taken: %s", error)
                connection.close()
                continue
            return connection, address


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Reports as usual, but for what a task of the proactor's own makes of the error of a connection."""
    task = context.get("future")
    if (
        isinstance(task, asyncio.Task)
        and isinstance(context.get("exception"), OSError)
        and getattr(task.get_coro(), "__name__", "") == _OTHER_WAITER
    ):
        return
    loop.default_exception_handler(context)
