"""``crossexec run``: a program elsewhere that behaves like one started here."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import nullcontext, suppress
from types import FrameType
from typing import Any, Final, Self

from executors.protocol.errors import ErrorCode, RpcError
from harness.cli_streams import blocking, write_all
from harness.cli_target import UsageError, describe, open_target, remote_path
from harness.client.errors import OutcomeUnknown, StdinClosed, Unsupported
from harness.client.events import OutputEvent
from harness.client.process import Process

if sys.platform == "win32":
    from harness import cli_terminal_windows as terminal
else:
    from harness import cli_terminal_posix as terminal

OWN_FAILURE: Final = 125
NOT_STARTED: Final = 127
_NO_SUCH_STATUS: Final = 255
_INPUT_BYTES: Final = 64 * 1024
_FDS: Final = {"stdout": 1, "pty": 1, "stderr": 2}


async def run(options: argparse.Namespace) -> int:
    """Runs the program and returns the exit status of ``crossexec run``."""
    interactive = options.tty and not options.no_stdin
    if interactive and not os.isatty(0):
        raise UsageError("--tty: the standard input is no terminal; leave --tty out, or add -n for no input")
    piped = not (options.no_stdin or options.tty or os.isatty(0))
    async with open_target(options) as client:
        cwd = None if options.cwd is None else remote_path(client, options.cwd)
        try:
            process = await client.start(options.argv, cwd=cwd, tty=options.tty, stdin=piped)
        except RpcError as error:
            if error.code != ErrorCode.INTERNAL_ERROR:
                raise
            print(f"crossexec run: {describe(error)}", file=sys.stderr)
            return NOT_STARTED
        with _Signals(interactive) as signals, terminal.raw() if interactive else nullcontext():
            async with process:
                code = await _attend(process, signals, feed=piped or interactive, tty=options.tty)
    return _exit_status(signals.status or code)


def _exit_status(code: int) -> int:
    if 0 <= code <= 255:
        return code
    print(f"crossexec run: the program's exit code was {code}", file=sys.stderr)
    return _NO_SUCH_STATUS


async def _attend(process: Process, signals: _Signals, *, feed: bool, tty: bool) -> int:
    """Carries input, output and signals until the output has ended."""
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(signals.carry(process))]
            if feed:
                beside.append(group.create_task(_feed(process, close=not tty)))
            await _print_output(process)
            for task in beside:
                task.cancel()
    except BaseExceptionGroup as failures:
        # One lost connection is met by every task: one word about it is enough.
        raise failures.exceptions[0] from None
    assert process.exit_code is not None
    return process.exit_code


async def _print_output(process: Process) -> None:
    while events := await process.next_events():
        pieces: list[tuple[int, list[bytes]]] = []
        for event in events:
            if isinstance(event, OutputEvent):
                fd = _FDS[event.stream]
                if not pieces or pieces[-1][0] != fd:
                    pieces.append((fd, []))
                pieces[-1][1].append(event.data)
        for fd, data in pieces:
            await blocking(write_all, fd, b"".join(data))


async def _feed(process: Process, *, close: bool) -> None:
    try:
        while block := await blocking(os.read, 0, _INPUT_BYTES):
            await process.write(block)
        if close:
            await process.close_stdin()
    except StdinClosed:
        # As with a local pipe, a program may leave its input unread.
        return
    except Unsupported as error:
        print(f"crossexec run: the program never sees the end of its input: {error}", file=sys.stderr)


class _Signals:
    """Sends on to the program what this process is sent.

    The first Ctrl-C interrupts it, as a terminal would; a second one, and any other signal that
    asks for an end, kills it and all that it started.

    :ivar status: exit status of a process that such a signal has ended; 0 for none.
    :ivar resized: the signal that tells of a new size of the terminal, if that is of interest.
    """

    def __init__(self, interactive: bool) -> None:
        self.status = 0
        self.resized = terminal.RESIZED if interactive else None
        self._numbers: asyncio.Queue[int] = asyncio.Queue()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._numbers.put_nowait, number)

        for number in (signal.SIGINT, *terminal.ENDINGS, *([self.resized] if self.resized else [])):
            self._before[number] = signal.signal(number, handle)
        if self.resized:
            self._numbers.put_nowait(self.resized)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    async def carry(self, process: Process) -> None:
        interrupted = False
        while True:
            number = await self._numbers.get()
            # The program may end first; how it ended is then what counts.
            with suppress(RpcError):
                if number == self.resized:
                    await self._resize(process)
                elif number == signal.SIGINT and not interrupted:
                    interrupted = True
                    try:
                        await process.interrupt()
                    except OutcomeUnknown:
                        # It may not have come there: the next one asks again rather than kills.
                        interrupted = False
                else:
                    self.status = 128 + number
                    # From here on one more ends this process, whatever the executor does.
                    self.__exit__()
                    await process.terminate()

    async def _resize(self, process: Process) -> None:
        with suppress(Unsupported):
            columns, lines = os.get_terminal_size(0)
            if columns and lines:
                await process.resize(lines, columns)
