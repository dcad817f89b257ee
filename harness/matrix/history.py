"""How long cells took before: on this machine for a good order, and in a shared file for the same shards
everywhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from harness.cache import cache_folder
from harness.matrix import timings
from harness.matrix.definition import Definition
from harness.matrix.model import Cell, CellKey
from harness.matrix.spec import CellSpec


def expected(specs: Sequence[CellSpec]) -> dict[CellKey, float]:
    """Returns the seconds that each cell is expected to take in all, as far as they are known."""
    try:
        known = timings.read_timings(_file())
    except (OSError, timings.TimingsError):
        # They only say which cell is begun first, and the end of this run replaces them.
        return {}
    found = {}
    for spec in specs:
        seconds = timings.expected(known, spec.key.environment, spec.suite)
        if spec.key.shard:
            seconds /= int(spec.key.shard.partition("/")[2])
        found[spec.key] = seconds
    return {key: seconds for key, seconds in found.items() if seconds > 0}


def learn(cells: Sequence[Cell]) -> None:
    """Keeps the times of this run on this machine; a failure to do so is told and is no failure of the run.

    :param cells: none of which a part was chosen by ``-k``, for that would seem to be all of it.
    """
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            try:
                known = timings.read_timings(file)
            except timings.TimingsError:
                known = timings.Timings()
            timings.write_timings(timings.update(known, cells), file)
    except OSError as error:
        print(f"crossexec matrix: the times of this run are not kept: {error}", file=sys.stderr)


def shard_times(definition: Definition) -> str:
    """Returns the text that shards are cut by; empty where there is none yet.

    :raises TimingsError: the file holds something else.
    """
    if definition.timings is None:
        return ""
    file = Path(definition.timings)
    timings.read_timings(file)
    return file.read_text("utf-8") if file.exists() else ""


def update_shard_times(file: Path, cells: Sequence[Cell]) -> None:
    """Writes the times of this run into the file that shards are cut by.

    :param cells: see :func:`learn`.
    :raises TimingsError: the file holds something else.
    :raises OSError: it cannot be written.
    """
    timings.write_timings(timings.update(timings.read_timings(file), cells), file)


def _file() -> Path:
    return cache_folder() / "matrix" / "timings.json"
