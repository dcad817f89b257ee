"""The loop with a clock of its own, and that a history on it is the same each time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from tests.model.check import Ending
from tests.model.loop import Busy, Stuck, VirtualLoop
from tests.model.steps import Advance, Cut, Print, Start, Step, Write
from tests.model.test_model import play


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_time_jumps_to_the_next_timer(loop: VirtualLoop) -> None:
    async def main() -> float:
        await asyncio.sleep(1000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return loop.time()

    assert loop.run(main()) == 1005


def test_no_more_time_passes_than_is_let(loop: VirtualLoop) -> None:
    told: list[float] = []
    for seconds in (1.0, 2.0, 2.5):
        loop.call_later(seconds, lambda: told.append(loop.time()))
    loop.advance(2.0)
    assert told == [1.0, 2.0]
    assert loop.time() == 2.0
    assert [timer.when() for timer in loop.timers()] == [2.5]


def test_a_turn_is_one_round(loop: VirtualLoop) -> None:
    told: list[int] = []

    def first() -> None:
        told.append(1)
        loop.call_soon(told.append, 2)

    loop.call_soon(first)
    loop.turn(1)
    assert told == [1]
    loop.turn(1)
    assert told == [1, 2]


def test_who_waits_for_nothing_is_stuck(loop: VirtualLoop) -> None:
    with pytest.raises(Stuck):
        loop.run(asyncio.Event().wait())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.advance(0.0)


def test_who_never_waits_is_busy(loop: VirtualLoop) -> None:
    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(Busy):
        loop.advance(1.0)


def test_a_history_is_the_same_each_time() -> None:
    steps: list[Step] = [
        Print(0, 200, 5),
        Write(0, 3),
        Cut(0, 0.05, 0.05),
        Start(),
        Advance(1.0),
        Print(0, 20, 100),
    ]

    def told() -> list[str]:
        network = play(steps, Ending.EXIT).network
        return [re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "SESSION", line) for line in network.told()]

    first = told()
    assert len(first) > 20
    assert first == told()
