"""The page of what another executor does differently."""

from __future__ import annotations

import pytest

from harness.environments import ENVIRONMENTS
from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome, Results
from harness.matrix.report.differences import differences_page

_GAP = "a | b"


def cell(
    environment: str, *cases: Case, executor: str = "codex", suite: str = "shell", shard: str = ""
) -> Cell:
    return Cell(CellKey(environment, executor, "3.13", suite, shard), CellStatus.FINISHED, cases)


def results(*cells: Cell, day: int = 31) -> Results:
    started = f"2026-01-{day:02}T00:00:00Z"
    return Results(started=started, seconds=1.0, command=(), commit="", machine={}, cells=cells)


def gap(test: str, owner: str = "codex") -> Case:
    return Case(test, Outcome.GAP, 0.1, reason=_GAP, owner=owner)


def test_a_difference_is_one_row_with_what_shows_it() -> None:
    page = differences_page(
        [
            results(cell("local", gap("t.py::test_a[x y]"), gap("t.py::test_b"))),
            results(cell("docker", gap("t.py::test_b"), Case("t.py::test_c", Outcome.PASSED, 0.1))),
        ],
        "codex",
    )
    row = r"| a \| b | 2 | 1 | `pytest --env=local --executor=codex -rx 't.py::test_a[x y]'` |"
    assert row in page.splitlines()
    assert "| local | 0 | 2 | 0 | 0 | 0 |" in page and "| docker | 1 | 1 | 0 | 0 | 0 |" in page


def test_gaps_of_others_are_no_difference_and_missing_features_are_told() -> None:
    reason = "needs_feature: the executor codex has no resize: a terminal"
    page = differences_page(
        [results(cell("local", gap("t.py::test_a", "wine"), Case("t.py::d[1]", Outcome.SKIPPED, 0, reason)))],
        "codex",
    )
    assert _GAP.replace("|", "\\|") not in page
    assert "| resize | a terminal can get another size, by process/resize | 1 | `t.py::d` |" in page
    assert "| local | 0 | 0 | 1 | 1 | 0 |" in page


def test_without_a_run_there_is_no_page() -> None:
    with pytest.raises(LookupError, match="no cell with executor codex"):
        differences_page([results(cell("local", executor="python"))], "codex")


def test_what_several_runs_have_counts_once_and_as_the_latest_has_it() -> None:
    passed, failed = (
        Case("t.py::test_c", Outcome.PASSED, 0.1),
        Case("t.py::test_d", Outcome.FAILED, 0.1, "why"),
    )
    ended = Cell(CellKey("local", "codex", "3.13", "shell"), CellStatus.INTERRUPTED, (passed,) * 9)
    page = differences_page(
        [
            results(cell("local", passed, failed), day=3),
            results(cell("local", gap("t.py::test_a")), cell("docker", passed, shard="1/2"), day=2),
            results(cell("docker", passed, shard="2/2"), ended, day=4),
        ],
        "codex",
    )
    assert "| local | 1 | 0 | 0 | 0 | 1 |" in page and "| docker | 2 | 0 | 0 | 0 | 0 |" in page
    assert "| `t.py::test_d` | local | why |" in page


def test_what_was_not_run_is_told() -> None:
    broken = Cell(CellKey("docker", "codex", "3.13", "path"), CellStatus.BROKEN, reason="it died")
    page = differences_page([results(cell("local"), cell("local", suite="path"), broken)], "codex")
    told = page.partition("## Not run to the end")[2].splitlines()[4:]
    assert told == [
        "| docker | shell | not in these results |",
        "| docker | path | broken: it died |",
        *(
            f"| {environment} | all | not in these results |"
            for environment in ("wine-exec", "remote-local", "remote-docker", "remote-wine-exec")
        ),
    ]
    whole = [cell(environment) for environment in ENVIRONMENTS]
    assert "Not run" not in differences_page([results(*whole)], "codex")
