"""What must be true of a world when all has settled, and how it is brought to that."""

from __future__ import annotations

import asyncio
import enum
import gc
import operator
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Final

from executors.protocol.errors import RpcError
from executors.protocol.processes import Stream
from harness.client import ClientError, ConnectionLost, StdinClosed
from harness.client.errors import Interrupted, OutcomeUnknown, OutputLost, SessionLost
from harness.client.events import ClosedEvent, ExitedEvent, OutputEvent
from tests.model.network import State, Weather
from tests.model.processes import FakeProcess
from tests.model.users import (
    GIVE_UP_SECONDS,
    OPEN_SECONDS,
    PING_SECONDS,
    RETENTION_SECONDS,
    RETRY_SECONDS,
    Call,
    Job,
    User,
    Written,
)
from tests.model.world import Theft, World

_EPSILON: Final = 1e-6
_EVER: Final = float("inf")
# A loss is noticed, attempts fail, and the last of them takes its time.
_UNTIL_KNOWN: Final = 2 * PING_SECONDS + 2 * GIVE_UP_SECONDS
_CLOSING_SECONDS: Final = 15.0
_CONFIRMATIONS: Final = 4
# Of kinds of calls: those that change nothing, and those that may or may not have been done when the
# connection is lost. All others are the client's to repeat.
_LASTING: Final = frozenset(("client", "consume", "run"))
_HARMLESS: Final = frozenset(("info",))
_UNKNOWN: Final = frozenset(("start", "run", "interrupt"))


class Ending(enum.Enum):
    """How a history ends."""

    EXIT = "the network comes back and every process exits"
    CLOSE = "the network comes back and the clients are closed over running processes"
    DEAD = "the network is gone for good"


def settle(world: World, ending: Ending) -> None:
    """Brings everything to its end and looks at what came of it."""
    loop = world.loop
    world.network.weather = Weather()
    world.network.twin_seconds = None
    for wire in world.network.wires:
        wire.spare()
    for job in world.jobs:
        job.consumes.set()
    for process in world.backend.processes:
        process.kill_seconds = 0.0
        process.read_stdin(True)
    if ending is Ending.DEAD:
        world.set_network(State.SILENT)
        for wire in list(world.network.wires):
            wire.cut(0.0, 2 * PING_SECONDS)
        loop.advance(_UNTIL_KNOWN)
    else:
        world.set_network(State.UP)
        _until(world, lambda call: call.kind not in _LASTING or call.user.closing_at is not None)
        for user in world.users:
            _confirm(world, user)
    if ending is Ending.EXIT:
        for process in world.backend.processes:
            process.exit(0, close=True)
        _until(world, lambda call: call.kind != "client")
    if ending is not Ending.CLOSE:
        _check_all_ended(world)
    for job in world.jobs:
        has_handle = job.process is not None or job.start.ended is None
        if job.user.works and not has_handle and (unknown := world.process(job)) is not None:
            assert not unknown.alive, f"{unknown} runs, and nobody has a handle: {job.start}"
    working = [user for user in world.users if user.is_open and user.works]
    for user in world.users:
        user.close()
    loop.advance(_CLOSING_SECONDS)
    _check_all_ended(world)
    for process in world.backend.processes:
        # A client that is closed over a connection that works leaves no process.
        assert not (process.alive and world.owner(process) in working), f"outlived its client: {process}"
    _check_calls(world)
    for job in world.jobs:
        _check_job(world, job)
    loop.advance(2 * PING_SECONDS + RETENTION_SECONDS)
    _check_nothing_left(world)


def _until(world: World, concerns: Callable[[Call], bool]) -> None:
    """Lets time pass until no such call is under way, for as long as that may take."""
    deadline = world.loop.time() + _UNTIL_KNOWN
    while world.loop.time() < deadline and any(concerns(call) for call in world.waiting()):
        world.loop.advance(1.0)


def _confirm(world: World, user: User) -> None:
    """Finds out whether the session of *user* is there, which may take the loss of a connection or two."""
    user.works = False
    for _ in range(_CONFIRMATIONS):
        if not user.is_open or user.works:
            return
        call = user.ask()
        _until(world, partial(operator.is_, call))
        user.works = call.ended is not None and call.error is None
        if isinstance(call.error, SessionLost):
            return
    assert user.works, f"user {user.number} does not get through: {call}"


def _check_all_ended(world: World) -> None:
    """Nobody waits for ever."""
    for call in world.waiting():
        closes = call.user.closing_at is not None
        assert call.kind == "client" and not closes, f"hangs: {call}"


def _check_calls(world: World) -> None:
    """Every error is one that what happened allows."""
    for call in world.calls:
        if call.error is not None:
            why_not = _why_not_allowed(world, call, call.error)
            assert why_not is None, f"{why_not}: {call}"


