"""What the script of ``index.html`` works from: the results, with each text once and cases in columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from harness.matrix.model import Case, Details, Outcome, Results
from harness.matrix.summary import place_names, rerun_words

OUTCOMES: Final = (
    Outcome.FAILED,
    Outcome.ERROR,
    Outcome.FLAKY,
    Outcome.GAP,
    Outcome.SKIPPED,
    Outcome.PASSED,
)
"""Of cases, the worst first; the page knows them by their place here."""

DETAILS_BYTES: Final = 48 << 20
"""How much of failures' texts, transcripts and outputs the page takes in whole. A browser opens that within
seconds; what comes after keeps the end of its text."""

CUT_BYTES: Final = 1500
_CUT: Final = "[The rest is left out of this page for its size; results.json has it.]\n"


def make_page_data(results: Results) -> tuple[dict[str, Any], list[list[Details]]]:
    """Returns the main document, and the details of each cell's cases, apart because they are read last.

    The order of columns, suites and tests is that of the cells.
    """
    keys = [cell.key for cell in results.cells]
    labels = place_names(keys)
    columns = {key.column: key for key in reversed(keys)}
    columns = {key.column: columns[key.column] for key in keys}
    suites = list(dict.fromkeys(key.suite for key in keys))
    strings, tests = _Table([""]), _Table()
    budget = _Budget(results)
    places = list(columns)
    cells, details = [], []
    for cell in results.cells:
        cells.append(
            {
                "column": places.index(cell.key.column),
                "suite": suites.index(cell.key.suite),
                "shard": cell.key.shard,
                "status": cell.status,
                "reason": cell.reason,
                "remedy": cell.remedy,
                "seconds": round(cell.seconds, 3),
                "workers": cell.workers,
                "rerun": rerun_words(cell),
                "target": cell.rerun[-1] if cell.rerun else "",
                "versions": cell.versions,
                "cases": _cases(cell.cases, tests, strings),
                "detailed": [number for number, case in enumerate(cell.cases) if case.details],
            }
        )
        details.append([budget.fit(case.details) for case in cell.cases if case.details])
    data = {
        "outcomes": OUTCOMES,
        "columns": [
            {
                "label": labels[name],
                "environment": key.environment,
                "executor": key.executor,
                "python": key.python,
            }
            for name, key in columns.items()
        ],
        "suites": suites,
        "cells": cells,
        "tests": tests.texts,
        "strings": strings.texts,
    }
    return data, details


def _cases(cases: Sequence[Case], tests: _Table, strings: _Table) -> dict[str, list[Any]]:
    return {
        "test": [tests.place(case.test) for case in cases],
        "outcome": [OUTCOMES.index(case.outcome) for case in cases],
        "seconds": [round(case.seconds, 4) for case in cases],
        "reason": [strings.place(case.reason) for case in cases],
        "owner": [strings.place(case.owner) for case in cases],
        "issue": [strings.place(case.issue) for case in cases],
        "tries": [case.tries for case in cases],
    }


class _Table:
    """Texts, each once."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._places = {text: place for place, text in enumerate(texts)}

    @property
    def texts(self) -> list[str]:
        return list(self._places)

    def place(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))


class _Budget:
    """Shares :data:`DETAILS_BYTES`: failures and errors are served before what is no failure."""

    def __init__(self, results: Results) -> None:
        ranked = sorted(
            (case for _, case in results.cases() if case.details),
            key=lambda case: OUTCOMES.index(case.outcome),
        )
        self._whole: set[int] = set()
        left = DETAILS_BYTES
        for case in ranked:
            assert case.details
            left -= _size(case.details)
            if left < 0:
                break
            self._whole.add(id(case.details))

    def fit(self, details: Details) -> Details:
        if id(details) in self._whole or _size(details) <= CUT_BYTES:
            return details
        return Details(text=_CUT + details.text[-CUT_BYTES:])


def _size(details: Details) -> int:
    return len(details.text) + len(details.wire) + sum(map(len, details.output.values()))


def script_json(value: object) -> str:
    """JSON that can stand in a ``script`` element: no ``<``, so neither its end nor a comment's begin."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")
