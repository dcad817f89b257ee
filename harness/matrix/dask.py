"""Runs cells on a Dask cluster: which worker gets which cell, and what comes back of it.

A cell is one task and is sent to one worker, which it keeps wholly busy; a worker gets the next one when it
has none. Dask's own scheduling would give each thread of a worker a cell of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from harness.matrix.dask_cluster import Cluster, DaskFailed, DaskWorker, SchedulerLost, Task, connect, explain
from harness.matrix.dask_messages import Begun, Heard, Message, Order, Said
from harness.matrix.events import Done
from harness.matrix.model import Case, Cell, CellStatus
from harness.matrix.observer import Observer
from harness.matrix.spec import CellSpec

__all__ = ["DaskFailed", "run_on_dask"]

_LOOK_SECONDS: Final = 1.0
"""How often the cluster is asked for its workers."""
_STOP_SECONDS: Final = 75.0
"""How long cells that run may take to stop; longer than the steps of run_cell together."""
_KILL_SECONDS: Final = 15.0
_TRIES: Final = 2
"""How often a cell is begun whose worker goes away."""


async def run_on_dask(
    address: str,
    specs: Sequence[CellSpec],
    observer: Observer,
    interrupt: asyncio.Event,
    *,
    kill: asyncio.Event | None = None,
) -> list[Cell]:
    """Runs the cells on the workers of a cluster, one at a time on each, and returns them in the same order.

    A worker uses as many processes for a cell as it has threads, unless the spec says how many. A cell whose
    worker goes away is begun once more on another one. While there is no worker, it waits for one.

    Once *interrupt* is set, cells that run are told to stop and return what had ended. If this is cancelled,
    or its process dies, the workers stop what they run for it within seconds.

    :param address: of the scheduler, such as ``tcp://HOST:8786``; for ``tls://`` Dask's own configuration
        names the certificates.
    :param specs: the first one is begun first.
    :param observer: hears each cell's start, events and end. Failures in events have no details, which come
        with the cell. A cell that is begun again is told as started again.
    :param kill: once it is set too, the cells that run are killed at once.
    :raises DaskFailed: the package ``distributed`` is not installed, or no scheduler answers there.
    """
    async with connect(address) as cluster:
        return await _Run(cluster, specs, observer, interrupt, kill or asyncio.Event()).run()


class _Placed:
    """A cell that a worker has.

    :ivar begun: what the worker told when it began, if it has.
    :ivar cases: those that have ended.
    """

    def __init__(self, index: int, attempt: int, address: str, worker: DaskWorker, task: Task) -> None:
        self.index = index
        self.attempt = attempt
        self.address = address
        self.worker = worker
        self.task = task
        self.begun: Begun | None = None
        self.cases: list[Case] = []


class _Run:
    """One run of :func:`run_on_dask`."""

    def __init__(
        self,
        cluster: Cluster,
        specs: Sequence[CellSpec],
        observer: Observer,
        interrupt: asyncio.Event,
        kill: asyncio.Event,
    ) -> None:
        self._cluster = cluster
        self._specs = specs
        self._observer = observer
        self._interrupt = interrupt
        self._kill = kill
        self._name = uuid.uuid4().hex
        self._waiting = deque((index, 1) for index in range(len(specs)))
        self._placed: dict[str, _Placed] = {}
        self._cells: dict[int, Cell] = {}
        self._lacks_workers = False

    async def run(self) -> list[Cell]:
        self._cluster.hear(self._hear)
        interrupted, killed = (asyncio.ensure_future(event.wait()) for event in (self._interrupt, self._kill))
        try:
            while self._waiting or self._placed:
                if interrupted.done():
                    await self._stop(killed)
                    break
                await self._look()
                await self._wait(interrupted)
        except SchedulerLost as error:
            self._lose_scheduler(error)
        finally:
            interrupted.cancel()
            killed.cancel()
            results = [placed.task.result for placed in self._placed.values()]
            for placed in self._placed.values():
                placed.task.let_go()
            await asyncio.gather(interrupted, killed, *results, return_exceptions=True)
        return [self._cells[index] for index in range(len(self._specs))]

    async def _look(self) -> None:
        """Sees which workers have gone, and gives cells to those that have none."""
        workers = await self._cluster.workers()
        for placed in self._without_worker(workers):
            self._lose_worker(placed)
        idle = [
            address
            for address, worker in workers.items()
            if address not in self._placed and worker.status == "running"
        ]
        for address in sorted(idle, key=lambda address: -workers[address].nthreads):
            if self._waiting:
                self._place(*self._waiting.popleft(), address, workers[address])
        if not workers and not self._lacks_workers:
            self._observer.note(
                f"The Dask cluster at {self._cluster.address} has no workers; waiting for one."
            )
        self._lacks_workers = not workers

    def _without_worker(self, workers: dict[str, DaskWorker]) -> list[_Placed]:
        return [
            placed
            for address, placed in self._placed.items()
            if address not in workers and not placed.task.result.done()
        ]

    def _place(self, index: int, attempt: int, address: str, worker: DaskWorker) -> None:
        spec = self._specs[index]
        spec = msgspec.structs.replace(spec, workers=spec.workers or worker.nthreads)
        task = self._cluster.submit(Order(self._name, index, attempt, spec), address)
        self._placed[address] = _Placed(index, attempt, address, worker, task)

    async def _wait(self, other: asyncio.Future[Any] | None) -> None:
        """Waits until something comes back, or *other* is done, or it is time to look again."""
        waited: list[asyncio.Future[Any]] = [placed.task.result for placed in self._placed.values()]
        if other is not None:
            waited.append(other)
        await asyncio.wait(waited, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        self._collect()

    def _hear(self, message: Message) -> None:
        if message.run != self._name:
            return
        for placed in self._placed.values():
            if (placed.index, placed.attempt) == (message.index, message.attempt):
                self._hear_of(placed, message)

    def _hear_of(self, placed: _Placed, message: Message) -> None:
        key = self._specs[placed.index].key
        match message:
            case Begun():
                # Again, where Dask has begun it again: the worker died, and one came to the same address.
                placed.begun = message
                placed.cases.clear()
                self._observer.started(key, message.workers)
            case Heard(event=event):
                if isinstance(event, Done):
                    placed.cases.append(event.case)
                self._observer.event(key, event)
            case Said(text=text):
                self._observer.note(f"{key} on {placed.worker.host}: {text}")

    def _collect(self) -> None:
        """Takes what has come back."""
        for address, placed in list(self._placed.items()):
            result = placed.task.result
            if result.done():
                told = self._told(result)
                del self._placed[address]
                if isinstance(told, str):
                    self._end(placed, CellStatus.BROKEN, told)
                else:
                    self._finish(placed.index, msgspec.msgpack.decode(told, type=Cell))

    def _told(self, result: asyncio.Task[bytes | str]) -> bytes | str:
        """What has come back: an encoded cell, or why there is none."""
        if result.cancelled():
            raise SchedulerLost("the connection to it was closed")
        error = result.exception()
        return result.result() if error is None else explain(error)

    def _finish(self, index: int, cell: Cell) -> None:
        self._cells[index] = cell
        self._observer.ended(cell)

    def _end(self, placed: _Placed, status: CellStatus, reason: str = "") -> None:
        """Ends a cell of which its events alone are known."""
        begun = placed.begun
        cell = Cell(
            self._specs[placed.index].key,
            status,
            tuple(placed.cases),
            reason,
            workers=begun.workers if begun else 0,
            versions=begun.versions if begun else {},
        )
        self._finish(placed.index, cell)

    def _let_go(self, placed: _Placed) -> None:
        del self._placed[placed.address]
        placed.task.let_go()

    def _lose_worker(self, placed: _Placed) -> None:
        self._let_go(placed)
        host = placed.begun.versions["host"] if placed.begun else placed.worker.host
        where = f"the Dask worker {placed.address} on {host} went away"
        if placed.attempt < _TRIES:
            self._waiting.appendleft((placed.index, placed.attempt + 1))
            key = self._specs[placed.index].key
            self._observer.note(f"{key}: {where}; the cell is run again on another one.")
        else:
            reason = (
                f"{where} while it had the cell, as had another before it: see the workers' logs; "
                "the memory of a machine may not suffice"
            )
            self._end(placed, CellStatus.BROKEN, reason)

    def _lose_scheduler(self, error: SchedulerLost) -> None:
        """Ends what has not come back: workers stop by themselves what they run."""
        lost = f"the Dask scheduler at {self._cluster.address} answers no more: {error}"
        self._observer.note(f"T{lost[1:]}.")
        status = CellStatus.INTERRUPTED if self._interrupt.is_set() else CellStatus.BROKEN
        for placed in list(self._placed.values()):
            self._let_go(placed)
            self._end(placed, status, lost)
        self._end_waiting(status, lost)

    def _end_waiting(self, status: CellStatus, reason: str = "") -> None:
        while self._waiting:
            index, _ = self._waiting.popleft()
            self._finish(index, Cell(self._specs[index].key, status, reason=reason))

    async def _stop(self, killed: asyncio.Future[Any]) -> None:
        """Has the cells that run stop, and takes what they return."""
        self._end_waiting(CellStatus.INTERRUPTED)
        running = await self._cluster.stop(self._name, list(self._placed), kill=False)
        self._collect()
        for placed in list(self._placed.values()):
            # One that has begun and runs no more is on its way back.
            if placed.begun is None and placed.index not in running:
                self._interrupt_one(placed)
        await self._take_what_stops(_STOP_SECONDS, killed)
        if self._placed and killed.done():
            await self._cluster.stop(self._name, list(self._placed), kill=True)
            await self._take_what_stops(_KILL_SECONDS, None)
        for placed in list(self._placed.values()):
            self._interrupt_one(placed)

    async def _take_what_stops(self, seconds: float, other: asyncio.Future[Any] | None) -> None:
        """Waits until all cells have come back, or *other* is done, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._placed and not (other is not None and other.done()):
                    await self._wait(other)
                    for placed in self._without_worker(await self._cluster.workers()):
                        self._interrupt_one(placed)

    def _interrupt_one(self, placed: _Placed) -> None:
        self._let_go(placed)
        self._end(placed, CellStatus.INTERRUPTED)
