"""Client, executor and network as one model: random histories of them, on a clock of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.client.transcript import Transcript, recording
from tests.model.check import Ending, settle
from tests.model.network import State, Weather
from tests.model.steps import (
    AddUser,
    Advance,
    Ask,
    Cancel,
    Chatter,
    CloseOutput,
    CloseStdin,
    CloseUser,
    Consume,
    Cut,
    CutAfter,
    Deafen,
    Exit,
    Interrupt,
    Print,
    ReadStdin,
    Restart,
    Run,
    SetNetwork,
    SetTwins,
    SetWeather,
    SlowKill,
    Start,
    Steal,
    Step,
    Terminate,
    Turn,
    Write,
)
from tests.model.world import World

_DELAYS: Final = ((0.0, 0.0), (0.0, 5.0), (5.0, 0.0), (0.05, 0.05), (0.0, 20.0), (20.0, 0.0))


def _table(*rows: tuple[int, Sequence[Step]]) -> list[Step]:
    """Returns the steps of *rows*, each row as often as its weight."""
    return [step for weight, steps in rows for step in steps for _ in range(weight)]


QUIET: Final = _table(
    (12, [Advance(0.0)]),
    (3, [Advance(seconds) for seconds in (0.1, 1.0, 5.0)]),
    (3, [Turn(1), Turn(3)]),
    (4, [Start()]),
    (2, [Run()]),
    (1, [Run(0, 3)]),
    (1, [Start(1), Start(program="missing"), Start(sandboxed=True)]),
    (3, [Print(job, size, count) for job in (0, 1) for size, count in ((8, 1), (200, 5))]),
    (2, [Print(0, 20, 100), Print(0, 8, 1, "stderr")]),
    (3, [Chatter(), Chatter(0, 0.25)]),
    (4, [Write(job, blocks) for job in (0, 1) for blocks in (1, 3)]),
    (2, [CloseStdin(), ReadStdin(), ReadStdin(reads=True), Interrupt()]),
    (1, [Terminate(), Terminate(1), SlowKill(), Interrupt(1)]),
    (2, [Exit(0, 7, close) for close in (True, False)]),
    (1, [Exit(1), CloseOutput(), CloseOutput(1)]),
    (2, [Ask()]),
    (1, [Ask(1)]),
    (2, [Consume(), Consume(consumes=True)]),
    (1, [Cancel(call) for call in range(3)]),
    (1, [AddUser(), CloseUser()]),
    (
        1,
        [
            SetWeather(Weather()),
            SetWeather(Weather(0.02, 0.03)),
            SetWeather(Weather(0.02, 0.0, batched=False)),
        ],
    ),
)
TROUBLE: Final = _table(
    (2, [Advance(seconds) for seconds in (1.0, 12.0)]),
    (1, [Restart()]),
    (1, [AddUser(5.0), AddUser(0.0)]),
    (1, [Advance(seconds) for seconds in (26.0, 31.0)]),
    (3, [Cut()]),
    (1, [Cut(0, *seconds) for seconds in _DELAYS]),
    (2, [Cut(1)]),
    (1, [CutAfter(0, up, messages) for up in (True, False) for messages in (0, 1, 2, 3, 5)]),
    (1, [CutAfter(0, up, 1, 0.0, 5.0) for up in (True, False)]),
    (1, [Deafen(up=True), Deafen(up=False)]),
    (2, [SetNetwork(State.UP)]),
    (1, [SetNetwork(State.REFUSING), SetNetwork(State.SILENT)]),
    (1, [SetWeather(Weather(0.5, 0.5)), SetWeather(Weather(3.0, 0.0, flushes=False))]),
    (1, [SetTwins(3.0), SetTwins(None)]),
    (1, [Steal(), Steal(acknowledges=False), Steal(ends=True), Steal(seconds=30.0)]),
)

SETTINGS: Final = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


_SHOWN: Final = 200
PRELUDE: Final[list[Step]] = [AddUser(), Advance(0.0), Start(), Advance(0.0)]


def play(steps: list[Step], ending: Ending) -> World:
    world = World()
    try:
        with recording(Transcript()), world:
            for step in [*PRELUDE, *steps]:
                step(world)
            settle(world, ending)
    except AssertionError as error:
        error.add_note("\n".join(line[:_SHOWN] for line in world.network.told()))
        raise
    return world


def histories(steps: list[Step]) -> st.SearchStrategy[list[Step]]:
    """Lists that are longer than Hypothesis has them of itself."""
    return st.integers(0, 30).flatmap(
        lambda length: st.lists(st.sampled_from(steps), min_size=length, max_size=length)
    )


@settings(SETTINGS, max_examples=800)
@given(histories(QUIET), st.sampled_from([Ending.EXIT, Ending.CLOSE]))
def test_nothing_goes_wrong_on_a_good_network(steps: list[Step], ending: Ending) -> None:
    play(steps, ending)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("ending", Ending)
@settings(SETTINGS, max_examples=1400)
@given(steps=histories(QUIET + TROUBLE))
def test_what_is_cut_goes_on_or_is_told_of(steps: list[Step], ending: Ending) -> None:
    play(steps, ending)


_FILL: Final = Print(0, 20, 100)
FOUND: Final[dict[str, tuple[list[Step], Ending]]] = {
    "an acknowledgement is lost": ([_FILL, Advance(0.0), Cut(0, 0.0, 5.0)], Ending.EXIT),
    "the output of a whole window waits": ([Cut(0, 12.0, 0.0), _FILL, _FILL], Ending.EXIT),
    "many writers": ([Write(0, 3) for _ in range(20)], Ending.EXIT),
    "many writers and a cut": ([*(Write(0, 3) for _ in range(20)), Turn(3), Cut()], Ending.EXIT),
    "a start is refused while its client closes": ([Start(program="missing"), CloseUser()], Ending.EXIT),
    "the session is taken by somebody who is not heard of again": (
        [Cut(0, 20.0, 0.0), Steal(acknowledges=False), Advance(0.0), _FILL],
        Ending.EXIT,
    ),
    "the answer to a start is lost": ([Start(), CutAfter(up=True)], Ending.CLOSE),
    "a start waits for its sandbox": ([Start(sandboxed=True), Advance(1.0), Cut()], Ending.CLOSE),
    "the executor is replaced": ([_FILL, Write(), Restart()], Ending.CLOSE),
    "an executor that keeps nothing": (
        [AddUser(0.0), Advance(0.0), Start(), Advance(0.0), Cut()],
        Ending.EXIT,
    ),
    "it comes too late": ([SetNetwork(State.REFUSING), Cut(), Advance(31.0)], Ending.EXIT),
}
"""Histories in which something went wrong once, or easily does."""


@pytest.mark.parametrize("name", FOUND)
def test_a_history(name: str) -> None:
    play(*FOUND[name])
