"""How long the tests of each environment take: measured by whole runs, and what shards are cut by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

import msgspec

from harness.client.errors import ClientError
from harness.matrix.model import Cell, CellKey, CellStatus

SCHEMA: Final = 1
SHORTEST: Final = 0.05
"""Seconds. A function whose cases take less together is not noted."""


class TimingsError(ClientError):
    """A file is none that holds times; the text says what was found and what would help."""


class Timings(msgspec.Struct, frozen=True):
    """The document.

    :ivar schema: its version.
    :ivar seconds: by environment and by function, a node id without parameters: all of its cases together,
        to two significant digits.
    """

    schema: int = SCHEMA
    seconds: dict[str, dict[str, float]] = {}

    def of(self, environment: str) -> Mapping[str, float]:
        return self.seconds.get(environment, {})


def read_timings(path: Path) -> Timings:
    """Returns what the file holds; nothing if there is none.

    :raises TimingsError: it cannot be read, or holds something else.
    """
    remedy = "remove it, and let crossexec matrix --update-timings make it anew"
    try:
        timings = msgspec.json.decode(path.read_bytes(), type=Timings)
    except FileNotFoundError:
        return Timings()
    except OSError as error:
        raise TimingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TimingsError(f"{path} holds no times of tests: {error}; {remedy}") from error
    if timings.schema != SCHEMA:
        raise TimingsError(
            f"{path} has schema {timings.schema}, and this crossexec reads {SCHEMA}: {remedy}, or use "
            "the crossexec that made it"
        )
    return timings


def write_timings(timings: Timings, path: Path) -> None:
    """Writes the file, whole or not at all: sorted, one entry a line, so that little of it changes.

    :raises OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        raw = msgspec.json.format(msgspec.json.encode(timings, order="deterministic"), indent=1)
        unfinished.write_bytes(raw + b"\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def update(timings: Timings, cells: Iterable[Cell]) -> Timings:
    """Returns *timings* with what finished cells have measured; others say nothing.

    A function that a suite no longer has is forgotten, if the suite was run whole, or all of its shards
    were. Several cells of one environment, such as those of several Pythons, count by the longest. Cells
    of which ``-k`` has chosen a part must not be given: what they leave out would look as if it were gone,
    and what they cut short as if it were quick.
    """
    finished = [cell for cell in cells if cell.status == CellStatus.FINISHED and cell.cases]
    measured: dict[str, dict[str, float]] = {}
    for cell in finished:
        longest = measured.setdefault(cell.key.environment, {})
        sums: dict[str, float] = {}
        for case in cell.cases:
            sums[case.function] = sums.get(case.function, 0.0) + case.seconds
        for function, taken in sums.items():
            longest[function] = max(taken, longest.get(function, 0.0))
    seconds = {environment: dict(known) for environment, known in timings.seconds.items()}
    for cell in _of_whole_suites(finished):
        known = seconds.get(cell.key.environment, {})
        for function in _of_suite(_suite_path(cell), known):
            del known[function]
    for environment, longest in measured.items():
        known = seconds.setdefault(environment, {})
        for function, taken in longest.items():
            known.pop(function, None)
            if taken >= SHORTEST:
                known[function] = float(f"{taken:.2g}")
    return Timings(seconds=seconds)


def expected(timings: Timings, environment: str, suite: str) -> float:
    """Returns how many seconds a suite takes with one worker; 0.0 where nothing of it is known.

    :param suite: path of its tests; it may be an absolute one, where node ids have the end of it.
    """
    known = timings.of(environment)
    return sum(known[function] for function in _of_suite(suite, known))


def _of_whole_suites(cells: Sequence[Cell]) -> Iterator[Cell]:
    """One cell of each suite that was run whole, be it in shards."""
    shards: dict[tuple[CellKey, str], dict[str, Cell]] = {}
    for cell in cells:
        shards.setdefault((msgspec.structs.replace(cell.key, shard=""), cell.cut), {})[cell.key.shard] = cell
    for by_shard in shards.values():
        shard, cell = next(iter(by_shard.items()))
        if not shard or len(by_shard) == int(shard.partition("/")[2]):
            yield cell


def _suite_path(cell: Cell) -> str:
    return cell.rerun[-1] if cell.rerun else ""


def _of_suite(path: str, functions: Iterable[str]) -> list[str]:
    """Those of *functions* that lie in the suite.

    :param path: of the suite, of which node ids have the end, since they are relative.
    """
    functions = list(functions)
    parts = PurePath(path).parts
    for start in range(len(parts)):
        prefix = "/".join(parts[start:])
        begins = tuple(prefix + separator for separator in ("/", "::", "["))
        found = [function for function in functions if function == prefix or function.startswith(begins)]
        if found:
            return found
    return []
