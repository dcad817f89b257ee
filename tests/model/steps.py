"""What can happen in a world: one class a rule. A step that has nothing to act on does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from executors.protocol.processes import Stream
from tests.model.network import Lane, State, Weather, Wire
from tests.model.processes import FakeProcess
from tests.model.users import RETENTION_SECONDS, User
from tests.model.world import World

T = TypeVar("T")

_NOT_CANCELLED: Final = frozenset(("client", "consume", "theft"))


class Step(Protocol):
    def __call__(self, world: World) -> None: ...


@dataclass(frozen=True)
class Advance:
    """Time passes. Without any, only what is ready at once happens."""

    seconds: float

    def __call__(self, world: World) -> None:
        world.loop.advance(self.seconds)


@dataclass(frozen=True)
class Turn:
    """A few callbacks of the loop run."""

    rounds: int

    def __call__(self, world: World) -> None:
        world.loop.turn(self.rounds)


@dataclass(frozen=True)
class Start:
    user: int = 0
    program: str = "fake"
    sandboxed: bool = False

    def __call__(self, world: World) -> None:
        user = _pick_user(world, self.user)
        if user is not None:
            user.start(self.program, self.sandboxed)


@dataclass(frozen=True)
class Run:
    """The same in one call, with *blocks* of input."""

    user: int = 0
    blocks: int = 1

    def __call__(self, world: World) -> None:
        user = _pick_user(world, self.user)
        if user is not None:
            user.run(self.blocks)


@dataclass(frozen=True)
class Print:
    """A process writes *count* pieces of output of *size* bytes each."""

    job: int = 0
    size: int = 8
    count: int = 1
    stream: Stream = "stdout"

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            for _ in range(self.count):
                process.print(self.stream, b"%d;".ljust(self.size + 1, b".") % next(world.numbers))


@dataclass(frozen=True)
class Chatter:
    """A process writes a little every so often."""

    job: int = 0
    seconds: float = 0.01
    count: int = 30

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            for index in range(self.count):
                data = b"%d;" % next(world.numbers)
                world.loop.call_later(index * self.seconds, process.print, "stdout", data)


@dataclass(frozen=True)
class Write:
    job: int = 0
    blocks: int = 1

    def __call__(self, world: World) -> None:
        job = _pick(world.jobs, self.job)
        if job is not None and job.process is not None:
            job.user.write(job, self.blocks)


@dataclass(frozen=True)
class CloseStdin:
    job: int = 0

    def __call__(self, world: World) -> None:
        job = _pick(world.jobs, self.job)
        if job is not None and job.process is not None:
            job.user.close_stdin(job)


@dataclass(frozen=True)
class ReadStdin:
    """A process stops or goes on to read its input."""

    job: int = 0
    reads: bool = False

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            process.read_stdin(self.reads)


@dataclass(frozen=True)
class Interrupt:
    job: int = 0

    def __call__(self, world: World) -> None:
        job = _pick(world.jobs, self.job)
        if job is not None and job.process is not None:
            job.user.interrupt(job)


@dataclass(frozen=True)
class Terminate:
    job: int = 0

    def __call__(self, world: World) -> None:
        job = _pick(world.jobs, self.job)
        if job is not None and job.process is not None:
            job.user.terminate(job)


@dataclass(frozen=True)
class SlowKill:
    """A process takes its time to die."""

    job: int = 0
    seconds: float = 3.0

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            process.kill_seconds = self.seconds


@dataclass(frozen=True)
class Exit:
    job: int = 0
    code: int = 0
    close: bool = True

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            process.exit(self.code, close=self.close)


@dataclass(frozen=True)
class CloseOutput:
    job: int = 0

    def __call__(self, world: World) -> None:
        process = _pick_process(world, self.job)
        if process is not None:
            process.close_output()


@dataclass(frozen=True)
class Ask:
    """A call that changes nothing."""

    user: int = 0

    def __call__(self, world: World) -> None:
        user = _pick_user(world, self.user)
        if user is not None:
            user.ask()


@dataclass(frozen=True)
class Consume:
    """A consumer stops or goes on."""

    job: int = 0
    consumes: bool = False

    def __call__(self, world: World) -> None:
        job = _pick(world.jobs, self.job)
        if job is not None:
            (job.consumes.set if self.consumes else job.consumes.clear)()


@dataclass(frozen=True)
class Cancel:
    """Somebody waits no longer."""

    call: int = 0

    def __call__(self, world: World) -> None:
        # Once each: who cancels what a cancelled call does at its end takes that over.
        calls = [call for call in world.waiting() if call.kind not in _NOT_CANCELLED and not call.cancelled]
        if calls:
            call = calls[-1 - self.call % len(calls)]
            call.cancelled = True
            assert call.task is not None
            call.task.cancel()


@dataclass(frozen=True)
class AddUser:
    retention: float = RETENTION_SECONDS

    def __call__(self, world: World) -> None:
        if len(world.users) < 3:
            world.add_user(self.retention)


@dataclass(frozen=True)
class CloseUser:
    user: int = 0

    def __call__(self, world: World) -> None:
        user = _pick_user(world, self.user)
        if user is not None:
            user.close()


@dataclass(frozen=True)
class Restart:
    """The executor is ended in order, and another one takes its place."""

    def __call__(self, world: World) -> None:
        world.stop()
        world.serve()


@dataclass(frozen=True)
class Cut:
    """A connection is gone, with all that was under way; each side hears of it after its own time."""

    user: int = 0
    client_seconds: float = 0.0
    server_seconds: float = 0.0

    def __call__(self, world: World) -> None:
        wire = _pick_wire(world, self.user)
        if wire is not None:
            wire.cut(self.client_seconds, self.server_seconds)


@dataclass(frozen=True)
class CutAfter:
    """The same once *messages* more have come in, up or down the link."""

    user: int = 0
    up: bool = False
    messages: int = 1
    client_seconds: float = 0.0
    server_seconds: float = 0.0

    def __call__(self, world: World) -> None:
        wire = _pick_wire(world, self.user)
        if wire is not None:
            wire.cut_after(
                _lane(wire, self.up),
                self.messages,
                lambda: wire.cut(self.client_seconds, self.server_seconds),
            )


@dataclass(frozen=True)
class Deafen:
    """Nothing comes through one way any more; pings find that out."""

    user: int = 0
    up: bool = False
    seconds: float = 20.0

    def __call__(self, world: World) -> None:
        wire = _pick_wire(world, self.user)
        if wire is not None:
            wire.kill(_lane(wire, self.up), client_seconds=self.seconds, server_seconds=self.seconds)


@dataclass(frozen=True)
class SetNetwork:
    """How new connections fare."""

    state: State

    def __call__(self, world: World) -> None:
        world.set_network(self.state)


@dataclass(frozen=True)
class SetWeather:
    """What links are like that are opened from now on."""

    weather: Weather

    def __call__(self, world: World) -> None:
        world.network.weather = self.weather


@dataclass(frozen=True)
class SetTwins:
    """Whether every connection arrives twice."""

    seconds: float | None

    def __call__(self, world: World) -> None:
        world.network.twin_seconds = self.seconds


@dataclass(frozen=True)
class Steal:
    """Somebody else tries to resume a session."""

    user: int = 0
    acknowledges: bool = True
    seconds: float = 3.0
    ends: bool = False

    def __call__(self, world: World) -> None:
        user = _pick_user(world, self.user)
        if user is not None:
            world.call("theft", user, None, world.steal(user, self.acknowledges, self.seconds, self.ends))


def _pick(these: Sequence[T], number: int) -> T | None:
    """Returns one of *these*; the last for 0."""
    return these[-1 - number % len(these)] if these else None


def _pick_user(world: World, number: int) -> User | None:
    return _pick([user for user in world.users if user.is_open], number)


def _pick_process(world: World, number: int) -> FakeProcess | None:
    return _pick(world.backend.processes, number)


def _pick_wire(world: World, number: int) -> Wire | None:
    return _pick([wire for wire in world.network.wires if wire.client.lost_at is None], number)


def _lane(wire: Wire, up: bool) -> Lane:
    return wire.up if up else wire.down
