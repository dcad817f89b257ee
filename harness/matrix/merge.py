"""Makes one of several results, such as those of shards that different machines have run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from harness.matrix.model import Cell, CellKey, CellStatus, Results, ResultsError

_RAN: Final = (CellStatus.FINISHED, CellStatus.INTERRUPTED, CellStatus.BROKEN)
_WORST_FIRST: Final = (
    CellStatus.BROKEN,
    CellStatus.INTERRUPTED,
    CellStatus.FINISHED,
    CellStatus.UNAVAILABLE,
)
_SHARD: Final = re.compile(r"([1-9]\d*)/([1-9]\d*)", re.ASCII)


class MergeError(ResultsError):
    """The results cannot be parts of one whole; the text names the files."""


def merge(parts: Sequence[tuple[Path, Results]]) -> Results:
    """Returns all results as one. Where every shard of a suite is there, they become one whole cell.

    Of several files, each shard has to be there: one that is missing is told in ``failures``. The time of
    the whole is from the first start to the last end; that of a cell made of shards is the sum of theirs.

    :param parts: each with the file that it came from.
    :raises MergeError: two hold the same cases, or were cut differently.
    """
    sources: dict[CellKey, Path] = {}
    cells: dict[CellKey, list[Cell]] = {}
    for path, results in parts:
        for cell in results.cells:
            if cell.key in sources:
                raise MergeError(
                    f"{sources[cell.key]} and {path} both hold {cell.key}: give each result once, and "
                    "compare two runs of the same by crossexec compare"
                )
            sources[cell.key] = path
            cells.setdefault(whole(cell.key), []).append(cell)
    merged: list[Cell] = []
    failures = list(dict.fromkeys(failure for _, results in parts for failure in results.failures))
    for key, group in cells.items():
        _check(key, group, sources)
        missing = missing_shards(cell.key for cell in group)
        merged += group if missing or not _joinable(group) else [_join(key, group)]
        if missing and len(parts) > 1:
            failures.append(f"{key} lacks {' and '.join(missing)}")
    return _whole_run([results for _, results in parts], merged, failures)


def whole(key: CellKey) -> CellKey:
    """Returns the key of the cell that this one is a part of."""
    return msgspec.structs.replace(key, shard="")


def missing_shards(keys: Iterable[CellKey]) -> list[str]:
    """Returns which parts of one cell are not there, such as ``3/5``.

    :raises MergeError: a key names none.
    """
    there = {_shard(key) for key in keys if key.shard}
    sizes = {size for _, size in there}
    return [
        f"{part}/{size}" for size in sorted(sizes) for part in range(1, size + 1) if (part, size) not in there
    ]


def _shard(key: CellKey) -> tuple[int, int]:
    match = _SHARD.fullmatch(key.shard)
    if not match:
        raise MergeError(f"{key.shard!r} of {key} names no shard, such as 2/5")
    return int(match[1]), int(match[2])


def _check(key: CellKey, group: Sequence[Cell], sources: Mapping[CellKey, Path]) -> None:
    def differing(what: Mapping[CellKey, str], how: str, remedy: str) -> Iterator[MergeError]:
        first = next(iter(what), None)
        for other, value in what.items():
            if first is not None and value != what[first]:
                yield MergeError(
                    f"{sources[first]} and {sources[other]} {how} {key}: {what[first] or 'whole'} "
                    f"and {value or 'whole'}; {remedy}"
                )

    sizes = {cell.key: cell.key.shard.partition("/")[2] for cell in group}
    cuts = {cell.key: cell.cut for cell in group if cell.cut}
    for error in differing(sizes, "hold different numbers of parts of", "give the results of one run"):
        raise error
    remedy = "all machines need the same tests and the same file of times"
    for error in differing(cuts, "have cut differently", remedy):
        raise error
    seen: dict[str, CellKey] = {}
    for cell in group:
        for case in cell.cases:
            if case.test in seen and seen[case.test] != cell.key:
                raise MergeError(
                    f"{sources[seen[case.test]]} and {sources[cell.key]} both hold {case.test} of {key}: "
                    "they are no parts of one cut"
                )
            seen[case.test] = cell.key


def _joinable(group: Sequence[Cell]) -> bool:
    """Whether one status and one reason can be told of all of them."""
    if not group[0].key.shard:
        return False
    if all(cell.status in _RAN for cell in group):
        return True
    return len({(cell.status, cell.reason, cell.remedy) for cell in group}) == 1


def _join(key: CellKey, group: Sequence[Cell]) -> Cell:
    group = sorted(group, key=lambda cell: _shard(cell.key))
    status = next(status for status in _WORST_FIRST if any(cell.status == status for cell in group))
    reasons = Counter(cell.reason for cell in group if cell.reason)
    told = [
        # What all say need not be told of each.
        cell.reason if reasons[cell.reason] == len(group) else f"{cell.key.shard}: {cell.reason}"
        for cell in group
        if cell.reason
    ]
    return Cell(
        key,
        status,
        cases=tuple(case for cell in group for case in cell.cases),
        reason="; ".join(dict.fromkeys(told)),
        remedy="; ".join(dict.fromkeys(cell.remedy for cell in group if cell.remedy)),
        seconds=sum(cell.seconds for cell in group),
        workers=max(cell.workers for cell in group),
        rerun=next((cell.rerun for cell in group if cell.rerun), ()),
        variables=_joined(cell.variables for cell in group),
        versions=_joined(cell.versions for cell in group),
        cut="",
        required=any(cell.required for cell in group),
    )


def _without_shard(command: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        argument
        for before, argument in zip(["", *command], command, strict=False)
        if before != "--shard" and argument != "--shard" and not argument.startswith("--shard=")
    )


def _joined(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Returns all entries; where values differ, each of them."""
    values: dict[str, dict[str, None]] = {}
    for part in parts:
        for name, value in part.items():
            values.setdefault(name, {})[value] = None
    return {name: "; ".join(different) for name, different in values.items()}


def _whole_run(runs: Sequence[Results], cells: Sequence[Cell], failures: Sequence[str]) -> Results:
    commands = {_without_shard(run.command) for run in runs}
    started = min(runs, key=lambda run: _start(run) or datetime.max)
    starts = [(start, run.seconds) for run in runs if (start := _start(run))]
    if len(starts) == len(runs):
        end = max(start + timedelta(seconds=seconds) for start, seconds in starts)
        seconds = (end - min(start for start, _ in starts)).total_seconds()
    else:
        seconds = sum(run.seconds for run in runs)
    return Results(
        started=started.started,
        seconds=seconds,
        command=runs[0].command if len(runs) == 1 else commands.pop() if len(commands) == 1 else (),
        commit=", ".join(dict.fromkeys(run.commit for run in runs if run.commit)),
        machine=_joined(run.machine for run in runs),
        interrupted=any(run.interrupted for run in runs),
        cells=tuple(cells),
        failures=tuple(failures),
    )


def _start(run: Results) -> datetime | None:
    try:
        return datetime.fromisoformat(run.started).replace(tzinfo=None)
    except ValueError:
        return None
