"""The rules of a named environment, by every short sequence of events and by random long ones."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.environments.lifecycle import EnvironmentState, Lifecycle

TIMEOUT = 10.0
SETTLED = (EnvironmentState.CONNECTED, EnvironmentState.LOST, EnvironmentState.FAILED)


@dataclass(frozen=True)
class Event:
    """What befalls an environment, of its latest attempt, of the one before (1) or of one to come (-1)."""

    name: str
    back: int = 0


EVENTS = [
    Event("ask"),
    Event("remove"),
    Event("early"),
    Event("expire"),
    *(Event(name, back) for name in ("connected", "failed", "lost") for back in (0, 1, -1)),
]


class Watched:
    """A lifecycle whose every step is checked against what the rules say of any step."""

    def __init__(self) -> None:
        self.rules = Lifecycle(TIMEOUT)
        self.now = 1000.0
        self.connections = 0

    def snapshot(self) -> tuple[object, ...]:
        rules = self.rules
        return rules.state, rules.attempt, rules.deadline

    def apply(self, event: Event) -> None:
        rules, before, state = self.rules, self.snapshot(), self.rules.state
        attempt = rules.attempt - event.back
        self.now += 1.0
        if event.name == "ask":
            began = rules.ask(self.now)
            assert began == (state in (EnvironmentState.IDLE, EnvironmentState.LOST))
            if began:
                assert rules.attempt == before[1] + 1  # type: ignore[operator]
                assert (rules.state, rules.deadline) == (EnvironmentState.CONNECTING, self.now + TIMEOUT)
        elif event.name == "remove":
            rules.remove()
            assert rules.state is EnvironmentState.REMOVED
            began = True
        elif event.name == "early":
            began = rules.expired(self.now if rules.deadline is None else rules.deadline - 0.001)
            assert not began
        elif event.name == "expire":
            self.now += TIMEOUT
            began = rules.expired(self.now)
            assert began == (state is EnvironmentState.CONNECTING)
        else:
            began = getattr(rules, event.name)(attempt)
            waits_for = EnvironmentState.CONNECTED if event.name == "lost" else EnvironmentState.CONNECTING
            assert began == (event.back == 0 and state is waits_for)
        if not began:
            assert self.snapshot() == before
        self.connections += event.name == "connected" and began
        self.check(state)

    def check(self, before: EnvironmentState) -> None:
        rules = self.rules
        assert (rules.deadline is not None) == (rules.state is EnvironmentState.CONNECTING)
        assert rules.state is not EnvironmentState.FAILED or self.connections == 0
        assert rules.state not in (EnvironmentState.CONNECTED, EnvironmentState.LOST) or self.connections > 0
        assert (rules.attempt == 0) == (
            rules.state is EnvironmentState.IDLE
        ) or rules.state is EnvironmentState.REMOVED
        if before is EnvironmentState.REMOVED:
            assert rules.state is EnvironmentState.REMOVED
        if before is EnvironmentState.FAILED:
            assert rules.state in (EnvironmentState.FAILED, EnvironmentState.REMOVED)


def sequences(length: int) -> Iterator[tuple[Event, ...]]:
    if length == 0:
        yield ()
        return
    for rest in sequences(length - 1):
        for event in EVENTS:
            yield (event, *rest)


def test_every_short_sequence() -> None:
    reached = set()
    for events in sequences(4):
        watched = Watched()
        watched.apply(Event("ask"))
        for event in events:
            watched.apply(event)
        reached.add(watched.rules.state)
    assert reached == set(EnvironmentState) - {EnvironmentState.IDLE}


@given(st.lists(st.sampled_from(EVENTS), max_size=60))
def test_random_sequences(events: list[Event]) -> None:
    watched = Watched()
    for event in events:
        watched.apply(event)


def test_a_failed_first_attempt_is_final() -> None:
    rules = Lifecycle(TIMEOUT)
    assert rules.ask(0)
    assert rules.failed(1)
    assert rules.state is EnvironmentState.FAILED
    assert not rules.ask(1)


def test_a_later_attempt_may_fail() -> None:
    rules = Lifecycle(TIMEOUT)
    assert rules.ask(0)
    assert rules.connected(1)
    assert rules.lost(1)
    for attempt in (2, 3):
        assert rules.ask(attempt)
        assert not rules.ask(attempt)
        assert rules.failed(attempt)
        assert rules.state is EnvironmentState.LOST


@pytest.mark.parametrize("word", ["connected", "failed", "lost"])
def test_a_late_word_of_an_expired_attempt_changes_nothing(word: str) -> None:
    rules = Lifecycle(TIMEOUT)
    rules.ask(0)
    rules.connected(1)
    rules.lost(1)
    rules.ask(100)
    assert not rules.expired(109.9)
    assert rules.expired(110)
    rules.ask(111)
    assert not getattr(rules, word)(2)
    assert (rules.state, rules.attempt, rules.deadline) == (EnvironmentState.CONNECTING, 3, 121)