def _why_not_allowed(world: World, call: Call, error: BaseException) -> str | None:
    user = call.user
    if call.kind in ("client", "theft"):
        return "unexpected error"
    if isinstance(error, asyncio.CancelledError):
        return None if call.cancelled else "cancelled by nobody"
    assert call.ended is not None
    is_closing = user.closing_at is not None and call.ended >= user.closing_at
    if is_closing and isinstance(error, ClientError | RpcError):
        return None
    if isinstance(error, SessionLost):
        return _why_session_not_lost(world, user, call.ended)
    if isinstance(error, Interrupted | OutcomeUnknown):
        kinds = _HARMLESS if isinstance(error, Interrupted) else _UNKNOWN
        if call.kind not in kinds:
            return f"{type(error).__name__} of what can be repeated or is something else"
        if not any(call.began - _EPSILON <= loss <= call.ended + _EPSILON for loss in user.losses):
            return f"{type(error).__name__} without a loss while it was under way"
        return None
    if isinstance(error, OutputLost):
        # What is sent to somebody who does not acknowledge counts as known.
        taken = any(theft.user is user and theft.keeps_silent for theft in world.thefts)
        return None if taken else "output is lost though nobody else can have got it"
    if isinstance(error, StdinClosed):
        return _why_stdin_not_closed(world, call)
    if isinstance(error, RpcError):
        if call.kind == "start" and call.job is not None and call.job.program == "missing":
            return None
        return "refused by the executor"
    if isinstance(error, ConnectionLost):
        return f"not told what to make of it ({type(error).__name__})"
    return "unexpected error"


def _why_stdin_not_closed(world: World, call: Call) -> str | None:
    assert call.job is not None and call.ended is not None
    process = world.process(call.job)
    if call.kind != "write":
        return "StdinClosed of what is no write"
    if process is None:
        return "StdinClosed of a process that never was"
    if not process.running or any(close.began <= call.ended for close in call.job.closes):
        return None
    return "StdinClosed of a process that reads"


def _why_session_not_lost(world: World, user: User, at: float) -> str | None:
    """Tells why the session of *user* should not have been given up by then; None if it may."""
    if any(theft.user is user and theft.ended for theft in world.thefts):
        return None
    if any(stop <= at for stop in world.stops):
        return None
    losses = [loss for loss in user.losses if loss <= at + _EPSILON]
    if not losses:
        return "the session is lost and no connection was"
    lost = losses[-1]
    patience = 2 * OPEN_SECONDS + 2 * RETRY_SECONDS + 1.0
    for start, end in _quiet_spans(world, user, lost, min(at, lost + GIVE_UP_SECONDS)):
        if end - start > patience:
            return f"the session is lost though it could be resumed from {start:g} s to {end:g} s"
    return None


