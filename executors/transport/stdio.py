"""Transport over a pair of byte streams: one message a line, each ended by a newline.

Two threads do the blocking reads and writes, so that anything can stand at the other end: a
pipe, a socket, a terminal or a file, on POSIX and on Windows.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque

from executors.transport.base import Receiver, ReceiverFactory

_READ_BYTES = 256 * 1024
_READ_AHEAD_BYTES = 1024 * 1024
_MAX_UNDELIVERED = 4
SEND_HIGH_WATER = 1024 * 1024
SEND_LOW_WATER = 256 * 1024


class LineSplitter:
    """Cuts a byte stream into lines. Plain state, no I/O.

    :param limit: bytes that one line may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that *data* completes, blank ones left out.

        :raises ValueError: a line is longer than the limit.
        """
        head, *rest = data.split(b"\n")
        self._size += len(head)
        if self._size > self._limit or (rest and max(map(len, rest)) > self._limit):
            raise ValueError(f"line of more than {self._limit} bytes")
        self._parts.append(head)
        if not rest:
            return []
        lines = [b"".join(self._parts), *rest[:-1]]
        self._parts = [rest[-1]]
        self._size = len(rest[-1])
        return [line for line in lines if line and not line.isspace()]


class StdioTransport:
    """One peer over two descriptors; see :class:`executors.transport.base.Transport`.

    :param read_fd: where messages come from; the connection ends with its end of file.
    :param write_fd: where messages go.
    :param line_bytes: a longer line ends the connection.
    """

    largest_message: int | None = None

    def __init__(self, read_fd: int, write_fd: int, line_bytes: int, make_receiver: ReceiverFactory) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._lines = LineSplitter(line_bytes)
        self._may_read = threading.Event()
        self._may_read.set()
        self._undelivered = threading.Semaphore(_MAX_UNDELIVERED)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._work = threading.Condition()
        self._closing = False
        self._writing_paused = False
        self._lost = False
        self.written = asyncio.Event()
        """Set once all that was sent is written, after :meth:`close`, or given up."""
        self._receiver: Receiver = make_receiver(self)
        # Daemons, since a blocked read cannot be called off.
        threading.Thread(target=self._read, name="stdio-read", daemon=True).start()
        self._writer = threading.Thread(target=self._write, name="stdio-write", daemon=True)
        self._writer.start()

    @property
    def ended_in_order(self) -> bool:
        return True

    def send(self, message: bytes) -> None:
        with self._work:
            if self._closing:
                return
            self._queue.append(message + b"\n")
            self._queued += len(message) + 1
            self._work.notify()
            # Under the lock, or the writer could be done before it sees that somebody waits.
            pauses = self._queued > SEND_HIGH_WATER and not self._writing_paused
            if pauses:
                self._writing_paused = True
        if pauses:
            self._receiver.pause_writing()

    def send_buffer_size(self) -> int:
        return self._queued

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends the stream after what was sent; the reason goes to the standard error stream."""
        if reason:
            print(f"stdio connection closed: {reason}", file=sys.stderr, flush=True)
        with self._work:
            self._closing = True
            self._work.notify()

    def abort(self) -> None:
        with self._work:
            self._closing = True
            self._queue.clear()
            self._queued = 0
            self._work.notify()
        # A write that is under way cannot be called off, so its thread may never tell.
        self._on_loop(self._writing_ended)

    def _read(self) -> None:
        reason = ""
        ahead = 0
        while True:
            # A peer that is held back may end, too, and behind what it sent its end must be seen.
            if self._may_read.is_set():
                ahead = 0
            elif ahead > _READ_AHEAD_BYTES:
                self._may_read.wait()
            try:
                data = os.read(self._read_fd, _READ_BYTES)
                ahead += len(data)
                lines = self._lines.feed(data)
            except OSError:
                data = b""
            except ValueError as error:
                data, reason = b"", str(error)
            if not data:
                break
            if lines:
                # Reading is faster than answering: it must not run ahead by more than a little.
                self._undelivered.acquire()
                self._on_loop(self._deliver, lines)
        self._on_loop(self._ended, reason)

    def _on_loop(self, call: object, *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)  # type: ignore[arg-type]
        except RuntimeError:
            # The loop has been closed: nobody is left to tell.
            return

    def _deliver(self, lines: list[bytes]) -> None:
        for line in lines:
            if self._lost:
                break
            self._receiver.message_received(line)
        self._undelivered.release()

    def _ended(self, reason: str) -> None:
        self.close(1009, reason)
        if not self._lost:
            self._lost = True
            self._receiver.connection_lost()

    def _write(self) -> None:
        while True:
            with self._work:
                while not self._queue and not self._closing:
                    self._work.wait()
                if not self._queue:
                    break
                data = b"".join(self._queue) if len(self._queue) > 1 else self._queue[0]
                self._queue.clear()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._write_fd, view) :]
            except OSError:
                break
            with self._work:
                self._queued -= len(data)
                drained = self._writing_paused and self._queued <= SEND_LOW_WATER
            if drained:
                self._on_loop(self._drained)
        self._on_loop(self._writing_ended)

    def _writing_ended(self) -> None:
        self.written.set()
        self._ended("")

    def _drained(self) -> None:
        if self._writing_paused and self._queued <= SEND_LOW_WATER:
            self._writing_paused = False
            self._receiver.resume_writing()


def take_standard_streams() -> tuple[int, int]:
    """Returns private descriptors of stdin and stdout, and turns stdout to stderr.

    So that nothing printed by chance gets between two messages.
    """
    read_fd, write_fd = os.dup(0), os.dup(1)
    sys.stdout.flush()
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return read_fd, write_fd
