"""The handle of a process that runs on an executor."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol, Self, TypedDict, TypeVar

from executors.protocol.binary import encode_base64
from executors.protocol.methods import (
    PROCESS_CLOSE_STDIN,
    PROCESS_RESIZE,
    PROCESS_SIGNAL,
    PROCESS_TERMINATE,
    PROCESS_WRITE,
    Method,
)
from executors.protocol.path_uri import PathUri
from executors.protocol.processes import (
    EnvPolicy,
    ProcessParams,
    ProcessResizeParams,
    ProcessSignalParams,
    ProcessWriteParams,
    ProcessWriteResult,
)
from harness.client.calls import Caller
from harness.client.errors import BadReply, OutputOverflow, StdinClosed, Unsupported
from harness.client.events import Completed, Event, ExitedEvent, OutputEvent
from harness.client.flow import BufferLimits, ReadGate
from harness.client.input import Connected, InputQueue, Sent
from harness.client.sandbox import Sandbox

P = TypeVar("P")
R = TypeVar("R")

WRITE_BLOCK_BYTES: Final = 256 * 1024
_WRITES_IN_FLIGHT: Final = 4


class RunOptions(TypedDict, total=False):
    """How a process starts, whatever confines it; every key may be left out."""

    cwd: PathUri | str | None
    """Where it runs; by default the executor's own working directory."""
    env: Mapping[str, str] | None
    """The complete environment, or, with *env_policy*, what overlays the one that it builds.
    Without both, the executor's own environment."""
    env_policy: EnvPolicy | None
    tty: bool
    """Gives it a terminal of 24 rows and 80 columns, for input too."""
    stdin: bool
    """Gives it a pipe to read from; otherwise its input is the null device."""
    arg0: str | None
    """What the program sees as ``argv[0]``; it is still found by ``argv[0]``."""
    process_id: str | None
    """By default a random one."""
    enforce_managed_network: bool | None


class StartOptions(RunOptions, total=False):
    """How a process starts; every key may be left out."""

    sandbox: Sandbox | None
    """The intent; see :mod:`harness.client.sandbox`."""


class ProcessCaller(Caller, Connected, Protocol):
    """Who carries the calls of a process."""

    async def repeated(self, method: Method[P, R], params: P) -> R:
        """Makes a call again until it is answered; it must not matter how often it is carried out.

        :raises SessionLost: it cannot be made any more.
        """


