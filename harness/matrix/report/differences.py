"""A page of what another executor does differently: known gaps and missing features, each from a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from harness.executor_kinds import EXECUTORS
from harness.executor_kinds.profile import FEATURES
from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome, Results, function_of

_MISSING: Final = "needs_feature: "
_INTRODUCTION: Final = """\
# What {title} does differently

The suites of this project are run with it, too. Each row below is one way in which it differs from what
the suites hold an executor to, with the number of cases that found it in each environment, and a command
that shows it: the case fails there, as a known gap. Of what was run, whatever is not listed holds.

This page is made from results, of one run or of several: `crossexec matrix --executor={name}`, then
`crossexec peer-report matrix-results --out docs/peer.md`.
"""


@dataclass
class _Row:
    """One difference.

    :ivar cases: how many have found it, by environment.
    :ivar example: one of them, by environment.
    """

    cases: dict[str, int] = field(default_factory=dict)
    example: dict[str, str] = field(default_factory=dict)

    def add(self, environment: str, case: Case) -> None:
        self.cases[environment] = self.cases.get(environment, 0) + 1
        # One with parameters says more than the first half of a name.
        self.example.setdefault(environment, case.test)


def differences_page(results: Sequence[Results], executor: str) -> str:
    """Returns the page, as Markdown.

    :param results: of any number of runs; what several have run counts as the latest of them has it.
    :param executor: by its name.
    :raises LookupError: the results have no finished cell of it.
    """
    cells = _latest(results, executor)
    finished = [cell for cell in cells if cell.status == CellStatus.FINISHED]
    if not finished:
        raise LookupError(f"no cell with executor {executor} has come to its end in these results")
    title = f"the executor `{executor}` {EXECUTORS[executor].version}"
    seen = list(dict.fromkeys(cell.key.environment for cell in finished))
    known = [name for name in EXECUTORS[executor].environments if name in seen]
    environments = known + [name for name in seen if name not in known]
    unlisted: dict[tuple[str, str], _Row] = {}
    gaps: dict[str, dict[str, _Row]] = {}
    features: dict[str, _Row] = {}
    for cell, case in _cases(finished):
        where = cell.key.environment
        if case.outcome == Outcome.GAP and case.owner == executor:
            gaps.setdefault(cell.key.suite, {}).setdefault(case.reason, _Row()).add(where, case)
        elif case.outcome == Outcome.SKIPPED and case.reason.startswith(_MISSING):
            name = case.reason.partition(" has no ")[2].partition(":")[0]
            features.setdefault(name, _Row()).add(where, case)
        elif case.outcome.is_bad:
            unlisted.setdefault((case.test, case.reason), _Row()).add(where, case)
    parts = [
        _INTRODUCTION.format(title=title, name=executor),
        _counts(finished, environments, executor),
        *(_gaps(suite, rows, environments, executor) for suite, rows in sorted(gaps.items())),
        _features(features, environments),
        _unlisted(unlisted),
        _unfinished(cells, executor),
    ]
    return "\n".join(filter(None, parts))


def _latest(results: Sequence[Results], executor: str) -> list[Cell]:
    """Returns the cells of the executor, none twice.

    A later one takes the place of an earlier one, a whole one that of its parts and the other way round; but
    none that of one which has come to its end, unless it has done so too.
    """
    found: dict[CellKey, dict[CellKey, Cell]] = {}
    for each in sorted(results, key=lambda each: each.started):
        for cell in each.cells:
            if cell.key.executor != executor:
                continue
            parts = found.setdefault(msgspec.structs.replace(cell.key, shard="", python=""), {})
            before = [
                part for key, part in parts.items() if key == cell.key or not (key.shard and cell.key.shard)
            ]
            is_finished = cell.status == CellStatus.FINISHED
            if is_finished or not any(part.status == CellStatus.FINISHED for part in before):
                for part in before:
                    del parts[part.key]
                parts[cell.key] = cell
    return [cell for parts in found.values() for cell in parts.values()]


def _cases(cells: Iterable[Cell]) -> Iterable[tuple[Cell, Case]]:
    return ((cell, case) for cell in cells for case in cell.cases)


def _counts(cells: Sequence[Cell], environments: Sequence[str], executor: str) -> str:
    lines = ["## In numbers", "", *_head(["environment", "holds", "differs", "lacks", "skipped", "fails"])]
    for environment in environments:
        cases = [case for cell, case in _cases(cells) if cell.key.environment == environment]
        lacks = sum(case.outcome == Outcome.SKIPPED and case.reason.startswith(_MISSING) for case in cases)
        differs = sum(case.outcome == Outcome.GAP and case.owner == executor for case in cases)
        holds = sum(case.outcome in (Outcome.PASSED, Outcome.FLAKY) for case in cases)
        bad = sum(case.outcome.is_bad for case in cases)
        rest = len(cases) - lacks - differs - holds - bad
        lines.append(_line([environment, *(f"{number:,}" for number in (holds, differs, lacks, rest, bad))]))
    lines += [
        "",
        f"Skipped are also cases of other operating systems, and gaps of others than {executor}.",
        "",
    ]
    return "\n".join(lines)


def _gaps(suite: str, rows: dict[str, _Row], environments: Sequence[str], executor: str) -> str:
    lines = [f"## {suite}", "", *_head(["what it does", *environments, "shown by"])]
    for reason, row in sorted(rows.items()):
        environment, test = next(iter(row.example.items()))
        command = shlex.join(["pytest", f"--env={environment}", f"--executor={executor}", "-rx", test])
        counts = [str(row.cases.get(name, "")) for name in environments]
        lines.append(_line([_cell(reason), *counts, f"`{_cell(command)}`"]))
    return "\n".join([*lines, ""])


def _features(rows: dict[str, _Row], environments: Sequence[str]) -> str:
    if not rows:
        return ""
    lines = ["## What it does not have", "", *_head(["feature", "what it is", *environments, "such as"])]
    for name, row in sorted(rows.items()):
        counts = [str(row.cases.get(environment, "")) for environment in environments]
        test = function_of(next(iter(row.example.values())))
        lines.append(_line([name, FEATURES.get(name, ""), *counts, f"`{_cell(test)}`"]))
    return "\n".join([*lines, ""])


def _unlisted(rows: Mapping[tuple[str, str], _Row]) -> str:
    if not rows:
        return ""
    lines = ["## What fails and is no known gap", "", *_head(["case", "where", "what was found"])]
    lines += [
        _line([f"`{_cell(test)}`", ", ".join(row.cases), _cell(reason)])
        for (test, reason), row in sorted(rows.items())
    ]
    return "\n".join([*lines, ""])


def _unfinished(cells: Sequence[Cell], executor: str) -> str:
    """What of all environments and suites has not been run to its end, and why."""
    suites = sorted({cell.key.suite for cell in cells})
    rows = []
    for environment in EXECUTORS[executor].environments:
        here = [cell for cell in cells if cell.key.environment == environment]
        missing = [name for name in suites if not any(cell.key.suite == name for cell in here)]
        if missing:
            what = "all" if missing == suites else ", ".join(missing)
            rows.append(_line([environment, what, "not in these results"]))
        rows += [
            _line([environment, " ".join(filter(None, (cell.key.suite, cell.key.shard))), _why(cell)])
            for cell in here
            if cell.status != CellStatus.FINISHED
        ]
    if not rows:
        return ""
    return "\n".join(["## Not run to the end", "", *_head(["environment", "suite", "why"]), *rows, ""])


def _why(cell: Cell) -> str:
    return _cell(f"{cell.status}: {cell.reason}" if cell.reason else cell.status)


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")
