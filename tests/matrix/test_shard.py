"""How a suite is cut into shards, and that a run takes its own part."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.matrix.shards import Member, Shard, cut, cut_id, parse_shard, units
from harness.matrix.timings import SHORTEST, Timings, write_timings
from tests.support.cell import Told, run_cell

_NAMES = st.text("abcd", min_size=1, max_size=4)
_WEIGHTS = st.dictionaries(_NAMES, st.integers(0, 1000).map(lambda number: number / 8), max_size=30)
_COUNTS = st.integers(1, 7)


@given(_WEIGHTS, _COUNTS)
def test_parts_are_disjoint_and_complete(weights: dict[str, float], count: int) -> None:
    parts = cut(weights, count)
    assert len(parts) == count
    assert sorted(name for part in parts for name in part) == sorted(weights)


@given(_WEIGHTS.filter(bool), _COUNTS)
def test_parts_differ_by_no_more_than_the_heaviest_name(weights: dict[str, float], count: int) -> None:
    loads = [sum(weights[name] for name in part) for part in cut(weights, count)]
    assert max(loads) - min(loads) <= max(weights.values())


@given(_WEIGHTS, _COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(
    weights: dict[str, float], count: int, shuffle: random.Random
) -> None:
    names = list(weights)
    shuffle.shuffle(names)
    other = {name: weights[name] for name in names}
    assert cut(other, count) == cut(weights, count)
    assert cut_id(other, count) == cut_id(weights, count)


def test_the_cut_is_the_same_for_ever() -> None:
    # Another result means that machines with another version would run some tests twice and some never.
    weights = {"a": 3.0, "b": 3.0, "c": 2.5, "d": 1.0, "e": 0.05, "f": 0.0, "g": 0.0}
    assert cut(weights, 3) == (frozenset("ae"), frozenset("bfg"), frozenset("cd"))
    assert cut_id(weights, 3) == "9a66e53d2c61"


@given(_WEIGHTS.filter(bool), _COUNTS)
def test_the_digest_tells_divisions_apart(weights: dict[str, float], count: int) -> None:
    name = min(weights)
    others = [
        cut_id(weights, count + 1),
        cut_id(weights | {name: weights[name] + 1}, count),
        cut_id(weights | {"new": 1.0}, count),
    ]
    assert cut_id(weights, count) not in others and len(set(others)) == 3


_MEMBERS = st.lists(st.builds(Member, _NAMES, st.sampled_from(["", "", "g", "h"])), max_size=20)


@given(_MEMBERS, st.dictionaries(_NAMES, st.floats(0.05, 100)), st.randoms(use_true_random=False))
def test_groups_stay_together_in_any_order(
    members: list[Member], seconds: dict[str, float], shuffle: random.Random
) -> None:
    whole = units(members, seconds)
    for group in {member.group for member in members} - {""}:
        assert len({whole.unit_of[member.function] for member in members if member.group == group}) == 1
    assert set(whole.unit_of.values()) == set(whole.weights)
    shuffled = list(members)
    shuffle.shuffle(shuffled)
    assert units(shuffled, seconds) == whole


def test_units_are_no_larger_than_they_must_be() -> None:
    members = [
        Member("a", "g"),
        Member("b", "g"),
        Member("b", "h"),
        Member("c", "h"),
        Member("d"),
        Member("d"),
    ]
    assert units(members, {}).unit_of == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_cases_weigh_the_same_where_nothing_is_measured() -> None:
    assert units([Member("a"), Member("a"), Member("b")], {"other": 9.0}).weights == {"a": 2.0, "b": 1.0}


def test_a_function_that_is_not_measured_weighs_little_among_those_that_are() -> None:
    members = [Member("a"), Member("b"), Member("b"), Member("c", "g"), Member("d", "g")]
    assert units(members, {"a": 4.0, "c": 2.0}).weights == {"a": 4.0, "b": SHORTEST, "c": 2.0 + SHORTEST}


@pytest.mark.parametrize(
    ("text", "shard"), [("1/1", Shard(1, 1)), ("2/5", Shard(2, 5)), ("12/12", Shard(12, 12))]
)
def test_a_shard_is_read_and_written(text: str, shard: Shard) -> None:
    assert parse_shard(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize(
    "text", ["6/5", "0/5", "x", "", "1", "1/", "/5", "1/0", "-1/5", "1/5/5", " 1/5", "1.0/5", "\u0661/5"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no shard"):
        parse_shard(text)


_MODULE = """
    import pytest

    @pytest.mark.parametrize("number", range(6))
    def test_many(number): pass

    @pytest.mark.parametrize("number", range(2))
    def test_two(number): pass

    def test_one(): pass

    @pytest.mark.xdist_group("g")
    def test_grouped(): pass

    @pytest.mark.xdist_group(name="g")
    class TestGrouped:
        def test_also(self): pass
"""
_MANY = {f"test_many[{number}]" for number in range(6)}
_REST = {"test_two[0]", "test_two[1]", "test_one", "test_grouped", "TestGrouped::test_also"}


def _parts(folder: Path, count: int, *arguments: str) -> list[Told]:
    told = [run_cell(folder, _MODULE, f"--shard={index + 1}/{count}", *arguments) for index in range(count)]
    assert all(cell.broken == [] for cell in told)
    return told


def test_without_times_the_cases_are_shared_evenly(tmp_path: Path) -> None:
    first, second = _parts(tmp_path, 2)
    assert (set(first.cases), set(second.cases)) == (_MANY, _REST)
    assert "shard: 1/2, cut by number of tests" in first.log


@pytest.fixture
def timings(tmp_path: Path) -> str:
    seconds = {
        "test_it.py::test_one": 60.0,
        "test_it.py::test_two": 40.0,
        "test_it.py::TestGrouped::test_also": 30.0,
    }
    write_timings(
        Timings(seconds={"local": seconds, "docker": {"test_it.py::test_many": 99.0}}), tmp_path / "times"
    )
    return f"--timings={tmp_path / 'times'}"


@pytest.mark.parametrize("workers", [["-n0"], ["-n1", "--dist=loadgroup"]], ids=["alone", "xdist"])
def test_it_is_cut_by_the_times_of_the_environment(tmp_path: Path, timings: str, workers: list[str]) -> None:
    first, second = _parts(tmp_path, 2, "--env=local", timings, *workers)
    assert set(first.cases) == {"test_one", *_MANY}
    assert set(second.cases) == _REST - {"test_one"}
    [cut_of_first], [cut_of_second] = ({told.collected[-1].cut} for told in (first, second))
    assert cut_of_first == cut_of_second != ""
    assert [told.collected[-1].total for told in (first, second)] == [7, 4]


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_what_else_selects_tests_selects_within_the_shard(tmp_path: Path, timings: str, workers: str) -> None:
    first, second = _parts(tmp_path, 2, "--env=local", timings, "-k", "many or one", workers)
    assert (set(first.cases), set(second.cases)) == ({"test_one", *_MANY}, set())
    whole = run_cell(tmp_path, _MODULE, "--shard=1/2", "--env=local", timings)
    assert {told.collected[-1].cut for told in (first, second, whole)} == {whole.collected[-1].cut}


@pytest.mark.parametrize("content", [None, "", '{"schema": 2}', '{"seconds": {"local": {"a": "b"}}}'])
def test_a_file_without_times_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "times"
    if content is not None:
        file.write_text(content)
    told = run_cell(tmp_path, _MODULE, "--shard=1/2", f"--timings={file}")
    [text] = told.broken
    assert text.startswith("--timings: ") and str(file) in text
    assert told.status == pytest.ExitCode.USAGE_ERROR
