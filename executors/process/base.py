"""What a process backend offers, whatever the operating system.

``posix.py`` and ``windows.py`` implement it; callers never ask which. Everything runs on
the thread of the event loop and never blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from executors.protocol.processes import Stream

DEFAULT_ROWS = 24
DEFAULT_COLS = 80


Starter = Callable[[Callable[[], int]], int]
"""Calls what starts a process and returns its id, in a place where what is started is confined."""


class Wrapping(msgspec.Struct, frozen=True):
    """What it takes to start a program that starts another one, which is the one that is meant. POSIX only.

    :ivar descriptors: what it is given besides the standard streams, by the numbers that it knows: a
        descriptor of this process, larger than all of these numbers, or a path to open for reading.
    :ivar blocked: the signals that it begins with blocked.
    :ivar judge_exit: called once, with the exit code of the wrapper; returns what is told in its place, and
        what is written to the standard error or terminal before that.
    """

    descriptors: Mapping[int, int | str]
    blocked: frozenset[int]
    judge_exit: Callable[[int], tuple[int, bytes]]


class SpawnRequest(msgspec.Struct, frozen=True):
    """A process to start.

    :ivar argv: not empty. A program without a path separator is looked up in the PATH of *env*;
        a relative one is relative to *cwd*.
    :ivar arg0: what the program sees as its ``argv[0]``; None for ``argv[0]`` itself. Has no
        effect on the program that is started. On Windows programs see the command line.
    :ivar cwd: absolute native path of a directory.
    :ivar env: the complete environment.
    :ivar tty: a terminal of 24 rows and 80 columns as stdin, stdout and stderr.
    :ivar pipe_stdin: a pipe as stdin; else, without *tty*, stdin is the null device.
    :ivar stdin: a descriptor of this process, above 2, to be stdin in their place. POSIX only, without *tty*.
    :ivar starter: where it is started; None for right here.
    :ivar wrapping: for a program that starts the one that is meant; None for that one itself.
    :ivar token: handle of a token that it gets, for Windows only; it is then kept from the user interface of
        others. None for the token of this process.
    """

    argv: list[str]
    cwd: str
    env: dict[str, str]
    arg0: str | None = None
    tty: bool = False
    pipe_stdin: bool = False
    stdin: int | None = None
    starter: Starter | None = None
    wrapping: Wrapping | None = None
    token: int | None = None


class ProcessObserver(Protocol):
    """Who hears of a process. No call comes before :meth:`Backend.spawn` has returned."""

    def output(self, stream: Stream, data: bytes) -> None:
        """A piece of output, never empty."""

    def exited(self, exit_code: int) -> None:
        """The process itself has ended; others may still hold its output.

        POSIX: 128+n for a death by signal n. Windows: the status as a signed 32-bit number.
        """

    def output_closed(self) -> None:
        """No more output can come: every holder of the pipes or of the terminal has closed them."""


class ChildProcess(Protocol):
    """A process that was started, and everything that it started.

    :ivar pid: its number, also after its end.
    """

    pid: int

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        """Queues *data* for stdin.

        :returns: None if it was taken at once or there is room to queue more, else a future that
            is done when there is room again.
        :raises BrokenPipeError: stdin is closed or was never opened.
        """

    def close_stdin(self) -> None:
        """Closes stdin after what is queued. Nothing happens where it is closed.

        :raises io.UnsupportedOperation: stdin is a terminal.
        """

    def interrupt(self) -> None:
        """Does what Ctrl-C at a terminal does; nothing happens after the exit.

        POSIX: SIGINT to the process group of the session leader; with a terminal, to its
        foreground process group. Windows: CTRL_BREAK to the process group; with a terminal, Ctrl-C
        is typed there.

        :raises PermissionError: the system refuses; the message says why.
        """

    def resize(self, rows: int, cols: int) -> None:
        """Changes the size of the terminal; its foreground processes hear of it.

        :raises io.UnsupportedOperation: the process has no terminal, or the system cannot change its size.
        """

    def pause_output(self) -> None:
        """Stops reading output, so that the process blocks when its pipe is full."""

    def resume_output(self) -> None: ...

    async def terminate(self) -> None:
        """Kills the process and all that descends from it; returns when they are gone.

        Linux: descendants that have left the process group or session are found too. Other
        POSIX systems: the process group, and no more. Windows: the job object.

        :raises TimeoutError: some are not gone after 5 s; the message names them.
        """

    def has_left_any(self) -> bool:
        """Whether the process, or anything that descends from it, is known to be there."""

    def release(self) -> None:
        """Closes this side of the pipes or terminal; no event comes after it."""


class Backend(Protocol):
    """Starts processes.

    :ivar can_resize: whether terminals can change their size here; under Wine they cannot.
    """

    can_resize: bool

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> ChildProcess:
        """Starts a process.

        :raises OSError: the program or the directory is missing or unfit.
        :raises ValueError: *argv* or *env* holds what no process can be given.
        """

    def has_orphans(self) -> bool:
        """Whether a process may run that outlived the one that started it, whosoever that was."""

    async def close(self) -> None:
        """Releases what the backend holds; its processes must have been terminated."""
