"""Those who use clients, and what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_INFO
from harness.client import Client, ConnectFailed, Process, connect
from harness.client.events import Event
from harness.client.flow import BufferLimits
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.client.recovery import RecoveryOptions, State
from harness.client.sandbox import read_only
from tests.model.network import URL

if TYPE_CHECKING:
    from tests.model.world import World

OPEN_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 1.0
GIVE_UP_SECONDS: Final = 25.0
RETENTION_SECONDS: Final = 30.0
PING_SECONDS: Final = 10.0
BLOCK_BYTES: Final = 16
_OPTIONS: Final = LinkOptions(open_seconds=OPEN_SECONDS)
_LIMITS: Final = BufferLimits(pause_bytes=512, overflow_bytes=1 << 30)


@dataclass(eq=False)
class Call:
    """Something that somebody waits for.

    :ivar began: when, in seconds; *ended* is None while it is waited for.
    """

    kind: str
    user: User
    job: Job | None
    began: float
    ended: float | None = None
    result: Any = None
    error: BaseException | None = None
    cancelled: bool = False
    task: asyncio.Task[Any] | None = None

    def end(self, task: asyncio.Task[Any]) -> None:
        self.ended = task.get_loop().time()
        if task.cancelled():
            self.error = asyncio.CancelledError()
        else:
            self.error = task.exception()
            self.result = None if self.error else task.result()

    def __str__(self) -> str:
        about = f" of {self.job.name}" if self.job else ""
        end = "still waiting" if self.ended is None else f"{self.ended:g} s: {self.error or self.result!r}"
        return f"{self.kind}{about} by user {self.user.number}, {self.began:g} s to {end}"


@dataclass(eq=False)
class Written:
    """One call of :meth:`Process.write`, of blocks that are all different."""

    call: Call
    blocks: list[bytes]


class Job:
    """A process, as its user sees it.

    :ivar process: its handle, once it has started; None for a run.
    """

    def __init__(self, user: User, name: str, program: str, sandboxed: bool) -> None:
        self.user = user
        self.name = name
        self.program = program
        self.sandbox = read_only() if sandboxed else None
        self.process: Process | None = None
        self.start: Call
        """What it was started by: a start or a run."""
        self.fed: list[bytes] = []
        """Of a run, all that it is to read."""
        self.consume: Call | None = None
        self.events: list[Event] = []
        self.writes: list[Written] = []
        self.closes: list[Call] = []
        self.interrupts: list[Call] = []
        self.terminations: list[Call] = []
        self.consumes = asyncio.Event()
        self.consumes.set()


class User:
    """Somebody with a client of their own.

    :param retention: how long the session shall outlive a connection, in seconds.
    """

    def __init__(self, world: World, number: int, retention: float) -> None:
        self.number = number
        self.retention = retention
        self.client: Client | None = None
        self.losses: list[float] = []
        """When it heard of the loss of a connection that worked."""
        self.closing_at: float | None = None
        self.works = False
        """Its client was found to have its session in the end."""
        self._world = world
        self._closing = asyncio.Event()
        self.main = self._call("client", None, self._live())

    @property
    def is_open(self) -> bool:
        return self.client is not None and self.closing_at is None

    def close(self) -> None:
        """Has its client closed."""
        if self.closing_at is None:
            self.closing_at = self._world.loop.time()
            self._closing.set()

    def losing(self) -> None:
        """Its end of a connection is about to hear that this is lost."""
        if self.client is None or self.client.state is State.CONNECTED:
            self.losses.append(self._world.loop.time())

    def ask(self) -> Call:
        """Makes a call that changes nothing."""
        return self._call("info", None, self._client.call(ENVIRONMENT_INFO, Empty()))

    def start(self, program: str, sandboxed: bool) -> None:
        """Starts a process and consumes what it tells."""
        job = self._job(program, sandboxed)
        job.start = self._call("start", job, self._start(job))

    def run(self, blocks: int) -> None:
        """Starts a process, feeds it so many blocks, and waits for its end."""
        job = self._job("fake", False)
        job.fed = _blocks(0, blocks)
        client = self._client
        run = client.run(["fake", job.name], process_id=job.name, input=b"".join(job.fed))
        job.start = self._call("run", job, run)

    def write(self, job: Job, blocks: int) -> None:
        """Writes so many blocks, each unlike any other, to the standard input of *job*."""
        assert job.process is not None
        written = _blocks(len(job.writes), blocks)
        call = self._call("write", job, job.process.write(b"".join(written)))
        job.writes.append(Written(call, written))

    def close_stdin(self, job: Job) -> None:
        assert job.process is not None
        job.closes.append(self._call("close_stdin", job, job.process.close_stdin()))

    def interrupt(self, job: Job) -> None:
        assert job.process is not None
        job.interrupts.append(self._call("interrupt", job, job.process.interrupt()))

    def terminate(self, job: Job) -> None:
        assert job.process is not None
        job.terminations.append(self._call("terminate", job, job.process.terminate()))

    @property
    def _client(self) -> Client:
        assert self.client is not None
        return self.client

    def _job(self, program: str, sandboxed: bool) -> Job:
        job = Job(self, f"{self.number}-{len(self._world.jobs)}", program, sandboxed)
        self._world.jobs.append(job)
        return job

    def _call(self, kind: str, job: Job | None, work: Coroutine[Any, Any, Any]) -> Call:
        return self._world.call(kind, self, job, work)

    async def _live(self) -> None:
        recovery = RecoveryOptions(
            give_up_seconds=GIVE_UP_SECONDS, retry_seconds=RETRY_SECONDS, retention_seconds=self.retention
        )
        while not self._closing.is_set():
            opened = connect(
                URL,
                client_name=f"user {self.number}",
                options=_OPTIONS,
                limits=_LIMITS,
                recovery=recovery,
                open_link=self._open_link,
            )
            try:
                async with opened as client:
                    self.client = client
                    await self._closing.wait()
                return
            except ConnectFailed:
                await asyncio.sleep(1.0)

    async def _open_link(self, make_receiver: MakeReceiver) -> Link:
        return (await self._world.network.open(make_receiver, OPEN_SECONDS, self)).client

    async def _start(self, job: Job) -> None:
        job.process = await self._client.start(
            [job.program, job.name], process_id=job.name, stdin=True, sandbox=job.sandbox
        )
        job.consume = self._call("consume", job, self._consume(job, job.process))

    async def _consume(self, job: Job, process: Process) -> None:
        async for event in process:
            job.events.append(event)
            await job.consumes.wait()


def _blocks(number: int, count: int) -> list[bytes]:
    return [(b"%d:%d" % (number, index)).ljust(BLOCK_BYTES, b"-") for index in range(count)]
