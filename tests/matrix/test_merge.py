"""One of several results: what may be joined, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.merge import MergeError, merge, missing_shards
from harness.matrix.model import Cell, CellKey, CellStatus, Outcome, Results
from tests.matrix.samples import case, cell, key, large_results, results, sample_results


def merged(*runs: Results) -> Results:
    return merge([(Path(f"{number}.json"), run) for number, run in enumerate(runs)])


def shard(part: int, of: int = 2, *, cut: str = "abc", suite: str = "path", **more: object) -> Cell:
    status = more.pop("status", CellStatus.FINISHED)
    assert isinstance(status, CellStatus)
    cases = [case(f"test_{part}[{n}]") for n in range(part)]
    return cell(key(suite=suite, shard=f"{part}/{of}"), cases, status, cut=cut, **more)


@pytest.mark.parametrize("run", [sample_results(), large_results(tests=50)], ids=["small", "large"])
def test_one_result_stays_as_it_is(run: Results) -> None:
    assert merged(run) == run


def test_one_part_of_several_stays_as_it_is() -> None:
    run = results(shard(1), command=("--shard=1/2",))
    assert merged(run) == run


def test_results_of_several_places_are_put_together() -> None:
    local, docker = cell(key("local"), [case("test_a")]), cell(key("docker"), [case("test_a")])
    assert merged(results(local), results(docker)).cells == (local, docker)


def test_all_parts_become_one_whole() -> None:
    run = merged(results(shard(2, seconds=3.0, workers=4)), results(shard(1, seconds=2.0, workers=2)))
    (whole,) = run.cells
    assert whole.key == key()
    assert whole.status == CellStatus.FINISHED
    assert [entry.test.partition("::")[2] for entry in whole.cases] == ["test_1[0]", "test_2[0]", "test_2[1]"]
    assert (whole.seconds, whole.workers, whole.cut) == (5.0, 4, "")
    assert whole.rerun == ("pytest", "--env=local", "suites/path")
    assert not run.failures


def test_parts_in_one_file_become_one_whole_too() -> None:
    (whole,) = merged(results(shard(1), shard(2))).cells
    assert (whole.key.shard, len(whole.cases)) == ("", 3)


def test_more_parts_than_nine_stay_in_their_order() -> None:
    (whole,) = merged(*(results(shard(part, 11)) for part in reversed(range(1, 12)))).cells
    assert [entry.test.partition("::")[2] for entry in whole.cases if "[0]" in entry.test] == [
        f"test_{part}[0]" for part in range(1, 12)
    ]


def test_a_part_that_is_missing_is_told_and_fails_the_run() -> None:
    run = merged(results(shard(1, 4)), results(shard(3, 4)))
    assert [str(entry.key) for entry in run.cells] == [
        "local python py3.11 path 1/4",
        "local python py3.11 path 3/4",
    ]
    assert run.failures == ("local python py3.11 path lacks 2/4 and 4/4",)
    assert run.failed


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((CellStatus.FINISHED, CellStatus.BROKEN), CellStatus.BROKEN),
        ((CellStatus.INTERRUPTED, CellStatus.FINISHED), CellStatus.INTERRUPTED),
        ((CellStatus.INTERRUPTED, CellStatus.BROKEN), CellStatus.BROKEN),
    ],
)
def test_a_whole_is_as_bad_as_its_worst_part(
    statuses: tuple[CellStatus, CellStatus], expected: CellStatus
) -> None:
    parts = [shard(n, status=status, reason=f"why {n}") for n, status in enumerate(statuses, 1)]
    (whole,) = merged(*map(results, parts)).cells
    assert (whole.status, whole.reason) == (expected, "1/2: why 1; 2/2: why 2")


def test_parts_that_are_unavailable_alike_are_one_unavailable_cell() -> None:
    parts = [shard(n, status=CellStatus.UNAVAILABLE, reason="no daemon", remedy="start it") for n in (1, 2)]
    (whole,) = merged(*map(results, parts)).cells
    assert (whole.status, whole.reason, whole.remedy) == (CellStatus.UNAVAILABLE, "no daemon", "start it")


def test_parts_of_which_one_is_unavailable_stay_apart() -> None:
    run = merged(results(shard(1)), results(shard(2, status=CellStatus.UNAVAILABLE)))
    assert [entry.status for entry in run.cells] == [CellStatus.FINISHED, CellStatus.UNAVAILABLE]


def test_versions_that_differ_are_all_told() -> None:
    parts = [shard(n, versions={"kernel": f"6.{n}", "wine": "8.0"}) for n in (1, 2)]
    (whole,) = merged(*map(results, parts)).cells
    assert whole.versions == {"kernel": "6.1; 6.2", "wine": "8.0"}


def refused(*runs: Results) -> str:
    with pytest.raises(MergeError) as raised:
        merged(*runs)
    return str(raised.value)


def test_the_same_cell_twice_is_refused() -> None:
    text = refused(results(cell()), results(cell(key("docker"))), results(cell()))
    assert text.startswith("0.json and 2.json both hold local python py3.11 path:")


def test_a_whole_and_a_part_of_it_are_refused() -> None:
    text = refused(results(cell()), results(shard(1)))
    assert text.startswith("0.json and 1.json hold different numbers of parts of")
    assert "whole and 2" in text


def test_parts_of_different_numbers_are_refused() -> None:
    assert "hold different numbers of parts" in refused(results(shard(1, 2)), results(shard(3, 3)))


def test_parts_of_different_cuts_are_refused() -> None:
    text = refused(results(shard(1, cut="abc")), results(shard(2, cut="abd")))
    assert text.startswith("0.json and 1.json have cut differently")
    assert "abc and abd" in text


def test_a_part_that_was_never_begun_has_no_cut() -> None:
    run = merged(results(shard(1)), results(shard(2, cut="", status=CellStatus.INTERRUPTED)))
    assert [entry.status for entry in run.cells] == [CellStatus.INTERRUPTED]


def test_parts_that_hold_the_same_case_are_refused() -> None:
    twice = cell(key(shard="2/2"), [case("test_1[0]")], cut="abc")
    assert "both hold suites/path/test_names.py::test_1[0]" in refused(results(shard(1)), results(twice))


@pytest.mark.parametrize("text", ["x", "1", "0/2", "1/2/3", "-1/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    assert "names no shard" in refused(results(cell(key(shard=text))))


def test_missing_shards() -> None:
    def keys(*shards: str) -> list[CellKey]:
        return [key(shard=text) for text in shards]

    assert missing_shards(keys("")) == []
    assert missing_shards(keys("2/3")) == ["1/3", "3/3"]
    assert missing_shards(keys("1/2", "2/2")) == []


def test_the_whole_run_is_from_the_first_start_to_the_last_end() -> None:
    early = results(shard(1), started="2026-03-01T12:00:00Z", seconds=100.0)
    late = results(shard(2), started="2026-03-01T12:01:00Z", seconds=50.5)
    run = merged(late, early)
    assert (run.started, run.seconds) == ("2026-03-01T12:00:00Z", 110.5)


def test_what_the_runs_say_of_themselves_is_put_together() -> None:
    first = results(
        shard(1),
        command=("--env=local", "--shard=1/2"),
        commit="aaa",
        machine={"cores": "2"},
        failures=("x",),
    )
    second = results(
        shard(2),
        command=("--env=local", "--shard", "2/2"),
        commit="bbb",
        machine={"cores": "4"},
        failures=("x", "y"),
        interrupted=True,
    )
    run = merged(first, second)
    assert run.command == ("--env=local",)
    assert run.commit == "aaa, bbb"
    assert run.machine == {"cores": "2; 4"}
    assert run.failures == ("x", "y")
    assert run.interrupted


def test_runs_of_different_commands_have_none_in_common() -> None:
    first, second = results(cell(), command=("--env=local",)), results(cell(key("docker")), command=())
    assert merged(first, second).command == ()


def test_no_case_is_lost() -> None:
    whole = large_results(tests=90)
    parts = [
        results(
            *(
                cell(
                    key(entry.key.environment, entry.key.suite, shard=f"{part + 1}/3"),
                    entry.cases[part::3],
                    cut="c",
                )
                for entry in whole.cells
            )
        )
        for part in range(3)
    ]
    run = merged(*parts)
    assert run.counts() == whole.counts()
    assert run.counts()[Outcome.PASSED] > 0
    assert {entry.key for entry in run.cells} == {entry.key for entry in whole.cells}
