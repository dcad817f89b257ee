"""Lingers on a connection by a reader of the event loop; see :mod:`executors.transport.linger`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_READ_BYTES = 256 * 1024


class Linger:
    """Reads and drops what still comes until the peer ends its side; owns and closes the socket.

    :param seconds: at most so long.
    :param ended: called once, when the socket is closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        seconds: float,
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._ended = ended
        self._deadline = loop.call_later(seconds, self.end)
        connection.setblocking(False)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        loop.add_reader(connection, self._readable)

    def end(self) -> None:
        """Closes at once."""
        if self._connection.fileno() < 0:
            return
        self._deadline.cancel()
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._ended()

    def _readable(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.end()
