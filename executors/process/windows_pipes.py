"""The ends of a Windows process's pipes that stay with the executor: overlapped named pipes.

Anonymous pipes know no overlapped operations, so pipes have names here, as in asyncio itself.
"""

from __future__ import annotations

import _winapi
import asyncio
import sys
from asyncio import windows_utils
from collections.abc import Callable
from typing import Protocol, cast

from executors.process.input_queue import InputQueue

assert sys.platform == "win32"

_READ_BYTES = 64 * 1024
_LARGE_BYTES = 256 * 1024
_WRITE_BYTES = 64 * 1024
# Charged as it is used. Under Wine a program writes 1.5 times as fast into this as into 64 KiB.
_OUTPUT_PIPE_BYTES = 256 * 1024
_INPUT_PIPE_BYTES = 64 * 1024


class Proactor(Protocol):
    """What is used of :class:`asyncio.IocpProactor`."""

    def recv(self, conn: windows_utils.PipeHandle, nbytes: int) -> asyncio.Future[bytes]: ...
    def send(self, conn: windows_utils.PipeHandle, buf: memoryview) -> asyncio.Future[int]: ...
    def wait_for_handle(self, handle: int) -> asyncio.Future[bool]: ...


def proactor_of(loop: asyncio.AbstractEventLoop) -> Proactor:
    """Returns the loop's completion port.

    asyncio's public functions for pipes come with transports that read ahead and cannot tell a
    write of nothing from the end; its port underneath is what they use themselves.

    :raises TypeError: the loop is not the Proactor loop.
    """
    proactor = getattr(loop, "_proactor", None)
    if proactor is None:
        raise TypeError(f"processes on Windows need asyncio's ProactorEventLoop, not {type(loop).__name__}")
    return cast(Proactor, proactor)


def output_pipe() -> tuple[int, int]:
    """Returns our end to read, overlapped, and the child's end to write."""
    return windows_utils.pipe(overlapped=(True, False), bufsize=_OUTPUT_PIPE_BYTES)


def input_pipe() -> tuple[int, int]:
    """Returns our end to write, overlapped, and the child's end to read."""
    # The first end of a simplex pipe of asyncio's reads: only a duplex one can be written by it.
    reader, writer = windows_utils.pipe(overlapped=(False, True), bufsize=_INPUT_PIPE_BYTES)
    return writer, reader


class OutputReader:
    """Reads a pipe as long as it is not paused; owns and closes the handle.

    :param received: gets every piece of output, never empty.
    :param ended: called once, after the last piece.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: int,
        received: Callable[[bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._proactor = proactor_of(loop)
        self._pipe = windows_utils.PipeHandle(handle)
        self._received = received
        self._ended = ended
        self._size = _READ_BYTES
        self._paused = True
        self._reading: asyncio.Future[bytes] | None = None
        # Came while paused: a read that is under way cannot be called back without loss.
        self._held = b""
        self._at_end = False

    @property
    def closed(self) -> bool:
        return self._pipe.handle is None

    def resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self._loop.call_soon(self._go_on)

    def pause(self) -> None:
        self._paused = True

    def close(self) -> None:
        """Stops reading without a call of *ended*."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
        self._pipe.close()

    def _go_on(self) -> None:
        if self._paused or self.closed:
            return
        if self._held:
            data, self._held = self._held, b""
            self._received(data)
        if self._paused or self.closed:
            return
        if self._at_end:
            self.close()
            self._ended()
        elif self._reading is None:
            self._reading = self._proactor.recv(self._pipe, self._size)
            self._reading.add_done_callback(self._arrived)

    def _arrived(self, reading: asyncio.Future[bytes]) -> None:
        error = None if reading.cancelled() else reading.exception()
        if reading is not self._reading:
            return
        self._reading = None
        self._held = b"" if error is not None else reading.result()
        if len(self._held) == self._size:
            # A fast writer: fewer wake-ups for each megabyte.
            self._size = _LARGE_BYTES
        self._at_end = error is not None or (not self._held and self._has_ended())
        self._go_on()

    def _has_ended(self) -> bool:
        """Tells the end from a write of nothing, which completes a read as well."""
        try:
            _winapi.PeekNamedPipe(int(self._pipe.fileno()), 0)
        except OSError:
            return True
        return False


class InputWriter:
    """Writes to a pipe as it takes data; owns and closes the handle."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: int) -> None:
        self._proactor = proactor_of(loop)
        self._pipe = windows_utils.PipeHandle(handle)
        self._queue = InputQueue(loop)
        self._writing: asyncio.Future[int] | None = None

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """See :meth:`executors.process.base.ChildProcess.write`."""
        if self._queue.closing:
            raise BrokenPipeError("stdin is closed")
        if not data:
            return None
        room = self._queue.put(memoryview(data))
        if self._writing is None:
            self._send()
            if self._pipe.handle is None:
                raise BrokenPipeError("nobody reads stdin any more")
        return room

    def close_after_writing(self) -> None:
        self._queue.closing = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Closes at once; what is queued is dropped, since nobody reads it any more."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
        self._pipe.close()
        self._queue.clear()

    def _send(self) -> None:
        try:
            self._writing = self._proactor.send(self._pipe, self._queue.head[:_WRITE_BYTES])
        except OSError:
            self.close()
            return
        self._writing.add_done_callback(self._sent)

    def _sent(self, writing: asyncio.Future[int]) -> None:
        error = None if writing.cancelled() else writing.exception()
        if writing is not self._writing:
            return
        self._writing = None
        if error is not None:
            self.close()
            return
        self._queue.taken(writing.result())
        if self._queue:
            self._send()
        elif self._queue.closing:
            self.close()
