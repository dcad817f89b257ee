"""Processes that do as they are told, in place of those of an operating system."""

from __future__ import annotations

import asyncio
import io
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from executors.process.base import ProcessObserver, SpawnRequest
from executors.protocol.processes import Stream
from executors.sandbox.backend import Attempt, Confinement, Evidence, Proof, SandboxBackend
from executors.sandbox.policy import Policy

KILLED: Final = 137
INTERRUPTED: Final = 130
STDIN_BYTES: Final = 64
PROOF_SECONDS: Final = 4.0


class FakeProcess:
    """A process and what it has started; see :class:`executors.process.base.ChildProcess`.

    :ivar name: the program's first argument.
    :ivar written: all that it wrote, in order.
    :ivar received: what it was sent.
    :ivar interrupts: how often it was interrupted while it ran.
    :ivar alive: it, or what holds its output, is there.
    """

    def __init__(self, pid: int, request: SpawnRequest, observer: ProcessObserver) -> None:
        self.pid = pid
        self.name = request.argv[1]
        self.written: list[tuple[Stream, bytes]] = []
        self.received = bytearray()
        self.stdin_ended = not request.pipe_stdin
        self.interrupts = 0
        self.exit_code: int | None = None
        self.exited_at = math.inf
        self.killed_at = math.inf
        """When somebody first had it killed."""
        self.reads_stdin = True
        self.kill_seconds = 0.0
        """How long it takes to die."""
        self._loop = asyncio.get_running_loop()
        self._observer = observer
        self._pipe: deque[tuple[Stream, bytes]] = deque()
        self._output_open = True
        self._told_closed = False
        self._paused = False
        self._released = False
        self._queued: deque[bytes] = deque()
        self._room: asyncio.Future[None] | None = None
        self._end_queued = False

    def __repr__(self) -> str:
        return f"<process {self.name} pid {self.pid}>"

    @property
    def alive(self) -> bool:
        return self.exit_code is None or self._output_open

    @property
    def running(self) -> bool:
        return self.exit_code is None

    # What the model has it do, as soon as the loop goes on.

    def print(self, stream: Stream, data: bytes) -> None:
        """Writes output; what stands in the way is whoever reads."""
        self._loop.call_soon(self._print, stream, data)

    def exit(self, code: int, *, close: bool) -> None:
        """Ends it; its output stays open if not *close*, for a descendant holds it."""
        self._loop.call_soon(self._exit, code, close)

    def close_output(self) -> None:
        """Whoever held its output is gone."""
        self._loop.call_soon(self._close_output)

    def read_stdin(self, reads: bool) -> None:
        """Whether it reads its input."""
        self.reads_stdin = reads
        self._loop.call_soon(self._take_input)

    # What the executor calls.

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        if self.stdin_ended or self._end_queued or self.exit_code is not None:
            raise BrokenPipeError("stdin is closed")
        self.received += data
        self._queued.append(data)
        self._take_input()
        if sum(map(len, self._queued)) <= STDIN_BYTES:
            return None
        if self._room is None or self._room.done():
            self._room = self._loop.create_future()
        return self._room

    def close_stdin(self) -> None:
        self._end_queued = True
        self._take_input()

    def interrupt(self) -> None:
        if self.exit_code is None:
            self.interrupts += 1

    def resize(self, rows: int, cols: int) -> None:
        raise io.UnsupportedOperation("no terminal")

    def pause_output(self) -> None:
        self._paused = True

    def resume_output(self) -> None:
        self._paused = False
        # As a real one: nothing is told from within this call.
        self._loop.call_soon(self._pump)

    async def terminate(self) -> None:
        self.killed_at = min(self.killed_at, self._loop.time())
        if self.kill_seconds and self.alive:
            await asyncio.sleep(self.kill_seconds)
        self._exit(KILLED, True)

    def has_left_any(self) -> bool:
        return self.alive

    def release(self) -> None:
        self._released = True

    def _print(self, stream: Stream, data: bytes) -> None:
        if self._output_open:
            self.written.append((stream, data))
            self._pipe.append((stream, data))
            self._pump()

    def _exit(self, code: int, close: bool) -> None:
        if self.exit_code is None:
            self.exit_code = code
            self.exited_at = self._loop.time()
            self._drop_input()
            if not self._released:
                self._observer.exited(code)
        if close:
            self._close_output()

    def _close_output(self) -> None:
        if self.exit_code is not None:
            self._output_open = False
            self._pump()

    def _pump(self) -> None:
        while self._pipe and not self._paused and not self._released:
            self._observer.output(*self._pipe.popleft())
        if (
            not self._pipe
            and not self._output_open
            and not self._told_closed
            and self.exit_code is not None
            and not self._released
        ):
            self._told_closed = True
            self._observer.output_closed()

    def _take_input(self) -> None:
        if not self.reads_stdin or self.exit_code is not None:
            return
        self._queued.clear()
        if self._end_queued:
            self.stdin_ended = True
        self._free_room()

    def _drop_input(self) -> None:
        self._queued.clear()
        self._free_room()

    def _free_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


class FakeBackend:
    """Starts fake processes; see :class:`executors.process.base.Backend`."""

    can_resize = True

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> FakeProcess:
        if request.argv[0] == "missing":
            raise FileNotFoundError(2, "No such file or directory", "missing")
        pid = len(self.processes) + 1
        if request.starter is not None:
            request.starter(lambda: pid)
        process = FakeProcess(pid, request, observer)
        self.processes.append(process)
        return process

    def has_orphans(self) -> bool:
        return any(process.alive and not process.running for process in self.processes)

    async def close(self) -> None: ...


class FakeSandbox:
    """Confines nothing, and takes its time to prove that it does; see :class:`SandboxBackend`.

    :ivar open: how many confinements are in force.
    """

    def __init__(self) -> None:
        self.name = "fake"
        self.ways = 1
        self.sees_denials = True
        self.open = 0

    async def prove(self, backend: SandboxBackend) -> Proof:
        await asyncio.sleep(PROOF_SECONDS)
        return Proof(backend.name, (Attempt("write outside", True, "EACCES"),))

    def missing(self) -> str | None:
        return None

    def lacks(self, policy: Policy) -> str | None:
        return None

    def confine(self, policy: Policy) -> Confinement:
        self.open += 1
        return _FakeConfinement(self)


class _FakeConfinement:
    def __init__(self, sandbox: FakeSandbox) -> None:
        self._sandbox = sandbox

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        return request

    def start(self, spawn: Callable[[], int]) -> int:
        return spawn()

    def evidence(self, pid: int) -> Evidence | None:
        return None

    def close(self) -> None:
        self._sandbox.open -= 1
