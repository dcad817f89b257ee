"""A real executor, real clients of it and what they do, between a network and processes that are made up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

import pytest

from executors.protocol.environment import Empty, InitializeParams
from executors.protocol.errors import RpcError
from executors.protocol.methods import INITIALIZE, INITIALIZED
from executors.sandbox.choice import Sandboxes
from executors.server.executor import Executor
from executors.server.workers import Workers
from executors.transport.base import Receiver, Transport
from harness.client import ConnectFailed, ConnectionLost
from harness.client.calls import Pending
from harness.client.connection import Connection
from harness.client.flow import ReadGate
from harness.client.links import Link
from tests.model.loop import VirtualLoop
from tests.model.network import End, Network, State, Wire
from tests.model.processes import FakeBackend, FakeProcess, FakeSandbox
from tests.model.users import BLOCK_BYTES, OPEN_SECONDS, RETENTION_SECONDS, Call, Job, User

_STOP_SECONDS: Final = 15.0
# As many of what is counted as a model can have, where the program has thousands and megabytes.
_SIZES: Final = {
    "executors.process.output_log.OutputLog.__init__.__defaults__": (1024,),
    "executors.server.outlet.RETAINED_BYTES": 1024,
    "executors.server.outlet.WINDOW_BYTES": 4096,
    "executors.server.outlet._SESSION_BYTES": 8192,
    "executors.server.managed_process._REMEMBERED_WRITES": 16,
    "harness.client.input._MAX_UNANSWERED": 12,
    "harness.client.process.WRITE_BLOCK_BYTES": BLOCK_BYTES,
    "harness.client.processes._ACKNOWLEDGE_BYTES": 256,
    "harness.client.processes._PAGE_BYTES": 1024,
}


@dataclass(eq=False)
class Theft:
    """An attempt of somebody else to take over a session.

    :ivar keeps_silent: it does not acknowledge what comes in.
    :ivar ended: the session may have been ended, in order, by it.
    """

    user: User
    keeps_silent: bool
    wire: Wire | None = None
    ended: bool = False


class _Log(logging.Handler):
    """Collects what the program logs as an error: it never should."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("executors", "harness")]
        for logger in self._loggers:
            logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def detach(self) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)


class World:
    """All of it, on a clock of its own."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.network = Network(self.loop, self._accept)
        self.network.on_wire = lambda wire: self.wires.append(wire)
        self.network.on_loss = self._loss
        self.backend = FakeBackend()
        self.sandbox = FakeSandbox()
        self.users: list[User] = []
        self.jobs: list[Job] = []
        self.calls: list[Call] = []
        self.thefts: list[Theft] = []
        self.wires: list[Wire] = []
        """All that ever were."""
        self.states: list[tuple[float, State]] = []
        """How the network was, from when on."""
        self.log = _Log()
        self.executor: Executor
        self.numbers = itertools.count()
        """No two pieces of output are the same."""
        self.stops: list[float] = []
        """When an executor was ended."""
        self.server: asyncio.Task[None]
        self._stop: asyncio.Event
        self._sizes = pytest.MonkeyPatch()
        self.serve()

    def call(self, kind: str, user: User, job: Job | None, work: Coroutine[Any, Any, Any]) -> Call:
        """Has somebody wait for *work*."""
        call = Call(kind, user, job, self.loop.time())
        self.calls.append(call)
        call.task = self.loop.create_task(work, name=f"{kind} {job and job.name}")
        call.task.add_done_callback(call.end)
        return call

    def waiting(self) -> list[Call]:
        return [call for call in self.calls if call.ended is None]

    def process(self, job: Job) -> FakeProcess | None:
        """Returns what runs for *job*, if that was started."""
        for process in self.backend.processes:
            if process.name == job.name:
                return process
        return None

    def owner(self, process: FakeProcess) -> User | None:
        return next((job.user for job in self.jobs if job.name == process.name), None)

    def add_user(self, retention: float) -> User:
        user = User(self, len(self.users), retention)
        self.users.append(user)
        return user

    def set_network(self, state: State) -> None:
        if state is not self.network.state:
            self.network.state = state
            self.states.append((self.loop.time(), state))

    async def steal(self, user: User, acknowledges: bool, seconds: float, ends: bool) -> None:
        """Somebody else tries to resume the session of *user*, and leaves after *seconds*.

        :param ends: by a close frame.
        """
        assert user.client is not None
        theft = Theft(user, keeps_silent=not acknowledges)
        connections: list[Connection] = []
        lost = asyncio.Event()

        def receive(link: Link) -> Receiver:
            connections.append(Connection(link, "ws://thief", ReadGate(), lambda _: lost.set(), _plainly))
            return connections[0]

        with contextlib.suppress(TimeoutError, RpcError, ConnectFailed, ConnectionLost):
            theft.wire = await self.network.open(receive, OPEN_SECONDS, theft)
            self.thefts.append(theft)
            params = InitializeParams("thief", user.client.session_id, None, acknowledges)
            async with asyncio.timeout(seconds):
                # It may get the session and never hear of that.
                theft.ended = ends
                try:
                    await connections[0].call(INITIALIZE, params)
                except RpcError:
                    theft.ended = False
                    raise
                connections[0].notify(INITIALIZED, Empty())
                await lost.wait()
        for connection in connections:
            await connection.close(orderly=ends)

    def stop(self) -> None:
        """Ends the executor, as a signal does."""
        self.stops.append(self.loop.time())
        self.network.is_listening = False
        self._stop.set()
        self.loop.advance(_STOP_SECONDS)
        assert self.server.done(), "the executor does not end"
        self.server.result()

    def serve(self) -> None:
        """Starts an executor, which knows nothing of one before it."""
        self._stop = asyncio.Event()
        self.server = self.loop.create_task(self._serve())
        self.loop.turn(1)
        self.network.is_listening = True

    def _accept(self, transport: Transport) -> Receiver:
        return self.executor.connect(transport)

    def _loss(self, wire: Wire, end: End) -> None:
        if end is wire.client and isinstance(wire.owner, User) and not wire.is_twin:
            wire.owner.losing()

    async def _serve(self) -> None:
        workers = Workers()
        async with asyncio.TaskGroup() as tasks:
            sandboxes = Sandboxes((self.sandbox,), self.sandbox.prove)
            self.executor = Executor(self.backend, workers, sandboxes, tasks, RETENTION_SECONDS)
            await self._stop.wait()
            await self.executor.close_connections()
        workers.close()

    def __enter__(self) -> World:
        gc.disable()
        for name, size in _SIZES.items():
            self._sizes.setattr(name, size)
        return self

    def __exit__(self, *exc_info: object) -> None:
        gc.enable()
        self._sizes.undo()
        self.log.detach()
        # Where something has failed, the rest must end without a word.
        for wire in self.network.wires:
            wire.silence()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        with contextlib.suppress(BaseException):
            self.loop.advance(1)
        self.loop.close()


def _plainly(lost: ConnectionLost, pending: Pending[Any]) -> ConnectionLost:
    return ConnectionLost(lost.url, lost.code, lost.reason, pending.method.name)
