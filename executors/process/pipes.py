"""The ends of a POSIX process's pipes and terminal that stay with the executor."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable

from executors.process.input_queue import InputQueue

_READ_BYTES = 64 * 1024
_LARGE_BYTES = 256 * 1024
# F_SETPIPE_SZ of fcntl(2); the fcntl module has the name from Python 3.10 on Linux only.
_F_SETPIPE_SZ: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)


class OutputReader:
    """Reads a pipe or a terminal as long as it is not paused; owns and closes the descriptor.

    :param received: gets every piece of output, never empty.
    :param ended: called once, after the last piece.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        received: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._received = received
        self._ended = ended
        self._size = _READ_BYTES
        self._paused = True

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self._loop.add_reader(self._fd, self._readable)

    def pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def close(self) -> None:
        """Stops reading without a call of *ended*."""
        if not self.closed:
            self.pause()
            os.close(self._fd)
            self._fd = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, self._size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            # A terminal whose last holder has gone reads as EIO on Linux, as end of file elsewhere.
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self.close()
            self._ended()
            return
        if len(data) == _READ_BYTES == self._size:
            self._enlarge()
        self._received(data)

    def _enlarge(self) -> None:
        """Gives a fast writer a larger pipe: fewer wake-ups for each megabyte.

        Only then, since the kernel limits what one user's pipes may hold in sum (pipe(7)).
        """
        self._size = _LARGE_BYTES
        if _F_SETPIPE_SZ is not None:
            try:
                fcntl.fcntl(self._fd, _F_SETPIPE_SZ, _LARGE_BYTES)
            except OSError:
                return


class InputWriter:
    """Writes to a pipe or a terminal as it takes data; owns and closes the descriptor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._queue = InputQueue(loop)

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """See :meth:`executors.process.base.ChildProcess.write`."""
        if self._queue.closing or self._fd < 0:
            raise BrokenPipeError("stdin is closed")
        view = memoryview(data)
        if not self._queue:
            view = view[self._write_now(view) :]
        if not len(view):
            return None
        if not self._queue:
            self._loop.add_writer(self._fd, self._writable)
        return self._queue.put(view)

    def close_after_writing(self) -> None:
        self._queue.closing = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Closes at once; what is queued is dropped, since nobody reads it any more."""
        if self._fd >= 0:
            if self._queue:
                self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._queue.clear()

    def _write_now(self, view: memoryview) -> int:
        """Returns how many bytes were taken.

        :raises BrokenPipeError: nobody reads; the descriptor is closed.
        """
        try:
            return os.write(self._fd, view)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.close()
            raise BrokenPipeError("nobody reads stdin any more") from None

    def _writable(self) -> None:
        while self._queue:
            view = self._queue.head
            try:
                count = self._write_now(view)
            except BrokenPipeError:
                return
            self._queue.taken(count)
            if count < len(view):
                return
        self._loop.remove_writer(self._fd)
        if self._queue.closing:
            self.close()
