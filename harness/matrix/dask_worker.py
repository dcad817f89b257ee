"""Runs cells inside a Dask worker: each in a thread of the worker, with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import platform
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from harness.matrix.cell import run_cell
from harness.matrix.dask_messages import TOPIC, Begun, Heard, Message, Order, Said
from harness.matrix.definition import DefinitionError
from harness.matrix.events import Done, Event
from harness.matrix.machine import describe_machine
from harness.matrix.model import Cell, CellStatus
from harness.matrix.preparation import Obstacle
from harness.matrix.spec import CellSpec

if sys.platform == "win32":
    from harness.matrix import group_windows as group
else:
    from harness.matrix import group_posix as group

if TYPE_CHECKING:
    from distributed import Worker

_LOOK_SECONDS: Final = 1.0
"""How often a cell that runs looks whether it is still wanted."""
_TERMINATE_SECONDS: Final = 10.0
_LINES: Final = 20
_ALIVE: Final = ("running", "paused", "closing_gracefully")

_turns: dict[str, threading.Lock] = {}
"""By address of the Dask worker, who has the turn; a process may have several."""
_running: dict[tuple[str, int, int], Callable[[bool], None]] = {}
"""What interrupts a cell, or kills it, by run, index and attempt."""
_stopped: set[str] = set()
"""Runs that have been interrupted."""


def run_order(payload: bytes) -> bytes:
    """Runs the cell of an encoded :class:`Order`, and returns the encoded Cell. A Dask task.

    It stops, and what it returns is lost, when nobody wants the task any more: the client has let go of it,
    ended or died, or the worker has lost the scheduler.
    """
    from distributed import get_worker

    order = msgspec.msgpack.decode(payload, type=Order)
    worker = get_worker()
    key = worker.get_current_task()
    unwanted = functools.partial(_is_unwanted, worker, key)
    # Another run of the matrix may use the same cluster, and one that was let go may still be stopping.
    turn = _turns.setdefault(worker.address, threading.Lock())
    while not turn.acquire(timeout=_LOOK_SECONDS):
        if unwanted() or order.run in _stopped:
            return msgspec.msgpack.encode(Cell(order.spec.key, CellStatus.INTERRUPTED))
    try:
        return msgspec.msgpack.encode(asyncio.run(_run(order, worker, unwanted)))
    finally:
        turn.release()


def stop_run(run: str, kill: bool) -> list[int]:
    """Stops the cells of a run of the matrix in this process, and has others of it not begin.

    :param kill: at once, and not in order.
    :returns: the indices of those that run.
    """
    _stopped.add(run)
    stopping = [(one, stop) for one, stop in list(_running.items()) if one[0] == run]
    for _, stop in stopping:
        with contextlib.suppress(RuntimeError):  # its loop has just ended
            stop(kill)
    return [index for (_, index, _), _ in stopping]


def _is_unwanted(worker: Worker, key: Any) -> bool:
    # The scheduler takes back what a client let go of, or what clients had that are gone; a worker that
    # loses the scheduler closes.
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled" or worker.status.name not in _ALIVE


async def _run(order: Order, worker: Worker, unwanted: Callable[[], bool]) -> Cell:
    interrupt, kill = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(at_once: bool) -> None:
        for event in (interrupt, kill) if at_once else (interrupt,):
            loop.call_soon_threadsafe(event.set)

    one = (order.run, order.index, order.attempt)
    _running[one] = stop
    watching = asyncio.create_task(_watch(unwanted, interrupt))
    try:
        if order.run in _stopped:
            return Cell(order.spec.key, CellStatus.INTERRUPTED)
        machine = {"host": platform.node(), **await asyncio.to_thread(describe_machine)}

        def tell(message: Message) -> None:
            worker.log_event(TOPIC, msgspec.msgpack.encode(message))

        def report(event: Event) -> None:
            # A scheduler keeps events for a while; the details come with the cell.
            if isinstance(event, Done):
                event = Done(msgspec.structs.replace(event.case, details=None))
            tell(Heard(*one, event))

        tell(Begun(*one, order.spec.workers, machine))
        say = lambda text: tell(Said(*one, text))  # noqa: E731
        cell = await _prepare(order.spec, say, interrupt)
        if cell is None:
            cell = await run_cell(order.spec, report, interrupt, kill=kill)
        return msgspec.structs.replace(cell, versions={**machine, **cell.versions})
    finally:
        del _running[one]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(unwanted: Callable[[], bool], interrupt: asyncio.Event) -> None:
    # What Dask knows of a task cannot be waited for.
    while not unwanted():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)
    interrupt.set()


async def _prepare(spec: CellSpec, say: Callable[[str], None], interrupt: asyncio.Event) -> Cell | None:
    """Makes what the cell needs once on this machine; returns the cell if it cannot be run here."""
    host = platform.node()
    try:
        tests = spec.root / spec.suite
    except DefinitionError as error:
        return Cell(spec.key, CellStatus.BROKEN, reason=f"on {host}: {error}")
    if not tests.exists():
        reason = (
            f"on {host}: there is no {tests}: the suites of crossexec come with the package, and others have "
            "to lie where the Dask worker was started"
        )
        return Cell(spec.key, CellStatus.BROKEN, reason=reason)
    obstacle = await _prepare_in_process(spec, say, interrupt)
    if interrupt.is_set():
        return Cell(spec.key, CellStatus.INTERRUPTED)
    if obstacle is not None:
        cell = obstacle.cell(spec)
        return msgspec.structs.replace(cell, reason=f"on {host}: {cell.reason}")
    return None


async def _prepare_in_process(
    spec: CellSpec, say: Callable[[str], None], interrupt: asyncio.Event
) -> Obstacle | None:
    """Prepares in a process, since a thread cannot be ended.

    :param say: hears what it prints.
    """
    arguments = [spec.key.python, spec.key.environment, spec.key.executor, *spec.settings]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "harness.matrix.dask_prepare", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        creationflags=group.CREATION_FLAGS,
    )
    assert process.stdout is not None and process.stderr is not None
    stopping = asyncio.create_task(_end_when_asked(process, interrupt))
    said: deque[str] = deque(maxlen=_LINES)
    try:
        async for line in process.stderr:
            said.append(line.decode(errors="backslashreplace").rstrip())
            say(said[-1])
        answer = await process.stdout.read()
        status = await process.wait()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        if process.returncode is None:
            group.kill(process.pid)
            await process.wait()
        group.sweep(process.pid)
    if status == 0:
        return msgspec.json.decode(answer, type=Obstacle | None)
    words = "\n".join(["", *said])
    return Obstacle(CellStatus.BROKEN, f"preparing ended with status {status}:{words or ' it said nothing'}")


async def _end_when_asked(process: asyncio.subprocess.Process, interrupt: asyncio.Event) -> None:
    assert process.stdin is not None
    await interrupt.wait()
    process.stdin.close()
    await asyncio.sleep(_TERMINATE_SECONDS)
    group.kill(process.pid)