class Process:
    """A process on an executor; see :meth:`harness.client.client.Client.start`.

    Iterate over it for its events, in order and without gap: output, exit, close. There is one
    consumer; its events are gone once they have been handed out. What it has not read yet is
    kept: past a limit the client stops reading from the connection, unless somebody waits
    for something else from it; past a greater one the output is given up and iteration
    raises :class:`OutputOverflow` (:class:`harness.client.flow.BufferLimits`).

    The process goes on while the client has no connection, and so does this handle: events come after
    one another whichever connection they came over, and what is written arrives once and in order.
    As an async context manager it terminates the process on leaving.
    """

    def __init__(
        self, caller: ProcessCaller, process_id: str, argv: list[str], gate: ReadGate, limits: BufferLimits
    ) -> None:
        self.process_id = process_id
        self.argv = argv
        self.exited: ExitedEvent | None = None
        """Set as soon as the exit is known, whether or not its event was consumed."""
        self.closed = False
        """The last event has come in."""
        self._caller = caller
        self._gate = gate
        self._limits = limits
        self._events: deque[Event] = deque()
        self._unread = 0
        self._failure: Exception | None = None
        self._overflow: OutputOverflow | None = None
        self._consumer: asyncio.Future[None] | None = None
        self._exit_waiters: set[asyncio.Future[None]] = set()
        self._write_ids = itertools.count(1)
        self._input = InputQueue(caller)

    def __repr__(self) -> str:
        return f"<Process {self.process_id} {self.argv!r}>"

    @property
    def exit_code(self) -> int | None:
        """128+n for a death by signal n on POSIX; signed 32-bit on Windows; None while it runs."""
        return None if self.exited is None else self.exited.exit_code

    async def wait(self) -> int:
        """Waits for the exit, not for the end of output, and returns the exit code.

        The output need not be consumed: it is kept for a later consumer.

        :raises SessionLost: the session was lost first.
        :raises OutputLost: events are missing, so that the exit is unknown.
        """
        while self.exited is None:
            if self._failure is not None:
                raise self._failure
            future = asyncio.get_running_loop().create_future()
            self._exit_waiters.add(future)
            try:
                with self._gate.waiting():
                    await future
            finally:
                self._exit_waiters.discard(future)
        return self.exited.exit_code

    async def next_events(self) -> list[Event]:
        """Waits for events and returns all there are; an empty list after the last.

        :raises SessionLost: the session was lost before the last event.
        :raises OutputLost: events are missing that the executor no longer holds.
        :raises OutputOverflow: the consumer left too much unread.
        """
        if not await self._until_events():
            return []
        events = list(self._events)
        self._events.clear()
        self._unread = 0
        self._gate.drain(self.process_id)
        return events

    def put_back(self, events: Sequence[Event]) -> None:
        """Returns events that :meth:`next_events` gave, for the next consumer."""
        self._events.extendleft(reversed(events))
        self._unread += sum(len(event.data) for event in events if isinstance(event, OutputEvent))

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if not self._events and not await self._until_events():
            raise StopAsyncIteration
        event = self._events.popleft()
        if isinstance(event, OutputEvent):
            self._unread -= len(event.data)
            if self._unread <= self._limits.pause_bytes // 2:
                self._gate.drain(self.process_id)
        return event

    async def communicate(self, input: bytes | None = None) -> Completed:
        """Writes *input* and closes stdin, if given; collects what is left of the output until close.

        A process that ends without reading all of its input is no error.

        :raises Unsupported: *input* is given and the executor cannot close stdin.
        """
        if input is not None:
            self._require("process_close_stdin", "close the standard input of a process")
        parts: dict[str, list[bytes]] = {"stdout": [], "stderr": [], "pty": []}
        writer = None if input is None else asyncio.create_task(self._feed(input))
        try:
            while events := await self.next_events():
                for event in events:
                    if isinstance(event, OutputEvent):
                        parts[event.stream].append(event.data)
        finally:
            if writer is not None:
                if not self.closed:
                    writer.cancel()
                await asyncio.wait([writer])
        if writer is not None:
            writer.result()
        assert self.exited is not None
        return Completed(
            self.exited.exit_code,
            b"".join(parts["pty"] or parts["stdout"]),
            b"".join(parts["stderr"]),
            self.exited.sandbox_denied,
        )

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes to the standard input or the terminal, in blocks, and waits until all are accepted.

        :raises StdinClosed: the process takes no input.
        """
        view = memoryview(data).cast("B")
        waiting: deque[Sent[ProcessWriteResult]] = deque()
        try:
            for start in range(0, len(view), WRITE_BLOCK_BYTES):
                block = encode_base64(view[start : start + WRITE_BLOCK_BYTES])
                params = ProcessWriteParams(
                    self.process_id, block, f"{self.process_id}-{next(self._write_ids)}"
                )
                waiting.append(await self._input.put(PROCESS_WRITE, params))
                if len(waiting) >= _WRITES_IN_FLIGHT:
                    self._check_written(await self._input.answered(waiting.popleft()))
            while waiting:
                self._check_written(await self._input.answered(waiting.popleft()))
        finally:
            for sent in waiting:
                self._input.abandon(sent)

    async def close_stdin(self) -> None:
        """Lets the process read the end of its input; a second time changes nothing.

        :raises StdinClosed: it never had an input to close, or is gone.
        :raises Unsupported: the executor cannot do this.
        """
        self._require("process_close_stdin", "close the standard input of a process")
        # Behind what is being written.
        sent = await self._input.put(PROCESS_CLOSE_STDIN, ProcessParams(self.process_id))
        result = await self._input.answered(sent)
        if result.status == "unknownProcess":
            self._check_written(result)

    async def interrupt(self) -> None:
        """Sends SIGINT to the process group; on Windows a console control event.

        :raises OutcomeUnknown: the connection was lost before the answer. A second signal may do something
            else than the first, so it is left to the caller.
        """
        await self._caller.call(PROCESS_SIGNAL, ProcessSignalParams(self.process_id, "interrupt"))

    async def resize(self, rows: int, cols: int) -> None:
        """Sets the size of the terminal.

        :raises Unsupported: the executor cannot do this.
        """
        self._require("process_resize", "resize a terminal")
        sent = await self._input.put(PROCESS_RESIZE, ProcessResizeParams(self.process_id, rows, cols))
        await self._input.answered(sent)

    async def terminate(self) -> bool:
        """Kills the process and all that it started; tells whether it still ran.

        If a connection was lost before the answer, it may be this call itself that had ended it.
        """
        result = await self._caller.repeated(PROCESS_TERMINATE, ProcessParams(self.process_id))
        return result.running

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self.closed and not isinstance(self._failure, ConnectionError):
            await self.terminate()
            await self.wait()

    def deliver(self, event: Event) -> None:
        """Takes the next event in order; the client calls this."""
        if isinstance(event, OutputEvent):
            if self._overflow is not None:
                return
            self._unread += len(event.data)
            if self._unread > self._limits.overflow_bytes:
                self._give_up_output()
                return
            if self._unread > self._limits.pause_bytes:
                self._gate.fill(self.process_id)
        elif isinstance(event, ExitedEvent):
            self.exited = event
            self._wake_exit_waiters()
        else:
            self.closed = True
            # It cannot grow any more, so there is nothing to hold back.
            self._gate.drain(self.process_id)
            if self.exited is None:
                self._failure = BadReply(f"the executor closed {self!r} without telling its exit code")
                self._wake_exit_waiters()
        if self._overflow is None:
            self._events.append(event)
            self._wake_consumer()

    def fail(self, error: Exception) -> None:
        """No further event can come; the client calls this."""
        if self.closed or self._failure is not None:
            return
        self._failure = error
        self._gate.drain(self.process_id)
        self._wake_exit_waiters()
        self._wake_consumer()

    def _give_up_output(self) -> None:
        self._events.clear()
        self._unread = 0
        self._overflow = OutputOverflow(
            f"process {self.process_id!r} ({self.argv!r}) wrote more than {self._limits.overflow_bytes} "
            f"bytes that nobody read; all of it was dropped. Consume its output, or let it write to a file"
        )
        self._gate.drain(self.process_id)
        self._wake_consumer()

    async def _feed(self, input: bytes) -> None:
        try:
            await self.write(input)
            await self.close_stdin()
        except StdinClosed:
            # As with a local pipe, a program may leave its input unread.
            return
        except Exception:
            # It would wait for the rest of its input for ever.
            await self.terminate()
            raise

    def _check_written(self, result: ProcessWriteResult) -> None:
        if result.status == "accepted":
            return
        found = {
            "stdinClosed": "its input is closed: it was started without `stdin` or `tty`, its input was "
            "closed before, or it has ended",
            "unknownProcess": "the executor does not know it (any more)",
            "starting": "it has not started yet",
        }[result.status]
        raise StdinClosed(f"cannot write to process {self.process_id!r} ({self.argv!r}): {found}")

    def _require(self, capability: str, action: str) -> None:
        if not getattr(self._caller.info.capabilities, capability):
            version = self._caller.info.executor_version or "of unknown version"
            raise Unsupported(f"the executor ({version}) cannot {action}: no capability {capability}")

    async def _until_events(self) -> bool:
        """Waits until there is an event to consume; False after the last."""
        if self._consumer is not None:
            raise RuntimeError(f"{self!r} has another consumer already")
        while True:
            if self._overflow is not None:
                raise self._overflow
            if self._events:
                return True
            if self._failure is not None:
                raise self._failure
            if self.closed:
                return False
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                with self._gate.waiting():
                    await self._consumer
            finally:
                self._consumer = None

    def _wake_consumer(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    def _wake_exit_waiters(self) -> None:
        for future in self._exit_waiters:
            if not future.done():
                future.set_result(None)
