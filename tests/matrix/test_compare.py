"""What changed between two runs: each kind of change, and what is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.cli_results import comparison_lines
from harness.matrix.compare import Comparison, compare_results
from harness.matrix.model import Case, Cell, CellStatus, Outcome, Results
from tests.matrix.samples import HOSTILE, case, cell, key, large_results, results, sample_results

KINDS = (
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
FINISHED = CellStatus.FINISHED
INTERRUPTED = CellStatus.INTERRUPTED


def compared(
    before: Sequence[Case],
    after: Sequence[Case],
    *,
    was: CellStatus = FINISHED,
    now: CellStatus = FINISHED,
    slower: float = 2.0,
) -> Comparison:
    old, new = results(cell(cases=before, status=was)), results(cell(cases=after, status=now))
    return compare_results(old, new, slower=slower)


def told(comparison: Comparison) -> dict[str, list[tuple[str, str, str]]]:
    """The changes of cases that there are, by their kind."""
    return {
        kind: [(change.test.partition("::")[2], change.before, change.after) for change in changes]
        for kind in KINDS
        if (changes := getattr(comparison, kind))
    }


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("passed", "failed", "broke"),
        ("passed", "error", "broke"),
        ("gap", "failed", "broke"),
        ("skipped", "failed", "broke"),
        ("flaky", "failed", "broke"),
        ("passed", "gap", "new_gaps"),
        ("flaky", "gap", "new_gaps"),
        ("failed", "passed", "mended"),
        ("error", "passed", "mended"),
        ("gap", "passed", "mended"),
        ("failed", "failed", "still_failing"),
        ("failed", "error", "still_failing"),
        ("passed", "flaky", "newly_flaky"),
        ("failed", "flaky", "newly_flaky"),
        ("passed", "skipped", "newly_skipped"),
        ("gap", "skipped", "newly_skipped"),
        ("failed", "gap", "otherwise"),
        ("skipped", "passed", "otherwise"),
        ("skipped", "gap", "otherwise"),
        ("flaky", "passed", "otherwise"),
        ("passed", "passed", None),
        ("gap", "gap", None),
        ("skipped", "skipped", None),
        ("flaky", "flaky", None),
    ],
)
def test_a_case_whose_outcome_changed(before: str, after: str, kind: str | None) -> None:
    comparison = compared([case("test_a", Outcome(before))], [case("test_a", Outcome(after))])
    assert told(comparison) == ({kind: [("test_a", before, after)]} if kind else {})
    assert comparison.any_broke == (kind in ("broke", "new_gaps"))
    assert comparison.same == (before == after)


@pytest.mark.parametrize(
    ("outcome", "kind"), [("failed", "broke"), ("passed", "new"), ("gap", "new"), ("skipped", "new")]
)
def test_a_new_case(outcome: str, kind: str) -> None:
    comparison = compared([case("test_a")], [case("test_a"), case("test_b", Outcome(outcome))])
    assert told(comparison) == {kind: [("test_b", "not there", outcome)]}
    assert comparison.any_broke == (kind == "broke")


def test_a_vanished_case_is_told_and_breaks_nothing() -> None:
    comparison = compared([case("test_a"), case("test_b")], [case("test_a")])
    assert told(comparison) == {"vanished": [("test_b", "passed", "not there")]}
    assert not comparison.any_broke


@pytest.mark.parametrize("status", [INTERRUPTED, CellStatus.BROKEN, CellStatus.UNAVAILABLE])
def test_a_case_that_an_unfinished_cell_lacks_has_not_vanished(status: CellStatus) -> None:
    assert told(compared([case("test_a"), case("test_b")], [case("test_a")], now=status)) == {}


@pytest.mark.parametrize("status", [INTERRUPTED, CellStatus.BROKEN, CellStatus.UNAVAILABLE])
def test_a_case_that_an_unfinished_cell_lacked_is_not_new(status: CellStatus) -> None:
    assert told(compared([], [case("test_a")], was=status)) == {}


def test_a_case_that_was_not_reached_before_and_fails_now_counts_as_broken() -> None:
    comparison = compared([], [case("test_a", Outcome.FAILED)], was=INTERRUPTED)
    assert told(comparison) == {"broke": [("test_a", "not run", "failed")]}


def test_a_cell_that_is_broken_now_is_told_first_of_all_and_breaks() -> None:
    comparison = compared([], [], now=CellStatus.BROKEN)
    assert [(change.before, change.after) for change in comparison.broken_cells] == [("finished", "broken")]
    assert comparison.any_broke and not comparison.cells


def test_a_cell_that_was_broken_before_too_breaks_nothing_new() -> None:
    assert not compared([], [], was=CellStatus.BROKEN, now=CellStatus.BROKEN).any_broke


@pytest.mark.parametrize("status", [INTERRUPTED, CellStatus.UNAVAILABLE])
def test_a_cell_that_was_not_run_to_its_end_is_told_and_breaks_nothing(status: CellStatus) -> None:
    comparison = compared([], [], now=status)
    assert [(change.before, change.after) for change in comparison.cells] == [("finished", str(status))]
    assert not comparison.any_broke


def test_cells_of_one_run_only_are_told_without_their_cases() -> None:
    local, docker = cell(key("local"), [case("test_a")]), cell(key("docker"), [case("test_a")])
    comparison = compare_results(results(local), results(docker))
    assert [(change.key.environment, change.before, change.after) for change in comparison.cells] == [
        ("local", "finished", "not there"),
        ("docker", "not there", "finished"),
    ]
    assert told(comparison) == {}
    assert not comparison.any_broke


def test_what_fails_in_a_cell_that_was_not_there_before_counts_as_broken() -> None:
    comparison = compare_results(results(), results(cell(cases=[case("test_a", Outcome.FAILED)])))
    assert told(comparison) == {"broke": [("test_a", "not there", "failed")]}


def test_shards_are_compared_with_the_whole() -> None:
    cases = [case("test_a"), case("test_b"), case("test_c")]
    whole = results(cell(cases=cases))
    parts = results(cell(key(shard="1/2"), cases[:1]), cell(key(shard="2/2"), cases[1:]))
    for before, after in ((whole, parts), (parts, whole)):
        comparison = compare_results(before, after)
        assert (told(comparison), comparison.cells, comparison.same) == ({}, (), 3)


def test_what_a_missing_shard_holds_has_not_vanished() -> None:
    cases = [case("test_a"), case("test_b")]
    part = results(cell(key(shard="1/2"), cases[:1]))
    assert told(compare_results(results(cell(cases=cases)), part)) == {}
    assert told(compare_results(part, results(cell(cases=cases)))) == {}


def slow(before: Sequence[float], after: Sequence[float], factor: float = 2.0) -> list[tuple[float, float]]:
    old, new = (
        [case(f"test_a[{n}]", seconds=seconds) for n, seconds in enumerate(times)]
        for times in (before, after)
    )
    return [(entry.before, entry.after) for entry in compared(old, new, slower=factor).slower]


def test_a_function_is_slower_by_the_sum_of_its_cases() -> None:
    assert slow([0.3, 0.3], [0.6, 0.6]) == [(0.6, 1.2)]
    assert slow([0.3, 0.3], [0.6, 0.59]) == []


def test_less_than_half_a_second_is_noise() -> None:
    assert slow([0.01], [0.5]) == []
    assert slow([0.01], [0.51]) == [(0.01, 0.51)]


def test_the_factor_can_be_chosen() -> None:
    assert slow([10.0], [14.0], 1.5) == []
    assert slow([10.0], [16.0], 1.5) == [(10.0, 16.0)]


def test_more_cases_do_not_make_a_function_slower() -> None:
    assert slow([1.0], [1.0, 5.0]) == []


def test_a_case_that_was_skipped_makes_no_function_slower() -> None:
    before = [case("test_a", Outcome.SKIPPED, seconds=0.0)]
    assert not compared(before, [case("test_a", seconds=9.0)]).slower


def test_what_is_slower_breaks_nothing() -> None:
    comparison = compared([case("test_a", seconds=1.0)], [case("test_a", seconds=9.0)])
    assert comparison.slower and not comparison.any_broke


def test_versions_that_differ_are_told() -> None:
    def run(wine: str, kernel: str, commit: str, environment: str = "wine-exec") -> Results:
        versions = {"wine": wine, "image": "same", "container": f"of {wine}"}
        return results(cell(key(environment), versions=versions), machine={"kernel": kernel}, commit=commit)

    comparison = compare_results(run("8.0", "6.1", "aaa"), run("10.0", "6.1", "bbb"))
    assert [(entry.place, entry.name, entry.before, entry.after) for entry in comparison.versions] == [
        ("", "commit", "aaa", "bbb"),
        ("wine-exec python py3.11", "wine", "8.0", "10.0"),
    ]
    other = compare_results(run("8.0", "6.1", "aaa"), run("10.0", "6.1", "aaa", "wine"))
    assert not other.versions


def test_new_failures_of_the_whole_run_are_told() -> None:
    before, after = results(failures=("too many gaps",)), results(failures=("too many gaps", "no daemon"))
    assert compare_results(before, after).failures == ("no daemon",)


def lines(*cells: Sequence[Cell]) -> list[str]:
    before, after = (results(*each) for each in cells)
    return list(comparison_lines(compare_results(before, after), before, after))


def test_a_run_is_as_itself() -> None:
    run = large_results()
    comparison = compare_results(run, run)
    assert list(told(comparison)) == ["still_failing"]
    assert list(comparison_lines(comparison, run, run)) == ["nothing broke; 6 fail as before; 6000 as before"]


def test_what_broke_is_shown_with_its_reason_and_its_command() -> None:
    where = key("wine-exec")
    failed = case("test_a[x y]", Outcome.FAILED, reason="it differs")
    again = cell(where, [failed], rerun=("pytest", "suites/path"), variables={"WINE": "x"})
    assert lines([cell(where, [case("test_a[x y]")])], [again]) == [
        "1 case broke; no case is as before",
        "",
        "Broke (1)",
        "  wine-exec suites/path/test_names.py::test_a[x y]: passed -> failed",
        "      it differs",
        "      WINE=x pytest 'suites/path/test_names.py::test_a[x y]'",
    ]


def test_cases_of_a_function_that_changed_alike_are_one_entry() -> None:
    old = [case(f"test_a[{n}]", Outcome.FAILED) for n in range(3)] + [case("test_b")]
    new = [case(f"test_a[{n}]") for n in range(3)]
    assert lines([cell(cases=old)], [cell(cases=new)]) == [
        "nothing broke; 3 mended; no case is as before",
        "",
        "Mended (3)",
        "  local suites/path/test_names.py::test_a (3 cases): failed -> passed",
        "",
        "Vanished (1)",
        "  local suites/path/test_names.py::test_b",
    ]


def test_a_long_section_says_what_it_leaves_out() -> None:
    old = [case(f"test_a{n}") for n in range(60)]
    new = [case(f"test_a{n}", Outcome.FAILED) for n in range(60)]
    shown = lines([cell(cases=old)], [cell(cases=new)])
    assert sum("passed -> failed" in line for line in shown) == 50
    assert shown[-1] == "  and 10 more entries: --json lists all"


def test_nothing_that_is_shown_commands_a_terminal() -> None:
    hostile = case(f"test_a[{HOSTILE}]", Outcome.FAILED, reason=HOSTILE)
    after = cell(cases=[hostile], status=CellStatus.BROKEN, reason=HOSTILE, versions={HOSTILE: HOSTILE})
    shown = lines([cell(versions={"x": HOSTILE})], [after])
    assert any("\\x1b" in line for line in shown)
    assert all(line.isprintable() for line in shown)


def test_every_section_of_a_real_difference_is_shown() -> None:
    before, after = sample_results(), large_results()
    shown = list(comparison_lines(compare_results(before, after), before, after))
    titles = [line.partition(" (")[0] for line in shown if line and not line.startswith(" ")]
    assert titles[1:] == ["Broke", "Vanished", "New", "Cells"]
