"""The standard streams of a container or of a program in it, over the connection that Docker hands over."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_HEADER_BYTES: Final = 8
_STDERR: Final = 2


class Stream:
    """Writes standard input; reads the others in a thread, which ends with them.

    :param taken: what docker-py's ``attach_socket`` or ``exec_start(socket=True)`` has returned. Nothing may
        come from the other side before it is told something: docker-py drops what comes with the headers.
    :param stdout: called in the thread, for each piece; if it raises OSError the stream is closed.
    :param stderr: the same.
    :param ended: called in the thread, last.
    """

    def __init__(
        self,
        taken: Any,
        stdout: Callable[[bytes], object],
        stderr: Callable[[bytes], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self._taken = taken
        # A SocketIO on top of what can be half closed.
        self._socket: socket.socket = getattr(taken, "_sock", taken)
        self._socket.settimeout(None)
        self._stdout = stdout
        self._stderr = stderr
        self._ended = ended
        self._thread = threading.Thread(target=self._read, name="docker-stream", daemon=True)
        self._thread.start()

    def send(self, data: bytes | memoryview) -> None:
        """:raises OSError: the other side is gone."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Whether the outputs ended within so many seconds; without a number, waits as long as it takes."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Ends both directions and waits for the thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        response = getattr(self._taken, "_response", None)
        if response is not None:
            response.close()
        self._taken.close()
        # docker-py has taken it out of its pool, and nobody else closes it.
        self._socket.close()

    def _read(self) -> None:
        with suppress(OSError):
            while head := self._take(_HEADER_BYTES):
                data = self._take(int.from_bytes(head[4:], "big"))
                (self._stderr if head[0] == _STDERR else self._stdout)(data)
        self._ended()

    def _take(self, size: int) -> bytes:
        """Returns *size* bytes, or none at the end."""
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                return b""
            data += piece
        return bytes(data)


class FirstLine:
    """Waits for the first line of an output; takes the pieces of it."""

    def __init__(self) -> None:
        self._data = b""
        self._settled = threading.Event()

    def feed(self, data: bytes) -> None:
        if not self._settled.is_set():
            self._data += data
            if b"\n" in self._data:
                self._settled.set()

    def end(self) -> None:
        """No more will come."""
        self._settled.set()

    def wait(self, seconds: float) -> str:
        """Returns the line, without its end, or what there is of it when the output or the time has ended."""
        self._settled.wait(seconds)
        return self._data.partition(b"\n")[0].decode(errors="replace").strip()
