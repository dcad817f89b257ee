"""What changed between two runs of the matrix: what broke, what was mended, what became slower."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from harness.matrix.merge import missing_shards, whole
from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome, Results
from harness.matrix.summary import rerun_command

SLOWER_SECONDS: Final = 0.5
"""What a function takes less of more than before is noise, whatever the factor."""

NOT_THERE: Final = "not there"
NOT_RUN: Final = "not run"
OF_ONE_RUN: Final = frozenset({"container"})
"""Facts that are other ones in each run."""

NEVER_RUN: Final = frozenset({Outcome.SKIPPED, Outcome.UNAVAILABLE})


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One case whose outcome is another one now.

    :ivar key: the cell, without its shard.
    :ivar before: an outcome; ``not there`` where the cell had no such case, ``not run`` where it was ended
        before it came to it.
    :ivar after: as *before*.
    :ivar reason: of the case afterwards.
    :ivar rerun: command of a POSIX shell that runs the case again, where it fails.
    """

    key: CellKey
    test: str
    before: str
    after: str
    reason: str = ""
    rerun: str = ""


class CellChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cell whose status is another one now.

    :ivar before: a status; ``not there`` where that run had no such cell.
    :ivar after: as *before*.
    """

    key: CellKey
    before: str
    after: str
    reason: str = ""


class Slower(msgspec.Struct, frozen=True):
    """One function whose cases, those that ran both times, take longer now.

    :ivar before: seconds.
    :ivar after: seconds.
    """

    key: CellKey
    function: str
    before: float
    after: float


class Version(msgspec.Struct, frozen=True):
    """Something that has another version now; empty where it was not told.

    :ivar place: see :attr:`CellKey.column`; empty for the machine that ran the matrix.
    """

    place: str
    name: str
    before: str
    after: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of two runs.

    :ivar broke: cases that fail now and did not before, also those that are new.
    :ivar broken_cells: cells that could not be run to the end now.
    :ivar new_gaps: cases that passed before and are known gaps now.
    :ivar mended: cases that pass now and failed or were known gaps before.
    :ivar still_failing: cases that failed before as well.
    :ivar newly_flaky: cases that pass at a later try now.
    :ivar newly_skipped: cases that were run before.
    :ivar vanished: cases that a cell had before, and has no more although it was run to its end.
    :ivar new: cases that a cell did not have before although it was run to its end; those that fail are in
        *broke*.
    :ivar otherwise: cases whose outcome changed in a way that is neither.
    :ivar cells: cells of one run only, and those of another status, but for *broken_cells*.
    :ivar slower: functions that take longer, the worst first.
    :ivar versions: what has another version.
    :ivar failures: what else makes the run fail now and did not before.
    :ivar same: how many cases have the same outcome.
    """

    broke: tuple[Change, ...]
    broken_cells: tuple[CellChange, ...]
    new_gaps: tuple[Change, ...]
    mended: tuple[Change, ...]
    still_failing: tuple[Change, ...]
    newly_flaky: tuple[Change, ...]
    newly_skipped: tuple[Change, ...]
    vanished: tuple[Change, ...]
    new: tuple[Change, ...]
    otherwise: tuple[Change, ...]
    cells: tuple[CellChange, ...]
    slower: tuple[Slower, ...]
    versions: tuple[Version, ...]
    failures: tuple[str, ...]
    same: int

    @property
    def any_broke(self) -> bool:
        return bool(self.broke or self.broken_cells or self.new_gaps)


@dataclass(frozen=True)
class _Whole:
    """A cell with all its shards."""

    cases: Mapping[str, tuple[Cell, Case]]
    status: CellStatus
    reason: str
    complete: bool


def compare_results(before: Results, after: Results, slower: float = 2.0) -> Comparison:
    """Returns what changed.

    :param slower: how many times as long a function has to take to be told.
    """
    old, new = _wholes(before.cells), _wholes(after.cells)
    changes: dict[str, list[Change]] = defaultdict(list)
    cells: list[CellChange] = []
    broken: list[CellChange] = []
    functions: list[Slower] = []
    same = 0
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if change := _cell_change(key, was, now):
            (broken if change.after == CellStatus.BROKEN else cells).append(change)
        if now is None:
            continue
        if was is None:
            # Nothing is known of before, so what fails is told and nothing else.
            was = _Whole({}, CellStatus.UNAVAILABLE, "", complete=True)
        for test in dict.fromkeys([*was.cases, *now.cases]):
            kind, case_change = _case_change(key, test, was, now)
            if kind:
                changes[kind].append(case_change)
            same += case_change.before == case_change.after
        functions += _slower(key, was, now, slower)
    for key in new.keys() - old.keys():
        changes["new"] = [change for change in changes["new"] if change.key != key]
    return Comparison(
        **{name: tuple(changes[name]) for name in _KINDS},
        broken_cells=tuple(broken),
        cells=tuple(cells),
        slower=tuple(sorted(functions, key=lambda entry: entry.before - entry.after)),
        versions=tuple(_versions(before, after)),
        failures=tuple(text for text in after.failures if text not in before.failures),
        same=same,
    )


