"""Runs cells on this machine, several at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from harness.matrix.cell import run_cell
from harness.matrix.model import Cell, CellKey, CellStatus
from harness.matrix.observer import Observer
from harness.matrix.schedule import Schedule
from harness.matrix.spec import CellSpec


async def run_here(
    specs: Sequence[CellSpec],
    workers: int,
    expected: Mapping[CellKey, float],
    observer: Observer,
    interrupt: asyncio.Event,
    *,
    logs: Path | None = None,
    kill: asyncio.Event | None = None,
) -> list[Cell]:
    """Runs the cells, and returns them in the same order.

    Once *interrupt* is set, no other cell begins, and those that run end as :func:`run_cell` says. When this
    is cancelled they are killed.

    :param workers: processes at once that run cases.
    :param expected: see :class:`Schedule`.
    :param logs: folder for what each pytest prints, in a file by the name of :func:`log_names`.
    :param kill: once it is set too, the cells that run are killed at once.
    """
    by_key = {spec.key: spec for spec in specs}
    names = log_names(list(by_key))
    schedule = Schedule(list(by_key), expected, workers)
    running: dict[asyncio.Task[Cell], CellKey] = {}
    cells: dict[CellKey, Cell] = {}

    def begin(key: CellKey, processes: int) -> asyncio.Task[Cell]:
        observer.started(key, processes)
        return tasks.create_task(
            run_cell(
                msgspec.structs.replace(by_key[key], workers=processes),
                lambda event: observer.event(key, event),
                interrupt,
                log=None if logs is None else logs / names[key],
                kill=kill,
            )
        )

    async with asyncio.TaskGroup() as tasks:
        while True:
            if not interrupt.is_set():
                running.update({begin(*start): start.key for start in schedule.start()})
            if not running:
                break
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                key = running.pop(task)
                schedule.ended(key)
                cells[key] = task.result()
                observer.ended(cells[key])
    for key in schedule.waiting:
        cells[key] = Cell(key, CellStatus.INTERRUPTED)
        observer.ended(cells[key])
    return [cells[key] for key in by_key]


def log_names(keys: Sequence[CellKey]) -> dict[CellKey, str]:
    """Returns a file name for each cell; what all have in common is no part of it."""
    several_pythons = len({key.python for key in keys}) > 1
    several_executors = len({key.executor for key in keys}) > 1
    names: dict[CellKey, str] = {}
    for key in keys:
        parts = [key.environment, key.suite]
        if several_executors:
            parts.append(key.executor)
        if several_pythons:
            parts.append(f"py{key.python}")
        if key.shard:
            parts.append(key.shard.replace("/", "-of-"))
        # Of the name of a URL not much is left that tells it from another.
        name = base = re.sub(r"[^\w.]+", "-", "-".join(parts)).strip("-.")
        number = 2
        while f"{name}.log" in names.values():
            name, number = f"{base}-{number}", number + 1
        names[key] = f"{name}.log"
    return names