def _quiet_spans(world: World, user: User, begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Yields the times when nothing kept *user* from resuming a session that was still there."""
    blocks = [
        (since, until)
        for (since, state), (until, _) in pairwise([*world.states, (_EVER, State.UP)])
        if state is not State.UP
    ]
    attached_until = 0.0
    for wire in world.wires:
        its_own = wire.owner is user and not wire.is_twin
        thief = isinstance(wire.owner, Theft) and wire.owner.user is user
        if wire.owner is not user and not thief:
            continue
        gone_at = _EVER if wire.server.lost_at is None else wire.server.lost_at
        if not its_own:
            # It may hold the session.
            blocks.append((wire.began, gone_at))
        elif wire.server.receiver is not None:
            attached_until = max(attached_until, gone_at)
            ended_at = [at for at in (wire.client.lost_at, wire.broken_at) if at is not None]
            if ended_at:
                # The executor has yet to notice.
                blocks.append((min(ended_at), gone_at))
        if wire.weather.up + wire.weather.down > 0.1:
            blocks.append((wire.began, _EVER if wire.client.lost_at is None else wire.client.lost_at))
    blocks.append((attached_until + user.retention, _EVER))
    marks = {begin, end, *(mark for block in blocks for mark in block if begin < mark < end)}
    for start, stop in pairwise(sorted(marks)):
        if not any(since < stop and until > start for since, until in blocks):
            yield start, stop


def _check_job(world: World, job: Job) -> None:
    processes = [process for process in world.backend.processes if process.name == job.name]
    assert len(processes) <= 1, f"{job.name} was started {len(processes)} times"
    if job.fed and job.start.error is None:
        _check_run(job, processes[0])
    if job.process is None:
        return
    assert processes, f"{job.name} counts as started and was not"
    process = processes[0]
    _check_events(job, process.written)
    _check_writes(job, process.received)
    _check_kill(job, process)
    done = [call for call in job.interrupts if call.error is None and call.ended is not None]
    least = sum(call.ended < process.exited_at for call in done if call.ended is not None)
    found = f"{job.name}: {process.interrupts} interrupts of {len(job.interrupts)}, {least} at least"
    assert least <= process.interrupts <= len(job.interrupts), found
    for call in job.closes:
        if call.ended is not None and call.error is None:
            assert process.stdin_ended or not process.running, f"{job.name}: accepted, and not done: {call}"


def _check_run(job: Job, process: FakeProcess) -> None:
    completed = job.start.result
    assert completed.exit_code == process.exit_code, f"{job.name}: {completed} of {process.exit_code}"
    for stream, data in ("stdout", completed.stdout), ("stderr", completed.stderr):
        written = b"".join(piece for name, piece in process.written if name == stream)
        assert data == written, f"{job.name}: {data!r} came of {written!r}"
    fed = b"".join(job.fed)
    # It may end without reading all.
    assert fed.startswith(process.received), f"{job.name}: {bytes(process.received)!r} of {fed!r}"
    if process.stdin_ended:
        assert fed == process.received, f"{job.name}: {bytes(process.received)!r} of {fed!r}, and the end"


def _check_kill(job: Job, process: FakeProcess) -> None:
    """Nobody has it killed but its user, as long as there is a session."""
    for call in job.terminations:
        if call.ended is not None and call.error is None:
            assert not process.alive and process.killed_at <= call.ended, f"{job.name} lives on: {call}"
    asked = [call.began for call in job.terminations]
    if job.user.closing_at is not None:
        asked.append(job.user.closing_at)
    if job.user.works:
        assert process.killed_at >= min(asked, default=_EVER), (
            f"{job.name} was killed at {process.killed_at:g} s"
        )


def _check_events(job: Job, written: list[tuple[Stream, bytes]]) -> None:
    assert job.consume is not None
    numbers = [event.seq for event in job.events]
    assert numbers == list(range(1, len(numbers) + 1)), f"{job.name}: events {numbers}"
    got = [(event.stream, event.data) for event in job.events if isinstance(event, OutputEvent)]
    assert got == written[: len(got)], f"{job.name}: {got} came of {written}"
    if job.consume.ended is not None and job.consume.error is None:
        assert len(got) == len(written), f"{job.name}: {len(written) - len(got)} of {len(written)} are lost"
        kinds = [type(event) for event in job.events if not isinstance(event, OutputEvent)]
        assert kinds == [ExitedEvent, ClosedEvent], f"{job.name}: {kinds}"
        assert isinstance(job.events[-1], ClosedEvent)


def _check_writes(job: Job, received: bytearray) -> None:
    places: dict[bytes, int] = {}
    size = len(job.writes[0].blocks[0]) if job.writes else 1
    for start in range(0, len(received), size):
        block = bytes(received[start : start + size])
        assert block not in places, f"{job.name}: {block!r} was written twice: {bytes(received)!r}"
        places[block] = start
    for written in job.writes:
        came = [places[block] for block in written.blocks if block in places]
        assert came == sorted(came), f"{job.name}: out of order: {bytes(received)!r}"
        assert [block in places for block in written.blocks] == [True] * len(came) + [False] * (
            len(written.blocks) - len(came)
        ), f"{job.name}: a gap: {bytes(received)!r}"
        if written.call.ended is not None and written.call.error is None:
            assert len(came) == len(written.blocks), f"{job.name}: accepted, and not written: {written.call}"
    for before in job.writes:
        for after in job.writes:
            _check_order(job, before, after, places)


def _check_order(job: Job, before: Written, after: Written, places: dict[bytes, int]) -> None:
    """What was accepted before something else was written came before that."""
    if before.call.ended is None or before.call.error is not None or before.call.ended >= after.call.began:
        return
    if before.blocks[-1] in places and after.blocks[0] in places:
        assert places[before.blocks[-1]] < places[after.blocks[0]], f"{job.name}: out of order"


def _check_nothing_left(world: World) -> None:
    """Of users that are gone, nothing is left on the executor."""
    loop = world.loop
    alive = [process for process in world.backend.processes if process.alive]
    assert not alive, f"still there: {alive}"
    assert not len(world.executor.sessions), f"{len(world.executor.sessions)} sessions are left"
    assert not world.sandbox.open, f"{world.sandbox.open} confinements are left"
    timers = loop.timers()
    assert not timers, f"timers are left: {timers}"
    world.stop()
    assert not world.network.wires, f"connections are left: {world.network.wires}"
    tasks = asyncio.all_tasks(loop)
    assert not tasks, f"tasks are left: {tasks}"
    timers = loop.timers()
    assert not timers, f"timers are left: {timers}"
    # Nothing was collected since the world began, so that all of it is young.
    gc.collect(0)
    assert not loop.errors, f"nobody caught: {loop.errors}"
    assert not world.log.lines, f"logged as errors: {world.log.lines}"
