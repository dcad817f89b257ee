"""What makes a run of the matrix fail besides its cases."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from harness.executor_kinds import EXECUTORS, OWN
from harness.matrix.definition import Definition
from harness.matrix.model import Cell, CellKey, CellStatus, Outcome

_FOREIGN: Final = frozenset(EXECUTORS) - {OWN}


def judged(cells: Iterable[Cell], definition: Definition, executors: Collection[str]) -> list[Cell]:
    """Returns the cells, each with whether what goes wrong in it makes the run fail.

    :param executors: that a person asked for: they are required, whatever the definition says.
    """
    optional = {name for name, each in definition.executor_cells.items() if not each.required}
    optional -= frozenset(executors)
    return [
        msgspec.structs.replace(cell, required=False) if cell.key.executor in optional else cell
        for cell in cells
    ]


def failures(
    cells: Sequence[Cell],
    definition: Definition,
    named: Collection[str],
    pythons: Collection[str],
    executors: Collection[str] = (),
) -> tuple[str, ...]:
    """Returns them in words.

    :param cells: of the whole run.
    :param named: environments that a person asked for.
    :param pythons: versions of Python that a person asked for.
    :param executors: that a person asked for.
    """
    interrupted = any(cell.status == CellStatus.INTERRUPTED for cell in cells)
    found = [*_missing(cells, named, pythons, executors)]
    # Of half a run neither can be said.
    if not interrupted:
        found += _too_many_gaps(cells, definition)
        if all(cell.status == CellStatus.FINISHED and not cell.cases for cell in cells):
            found.append("no test was selected: see -k, --suite and --shard")
    return tuple(found)


def _missing(
    cells: Sequence[Cell], named: Collection[str], pythons: Collection[str], executors: Collection[str]
) -> list[str]:
    texts: dict[str, None] = {}
    for cell in cells:
        if cell.status != CellStatus.UNAVAILABLE:
            continue
        key = cell.key
        asked = [
            *([f"--env={key.environment}"] if key.environment in named and _is_asked(key, executors) else []),
            *([f"--executor={key.executor}"] if key.executor in executors else []),
            *([f"--python={key.python}"] if key.python in pythons else []),
        ]
        if asked:
            why = "; ".join(filter(None, (cell.reason, cell.remedy)))
            texts[f"{' '.join(asked)} was asked for, and is unavailable: {why}"] = None
    return list(texts)


def _is_asked(key: CellKey, executors: Collection[str]) -> bool:
    """Whether it is a cell of an executor that a person asked for, if only by saying nothing."""
    return key.executor not in _FOREIGN or key.executor in executors


def _too_many_gaps(cells: Sequence[Cell], definition: Definition) -> list[str]:
    found = []
    for name, environment in definition.environments.items():
        cases = [
            case
            for cell in cells
            if cell.key.environment == name and cell.key.executor not in _FOREIGN
            for case in cell.cases
            if case.outcome != Outcome.SKIPPED
        ]
        gaps = sum(case.outcome == Outcome.GAP for case in cases)
        if cases and gaps / len(cases) > environment.allowed_gap_share:
            found.append(
                f"environment {name}: {gaps} of {len(cases)} cases are known gaps, "
                f"{100 * gaps / len(cases):.2g}%, and {environment.allowed_gaps} are allowed"
            )
    return found
