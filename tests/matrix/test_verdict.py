"""What makes a run fail besides its cases."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from harness.matrix.definition import Definition, EnvironmentCells, ExecutorCells
from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome
from harness.matrix.verdict import failures, judged
from tests.matrix.samples import results

FINISHED = CellStatus.FINISHED


def cell(*outcomes: str, suite: str = "path", status: CellStatus = FINISHED) -> Cell:
    cases = tuple(Case(f"t.py::test_{n}", Outcome(outcome), 0.1) for n, outcome in enumerate(outcomes))
    unavailable = status == CellStatus.UNAVAILABLE
    return Cell(
        CellKey("docker", "python", "3.13", suite),
        status,
        cases,
        reason="no daemon" if unavailable else "",
        remedy="start one" if unavailable else "",
    )


def found(
    *cells: Cell, allowed: str = "100%", named: Sequence[str] = (), pythons: Sequence[str] = ()
) -> list[str]:
    definition = Definition({"docker": EnvironmentCells(allowed_gaps=allowed)}, {"path": "p", "shell": "s"})
    return list(failures(cells, definition, named, pythons))


@pytest.mark.parametrize(
    ("allowed", "fails"), [("50%", False), ("49.9%", True), ("0%", True), ("100%", False)]
)
def test_gaps_are_counted_over_all_that_was_not_skipped(allowed: str, fails: bool) -> None:
    cells = (cell("gap", "gap", "skipped"), cell("passed", "failed", "skipped", suite="shell"))
    expected = [f"environment docker: 2 of 4 cases are known gaps, 50%, and {allowed} are allowed"]
    assert found(*cells, allowed=allowed) == (expected if fails else [])


def test_no_gap_is_allowed_and_none_is_there() -> None:
    assert found(cell("passed", "skipped"), allowed="0%") == []
    assert found(cell("skipped"), allowed="0%") == []


def test_half_a_run_is_not_judged() -> None:
    half = cell("gap", status=CellStatus.INTERRUPTED)
    assert found(half, cell(suite="shell"), allowed="0%") == []


def test_nothing_selected() -> None:
    assert found(cell(), cell(suite="shell")) == ["no test was selected: see -k, --suite and --shard"]
    assert found(cell(), cell("skipped", suite="shell")) == []
    assert found(cell(), cell(status=CellStatus.BROKEN)) == []


def test_what_is_unavailable_fails_only_where_it_was_named() -> None:
    cells = (cell(status=CellStatus.UNAVAILABLE), cell(suite="shell", status=CellStatus.UNAVAILABLE))
    assert found(*cells) == []
    assert found(*cells, named=["local"], pythons=["3.12"]) == []
    why = "was asked for, and is unavailable: no daemon; start one"
    assert found(*cells, named=["docker"]) == [f"--env=docker {why}"]
    assert found(*cells, named=["docker"], pythons=["3.13"]) == [f"--env=docker --python=3.13 {why}"]


@pytest.mark.parametrize(
    "wrong",
    [cell("failed"), cell("error"), cell(status=CellStatus.BROKEN)],
    ids=["failed", "error", "broken"],
)
def test_an_executor_that_is_not_required_fails_only_whom_names_it(wrong: Cell) -> None:
    definition = Definition(
        {"docker": EnvironmentCells()},
        {"path": "p"},
        executors=("python", ExecutorCells("codex", required=False)),
    )
    other = msgspec.structs.replace(wrong, key=CellKey("docker", "codex", "3.13", "path"))
    fine = cell("passed", suite="shell")

    def fails(*cells: Cell, executors: Sequence[str] = ()) -> bool:
        return results(*judged(cells, definition, executors)).failed

    assert not fails(fine, other)
    assert fails(fine, other, executors=["codex"])
    assert fails(fine, wrong) and fails(fine, wrong, executors=["codex"])


def test_an_executor_is_required_if_nothing_else_is_said() -> None:
    other = msgspec.structs.replace(cell("failed"), key=CellKey("docker", "codex", "3.13", "path"))
    for executors in (("python", "codex"), ("python", ExecutorCells("codex")), ("python",)):
        definition = Definition({"docker": EnvironmentCells()}, {"path": "p"}, executors=executors)
        assert results(*judged([other], definition, ())).failed
