"""Which cell is begun when: properties of every schedule, and the cases that people ask about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.matrix.model import CellKey
from harness.matrix.schedule import Schedule, Start


def key(name: str) -> CellKey:
    return CellKey("local", "python", "3.11", name)


SECONDS = st.lists(st.one_of(st.just(0.0), st.floats(0.01, 10_000)), min_size=1, max_size=20)
TOTALS = st.integers(1, 64)


def keys_of(seconds: list[float]) -> list[CellKey]:
    return [key(f"suite-{number}") for number in range(len(seconds))]


@given(SECONDS, TOTALS, st.data())
def test_every_cell_runs_once_and_workers_never_exceed_the_total(
    seconds: list[float], total: int, data: st.DataObject
) -> None:
    keys = keys_of(seconds)
    schedule = Schedule(keys, dict(zip(keys, seconds, strict=True)), total)
    running: dict[CellKey, int] = {}
    begun: list[CellKey] = []
    while True:
        for start in schedule.start():
            assert start.key not in begun
            begun.append(start.key)
            running[start.key] = start.workers
            assert start.workers >= 1
        assert sum(running.values()) <= total
        if not running:
            break
        over = data.draw(st.sampled_from(sorted(running)))
        del running[over]
        schedule.ended(over)
    # Nothing waits once nothing runs: no cell starves, whatever the order in which others end.
    assert set(begun) == set(keys)
    assert schedule.waiting == ()


@given(SECONDS, TOTALS)
def test_the_longest_is_begun_first_and_never_with_fewer_workers(seconds: list[float], total: int) -> None:
    keys = keys_of(seconds)
    expected = dict(zip(keys, seconds, strict=True))
    schedule = Schedule(keys, expected, total)
    begun: list[Start] = []
    while now := schedule.start():
        begun += now
        for start in now:
            schedule.ended(start.key)
    known = [start for start in begun if expected[start.key] > 0.0]
    assert [expected[start.key] for start in known] == sorted((s for s in seconds if s > 0), reverse=True)
    assert [start.workers for start in begun] == sorted((start.workers for start in begun), reverse=True)


@given(SECONDS, TOTALS)
def test_a_cell_that_waits_would_not_fit(seconds: list[float], total: int) -> None:
    keys = keys_of(seconds)
    schedule = Schedule(keys, dict(zip(keys, seconds, strict=True)), total)
    free = total - sum(start.workers for start in schedule.start())
    if schedule.waiting:
        alone = Schedule(keys, dict(zip(keys, seconds, strict=True)), total)
        head = schedule.waiting[0]
        while True:
            starts = alone.start()
            found = [start.workers for start in starts if start.key == head]
            if found:
                assert found[0] > free
                break
            for start in starts:
                alone.ended(start.key)


def test_equal_cells_begin_as_planned() -> None:
    keys = [key(name) for name in "dacb"]
    schedule = Schedule(keys, {}, 1)
    order = []
    while starts := schedule.start():
        order += [start.key.suite for start in starts]
        for start in starts:
            schedule.ended(start.key)
    assert "".join(order) == "dacb"


def test_workers_go_by_the_share_of_the_whole() -> None:
    long, short, tiny = key("long"), key("short"), key("tiny")
    schedule = Schedule([tiny, short, long], {long: 60.0, short: 30.0, tiny: 1.0}, 8)
    assert schedule.start() == [Start(long, 5), Start(short, 3)]
    assert schedule.waiting == (tiny,)
    schedule.ended(short)
    assert schedule.start() == [Start(tiny, 1)]


def test_a_small_cell_does_not_overtake_a_big_one_that_waits() -> None:
    first, second, third, small = map(key, ("first", "second", "third", "small"))
    expected = {first: 30.0, second: 30.0, third: 30.0, small: 10.0}
    schedule = Schedule([small, first, second, third], expected, 5)
    assert schedule.start() == [Start(first, 2), Start(second, 2)]
    assert schedule.waiting == (third, small)
    schedule.ended(first)
    assert schedule.start() == [Start(third, 2), Start(small, 1)]


def test_a_cell_of_unknown_time_counts_as_the_others_do() -> None:
    known, new = key("known"), key("new")
    schedule = Schedule([known, new], {known: 500.0}, 4)
    assert schedule.start() == [Start(known, 2), Start(new, 2)]


def test_a_cell_alone_gets_all_workers() -> None:
    assert Schedule([key("a")], {key("a"): 0.2}, 16).start() == [Start(key("a"), 16)]


def test_what_does_not_run_cannot_end() -> None:
    schedule = Schedule([key("a")], {}, 1)
    with pytest.raises(KeyError):
        schedule.ended(key("a"))


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="a worker at least, not 0"):
        Schedule([key("a")], {}, 0)