_KINDS: Final = (
    "broke",
    "new_gaps",
    "mended",
    "still_failing",
    "newly_flaky",
    "newly_skipped",
    "vanished",
    "new",
    "otherwise",
)


def _wholes(cells: Iterable[Cell]) -> dict[CellKey, _Whole]:
    groups: dict[CellKey, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[whole(cell.key)].append(cell)
    return {key: _whole(group) for key, group in groups.items()}


def _whole(group: Sequence[Cell]) -> _Whole:
    statuses = {cell.status for cell in group}
    worst = next(
        status
        for status in (
            CellStatus.BROKEN,
            CellStatus.INTERRUPTED,
            CellStatus.UNAVAILABLE,
            CellStatus.FINISHED,
        )
        if status in statuses
    )
    return _Whole(
        {case.test: (cell, case) for cell in group for case in cell.cases},
        worst,
        "; ".join(dict.fromkeys(cell.reason for cell in group if cell.reason)),
        complete=statuses == {CellStatus.FINISHED} and not missing_shards(cell.key for cell in group),
    )


def _cell_change(key: CellKey, was: _Whole | None, now: _Whole | None) -> CellChange | None:
    before = str(was.status) if was else NOT_THERE
    after = str(now.status) if now else NOT_THERE
    return None if before == after else CellChange(key, before, after, now.reason if now else "")


def _case_change(key: CellKey, test: str, was: _Whole, now: _Whole) -> tuple[str, Change]:
    """Returns the kind of the change, empty where there is nothing to tell, and the change."""
    before, after = was.cases.get(test), now.cases.get(test)
    old = str(before[1].outcome) if before else NOT_THERE if was.complete else NOT_RUN
    new = str(after[1].outcome) if after else NOT_THERE if now.complete else NOT_RUN
    change = Change(key, test, old, new)
    if after is None:
        return ("vanished" if now.complete else ""), change
    cell, case = after
    change = msgspec.structs.replace(change, reason=case.reason)
    if case.outcome.is_bad:
        change = msgspec.structs.replace(change, rerun=rerun_command(cell, case))
        return ("still_failing" if before and before[1].outcome.is_bad else "broke"), change
    return _kind(before[1].outcome if before else None, case.outcome, was.complete), change


def _kind(before: Outcome | None, after: Outcome, was_complete: bool) -> str:
    """What becomes of a case that does not fail now."""
    if before is None:
        return "new" if was_complete else ""
    match before, after:
        case _ if before == after:
            return ""
        case Outcome.PASSED | Outcome.FLAKY, Outcome.GAP:
            return "new_gaps"
        case Outcome.FAILED | Outcome.ERROR | Outcome.GAP, Outcome.PASSED:
            return "mended"
        case _, Outcome.FLAKY:
            return "newly_flaky"
        case _, Outcome.SKIPPED:
            return "newly_skipped"
    return "otherwise"


def _slower(key: CellKey, was: _Whole, now: _Whole, factor: float) -> Iterable[Slower]:
    old: dict[str, float] = defaultdict(float)
    new: dict[str, float] = defaultdict(float)
    for test, (_, case) in now.cases.items():
        before = was.cases.get(test)
        # A case that ran once only says nothing of its speed.
        if before and not {case.outcome, before[1].outcome} & NEVER_RUN:
            old[case.function] += before[1].seconds
            new[case.function] += case.seconds
    for function, seconds in new.items():
        if seconds >= old[function] * factor and seconds - old[function] >= SLOWER_SECONDS:
            yield Slower(key, function, round(old[function], 3), round(seconds, 3))


def _versions(before: Results, after: Results) -> Iterable[Version]:
    old, new = _all_versions(before), _all_versions(after)
    for place, name in dict.fromkeys([*old, *new]):
        was, now = old.get((place, name), ""), new.get((place, name), "")
        known = all(any(where == place for where, _ in side) for side in (old, new))
        if was != now and known and name not in OF_ONE_RUN:
            yield Version(place, name, was, now)


def _all_versions(results: Results) -> dict[tuple[str, str], str]:
    """Returns them by place and name; several of one are listed."""
    told: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    told["", "commit"][results.commit] = None
    for name, value in results.machine.items():
        told["", name][value] = None
    for cell in results.cells:
        for name, value in cell.versions.items():
            told[cell.key.column, name][value] = None
    return {what: "; ".join(values) for what, values in told.items()}
