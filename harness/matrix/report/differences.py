"""A page of what another executor does differently: known gaps and missing features, each from a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.executor_kinds import EXECUTORS
from harness.executor_kinds.profile import FEATURES
from harness.matrix.model import Case, Cell, CellStatus, Outcome, Results, function_of

_MISSING: Final = "needs_feature: "
_INTRODUCTION: Final = """\
# What {title} does differently

Every suite of this project has been run with it, too. Each row below is one way in which it differs from
what the suites hold an executor to, with the number of cases that found it in each environment, and a command
that shows it: the case fails there, as a known gap. What is not listed holds.

This page is made from results: `crossexec matrix --executor={name}`, then
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

    :param executor: by its name.
    :raises LookupError: the results have no finished cell of it.
    """
    cells = [cell for each in results for cell in each.cells if cell.key.executor == executor]
    finished = [cell for cell in cells if cell.status == CellStatus.FINISHED]
    if not finished:
        raise LookupError(f"no cell with executor {executor} has come to its end in these results")
    title = f"the executor `{executor}` {EXECUTORS[executor].version}"
    environments = list(dict.fromkeys(cell.key.environment for cell in finished))
    gaps: dict[str, dict[str, _Row]] = {}
    features: dict[str, _Row] = {}
    for cell, case in _cases(finished):
        where = cell.key.environment
        if case.outcome == Outcome.GAP and case.owner == executor:
            gaps.setdefault(cell.key.suite, {}).setdefault(case.reason, _Row()).add(where, case)
        elif case.outcome == Outcome.SKIPPED and case.reason.startswith(_MISSING):
            name = case.reason.partition(" has no ")[2].partition(":")[0]
            features.setdefault(name, _Row()).add(where, case)
    parts = [
        _INTRODUCTION.format(title=title, name=executor),
        _counts(finished, environments, executor),
        *(_gaps(suite, rows, environments, executor) for suite, rows in gaps.items()),
        _features(features, environments),
        _unfinished(cells),
    ]
    return "\n".join(filter(None, parts))


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


def _unfinished(cells: Sequence[Cell]) -> str:
    left = [cell for cell in cells if cell.status != CellStatus.FINISHED]
    if not left:
        return ""
    lines = ["## Not run to the end", "", *_head(["cell", "why"])]
    return "\n".join([*lines, *(_line([str(cell.key), _cell(cell.reason)]) for cell in left), ""])


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), _line(["---"] * len(names))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("`", "'")
