"""Which sessions there are, whose they are and when they are over; the clock is handed in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from executors.protocol.errors import ErrorCode, RpcError
from executors.server.retention import Left, Retention, to_ms

LIMIT = 30.0
GOOD_DURATIONS = [None, 0, 1, 500, 29_999, 30_000, 30_001, 10**400]


def granted(asked: int | None) -> float:
    return LIMIT if asked is None else min(asked, 30_000) / 1000


def refused(retention: Retention, session_id: str, now: float) -> int:
    """Returns the code of the error with which a resume is refused."""
    with pytest.raises(RpcError) as caught:
        retention.resume(session_id, None, now)
    return caught.value.code


def test_a_session_waits_for_its_retention_and_not_longer() -> None:
    retention = Retention(LIMIT)
    generation = retention.open("s", None)
    assert retention.next_deadline is None
    assert retention.leave("s", generation, 100.0, in_order=False, idle=False) is Left.WAITS
    assert retention.next_deadline == 130.0
    assert retention.expired(129.999) == []
    assert retention.expired(130.0) == ["s"]
    assert (len(retention), retention.next_deadline) == (0, None)
    assert refused(retention, "s", 130.0) == ErrorCode.INVALID_REQUEST


def test_its_time_is_up_also_where_nobody_has_looked_yet() -> None:
    retention = Retention(LIMIT)
    retention.leave("s", retention.open("s", None), 0.0, in_order=False, idle=False)
    assert refused(retention, "s", 30.0) == ErrorCode.INVALID_REQUEST
    assert retention.expired(30.0) == ["s"], "it is still to be freed"


def test_one_connection_at_a_time_has_a_session() -> None:
    retention = Retention(LIMIT)
    first = retention.open("s", None)
    assert refused(retention, "s", 0.0) == ErrorCode.SESSION_ATTACHED
    retention.leave("s", first, 0.0, in_order=False, idle=False)
    second = retention.resume("s", None, 1.0)
    assert second > first
    assert refused(retention, "s", 1.0) == ErrorCode.SESSION_ATTACHED
    # The word of an older connection says nothing of the newer one, and that of the same twice neither.
    assert retention.leave("s", first, 2.0, in_order=True, idle=True) is Left.NOTHING
    assert refused(retention, "s", 2.0) == ErrorCode.SESSION_ATTACHED
    assert retention.leave("s", second, 3.0, in_order=False, idle=False) is Left.WAITS
    assert retention.leave("s", second, 4.0, in_order=True, idle=False) is Left.NOTHING
    assert retention.next_deadline == 33.0


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("retention_ms", [0, 10_000])
def test_an_end_in_order_and_no_retention_end_a_session_at_once(in_order: bool, retention_ms: int) -> None:
    retention = Retention(LIMIT)
    generation = retention.open("s", retention_ms)
    over = in_order or not retention_ms
    left = retention.leave("s", generation, 0.0, in_order=in_order, idle=False)
    assert left is (Left.OVER if over else Left.WAITS)
    assert len(retention) == (not over)


@pytest.mark.parametrize("asked", GOOD_DURATIONS)
def test_a_client_may_ask_for_less_than_the_limit(asked: int | None) -> None:
    retention = Retention(LIMIT)
    generation = retention.open("s", asked)
    assert retention.retention("s") == granted(asked)
    if granted(asked):
        retention.leave("s", generation, 0.0, in_order=False, idle=False)
        assert retention.next_deadline == granted(asked)


def test_a_resume_changes_the_retention_only_if_it_says_so() -> None:
    retention = Retention(LIMIT)
    retention.leave("s", retention.open("s", 5_000), 0.0, in_order=False, idle=False)
    retention.leave("s", retention.resume("s", None, 1.0), 1.0, in_order=False, idle=False)
    assert retention.next_deadline == 6.0
    retention.leave("s", retention.resume("s", 8_000, 2.0), 2.0, in_order=False, idle=False)
    assert retention.next_deadline == 10.0


def test_a_negative_retention_is_refused_and_changes_nothing() -> None:
    retention = Retention(LIMIT)
    with pytest.raises(RpcError, match=r"`retentionMs`: -1 is negative"):
        retention.open("s", -1)
    assert len(retention) == 0
    retention.leave("s", retention.open("s", None), 0.0, in_order=False, idle=False)
    with pytest.raises(RpcError, match="retentionMs") as caught:
        retention.resume("s", -(10**30), 1.0)
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    assert retention.next_deadline == LIMIT, "it still waits"
    retention.resume("s", None, 1.0)


def test_a_message_does_not_repeat_a_very_long_id() -> None:
    with pytest.raises(RpcError) as caught:
        Retention(LIMIT).resume("x" * 10_000_000, None, 0.0)
    assert "10000000 characters" in caught.value.message
    assert len(caught.value.message) < 300


def test_of_too_many_sessions_without_a_process_the_oldest_go_first() -> None:
    retention = Retention(LIMIT, max_idle=2)
    opened = [(name, retention.open(name, None)) for name in "abcdef"]
    for at, (name, generation) in enumerate(opened):
        retention.leave(name, generation, float(at), in_order=False, idle=name != "b")
    again = retention.resume("c", None, 6.0)
    assert retention.surplus() == ["a", "d"]
    assert retention.surplus() == []
    assert refused(retention, "a", 7.0) == ErrorCode.INVALID_REQUEST
    retention.leave("c", again, 8.0, in_order=False, idle=True)
    assert retention.surplus() == ["e"]
    assert retention.expired(math.inf) == ["b", "f", "c"]


def test_many_comings_and_goings_keep_no_record() -> None:
    retention = Retention(LIMIT)
    retention.open("s", None)
    generation = 1
    for number in range(10_000):
        retention.leave("s", generation, number / 1000, in_order=False, idle=True)
        generation = retention.resume("s", None, number / 1000)
    assert len(retention._deadlines) < 100
    assert retention.surplus() == []
    assert retention.next_deadline is None


def test_retention_is_told_in_whole_milliseconds() -> None:
    assert [to_ms(seconds) for seconds in (0.0, 0.0019, 30.0)] == [0, 1, 30_000]


@dataclass
class Known:
    """What has to be true of one session, by the words of the interface."""

    generation: int
    retention: float
    waits_since: float | None = None
    over: bool = False

    def is_alive(self, now: float) -> bool:
        return not self.over and (self.waits_since is None or now < self.waits_since + self.retention)


class Comings(RuleBasedStateMachine):
    """Any order of connections, cuts, late words of old connections and time passing."""

    sessions: Bundle[str] = Bundle("sessions")
    connections: Bundle[tuple[str, int]] = Bundle("connections")

    def __init__(self) -> None:
        super().__init__()
        self.retention = Retention(LIMIT)
        self.now = 1000.0
        self.known: dict[str, Known] = {}

    @rule(target=connections, asked=st.sampled_from(GOOD_DURATIONS))
    def open(self, asked: int | None) -> tuple[str, int]:
        name = f"s{len(self.known)}"
        generation = self.retention.open(name, asked)
        self.known[name] = Known(generation, granted(asked))
        return name, generation

    @rule(target=sessions, connection=connections)
    def remember(self, connection: tuple[str, int]) -> str:
        return connection[0]

    @rule(target=connections, name=sessions, asked=st.sampled_from([None, 1, 45_000]))
    def resume(self, name: str, asked: int | None) -> tuple[str, int]:
        known = self.known[name]
        waits = known.waits_since is not None
        try:
            generation = self.retention.resume(name, asked, self.now)
        except RpcError as error:
            if known.is_alive(self.now):
                assert not waits
                assert error.code == ErrorCode.SESSION_ATTACHED
            else:
                assert error.code == ErrorCode.INVALID_REQUEST
            return name, 0
        assert waits
        assert known.is_alive(self.now)
        assert generation > known.generation
        known.generation, known.waits_since = generation, None
        if asked is not None:
            known.retention = granted(asked)
        return name, generation

    @rule(connection=connections, in_order=st.booleans(), idle=st.booleans())
    def leave(self, connection: tuple[str, int], in_order: bool, idle: bool) -> None:
        name, generation = connection
        known = self.known[name]
        left = self.retention.leave(name, generation, self.now, in_order=in_order, idle=idle)
        if known.over or known.waits_since is not None or known.generation != generation:
            assert left is Left.NOTHING
        elif in_order or not known.retention:
            assert left is Left.OVER
            known.over = True
        else:
            assert left is Left.WAITS
            known.waits_since = self.now

    @rule(connection=consumes(connections))
    def forget(self, connection: tuple[str, int]) -> None:
        """Nothing hangs on who remembers."""

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 10.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.known)
    @rule()
    def expire(self) -> None:
        expected = {
            name for name, known in self.known.items() if not known.over and not known.is_alive(self.now)
        }
        assert set(self.retention.expired(self.now)) == expected
        for name in expected:
            self.known[name].over = True

    @invariant()
    def holds_what_is_not_over(self) -> None:
        alive = [known for known in self.known.values() if not known.over]
        assert len(self.retention) == len(alive)
        waiting = [known.waits_since + known.retention for known in alive if known.waits_since is not None]
        assert self.retention.next_deadline == (min(waiting) if waiting else None)


TestComings = Comings.TestCase
TestComings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
