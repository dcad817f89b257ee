"""Lingers on a connection by a thread; see :mod:`executors.transport.linger`.

The event loop of Windows takes no socket that another object of the same connection has brought
to its completion port, so that it cannot read from a duplicate.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_READ_BYTES = 256 * 1024


class Linger:
    """Reads and drops what still comes until the peer ends its side; owns and closes the socket.

    :param seconds: at most so long.
    :param ended: called once on the event loop, when the socket is closed.
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
        self._deadline = time.monotonic() + seconds
        self._ended = ended
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        # Ends by itself within the time.
        threading.Thread(target=self._read, name="linger", daemon=True).start()

    def end(self) -> None:
        """Ends the wait at once; *ended* is called a moment later."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        with suppress(OSError), self._connection:
            while (left := self._deadline - time.monotonic()) > 0:
                self._connection.settimeout(left)
                if not self._connection.recv(_READ_BYTES):
                    break
        with suppress(RuntimeError):  # The loop has ended already.
            self._loop.call_soon_threadsafe(self._ended)
