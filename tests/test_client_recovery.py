"""When a session that has lost its connection tries again, and when it gives up: the rules, without I/O."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.protocol.errors import ErrorCode
from harness.client.recovery import (
    Backoff,
    Connect,
    Every,
    Failure,
    Recovery,
    Replay,
    RetryPolicy,
    Settle,
    State,
    Wait,
)

GIVE_UP, ATTEMPT, RETRY = 25.0, 10.0, 0.1


def session(policy: RetryPolicy | None = None, **options: Any) -> Recovery:
    return Recovery(policy or Every(RETRY), GIVE_UP, ATTEMPT, **options)


def lost(at: float = 100.0, code: int | None = None, **how: Any) -> Recovery:
    core = session()
    core.lost(1, at, code, "cut", **how)
    return core


def replaying(at: float = 100.0) -> Recovery:
    core = lost(at)
    assert core.advance(at) == Connect(2, at + ATTEMPT)
    core.resumed(2)
    return core


def test_a_session_is_connected_until_its_connection_is_lost() -> None:
    core = session()
    assert (core.state, core.generation, core.advance(1e9)) == (State.CONNECTED, 1, None)


def test_a_loss_is_made_good() -> None:
    core = lost(100.0)
    assert core.state is State.RECOVERING
    # At once, then over the newest connection only.
    assert core.advance(100.0) == Connect(2, 110.0)
    core.resumed(2)
    assert (core.state, core.generation) == (State.RECOVERING, 2)
    assert core.advance(101.0) == Replay(2, 125.0)
    core.replayed(2)
    assert (core.state, core.recovered, core.attempts) == (State.CONNECTED, 1, 1)
    assert core.advance(102.0) is None


def test_attempts_follow_each_other_at_the_time_of_the_policy_until_it_is_over() -> None:
    core = lost(100.0)
    now, starts = 100.0, []
    while (step := core.advance(now)) is not None:
        if isinstance(step, Connect):
            starts.append(now)
            now = min(now + 1.0, step.until)
            core.attempt_failed(step.number, now, "refused")
        else:
            assert isinstance(step, Wait)
            now = step.until
    by_the_policy = [100.0 + 1.1 * count for count in range(21)]
    # The last but two is ended, and the last but one begun, when a tenth of the time is left.
    assert starts == pytest.approx([*by_the_policy, 122.5, 123.6, 124.7])
    assert now == 125.0
    assert core.failure == Failure(
        None, "cut", f"not resumed within 25 s ({len(starts)} attempts; the last: refused)"
    )


def test_a_backoff_doubles_to_its_most_times_its_jitter() -> None:
    policy = Backoff(jitter=1.5)
    assert [policy.delay(attempt) for attempt in range(1, 7)] == [0.75, 1.5, 3.0, 6.0, 7.5, 7.5]
    assert policy.delay(10**9) == 7.5
    core = session(policy)
    core.lost(1, 0.0, None, "")
    core.advance(0.0)
    core.attempt_failed(2, 1.0, "")
    assert core.advance(1.0) == Wait(1.75)


def test_an_attempt_may_take_no_longer_than_the_session_is_given() -> None:
    core = lost(100.0)
    core.advance(100.0)
    core.attempt_failed(2, 122.4, "slow")
    assert core.advance(122.5) == Connect(3, 125.0)
    assert core.advance(124.9) == Connect(3, 125.0)
    assert core.advance(125.0) is None
    assert core.state is State.FAILED


def test_an_attempt_that_hangs_makes_way_for_a_last_one() -> None:
    core = session(Backoff(jitter=1.5))
    core.lost(1, 100.0, None, "cut")
    core.advance(100.0)
    core.attempt_failed(2, 118.0, "refused")
    assert core.advance(118.75) == Connect(3, 122.5)
    core.attempt_failed(3, 122.51, "no answer")
    assert core.advance(122.51) == Connect(4, 125.0)
    core.attempt_failed(4, 122.6, "refused")
    assert core.advance(122.6) == Wait(125.0)


def test_a_last_attempt_is_before_the_policy_would_have_it() -> None:
    core = session(Every(8.0))
    core.lost(1, 100.0, None, "cut")
    for number, at, due in ((2, 100.0, 108.0), (3, 108.0, 116.0), (4, 116.0, 122.5)):
        assert isinstance(core.advance(at), Connect)
        core.attempt_failed(number, at, "refused")
        assert core.advance(at) == Wait(due)


def test_a_replay_that_brings_something_moves_the_last_attempt_with_the_end() -> None:
    core = session(Every(8.0))
    core.lost(1, 100.0, None, "cut")
    core.advance(100.0)
    core.attempt_failed(2, 122.5, "refused")
    assert core.advance(122.5) == Connect(3, 125.0)
    core.resumed(3)
    core.progressed(3, 124.0)
    core.lost(3, 140.0, None, "cut")
    assert core.advance(140.0) == Wait(146.5)


def test_a_connection_that_brought_nothing_is_not_replaced_at_once() -> None:
    assert lost(100.0, useful=False).advance(100.0) == Wait(100.1)


# Starts


def test_starts_under_way_are_waited_for() -> None:
    core = session()
    core.start_sent("a")
    core.start_sent("b")
    core.lost(1, 100.0, None, "")
    assert core.advance(100.0) == Settle(125.0)
    core.start_unanswered("a")
    assert core.advance(101.0) == Settle(125.0)
    core.start_answered("b")
    assert core.advance(102.0) == Connect(2, 112.0)
    assert core.doubtful == {"a"}


def test_a_start_that_never_settles_ends_with_the_session() -> None:
    core = session()
    core.start_sent("a")
    core.lost(1, 100.0, None, "")
    assert core.advance(125.0) is None
    assert core.state is State.FAILED


def test_what_is_in_doubt_stays_so_until_it_is_cleaned_up_or_started_anew() -> None:
    core = session()
    for id in "abc":
        core.start_sent(id)
        core.start_unanswered(id)
    core.lost(1, 100.0, None, "")
    core.advance(100.0)
    core.resumed(2)
    core.cleaned_up("a")
    core.lost(2, 101.0, None, "")
    assert core.doubtful == {"b", "c"}
    # Its own start says that it is not another's.
    core.start_sent("b")
    core.start_answered("b")
    assert core.doubtful == {"c"}


# What ends a session


@pytest.mark.parametrize("code", [1001, 1002, 1003, 1007, 1008, 1010])
@pytest.mark.parametrize("stage", ["connected", "connecting", "replaying"])
def test_a_close_that_says_that_there_is_no_other_time(code: int, stage: str) -> None:
    core = session() if stage == "connected" else lost() if stage == "connecting" else replaying()
    core.advance(100.0)
    core.lost(core.number, 101.0, code, "it")
    assert core.state is State.FAILED
    assert core.failure is not None
    assert core.advance(101.0) is None


@pytest.mark.parametrize("code", [None, 1000, 1005, 1006, 1009, 1011, 1012, 4001])
def test_any_other_close_is_recovered_from(code: int | None) -> None:
    assert lost(code=code).advance(100.0) == Connect(2, 110.0)


def test_a_session_that_ends_with_its_connection() -> None:
    core = session(resumable=False)
    core.lost(1, 100.0, 4001, "cut")
    assert core.state is State.FAILED
    assert core.failure == Failure(4001, "cut", "it ends with its connection")


def test_an_attached_session_is_asked_for_again() -> None:
    core = lost(100.0)
    core.advance(100.0)
    core.refused(2, 101.0, ErrorCode.SESSION_ATTACHED, "still attached")
    assert core.advance(101.0) == Wait(101.1)
    assert core.advance(101.1) == Connect(3, 111.1)
    assert core.advance(125.0) is None
    assert core.failure is not None
    assert "still attached (-32010)" in core.failure.why


@pytest.mark.parametrize("code", [*(set(ErrorCode) - {ErrorCode.SESSION_ATTACHED}), 0, 17])
def test_any_other_refusal_ends_the_session(code: int) -> None:
    core = lost()
    core.advance(100.0)
    core.refused(2, 101.0, code, "unknown session")
    assert core.state is State.FAILED
    assert core.failure == Failure(None, "cut", f"the executor does not resume it: unknown session ({code})")


def test_an_answer_without_sense_ends_the_session() -> None:
    core = lost()
    core.advance(100.0)
    core.broken(2, "somebody else's")
    assert core.failure == Failure(None, "cut", "somebody else's")


# A loss before it is back


def test_a_loss_in_the_handshake_is_a_failed_attempt() -> None:
    core = lost(100.0)
    core.advance(100.0)
    core.lost(2, 101.0, None, "")
    # Whoever makes the handshake tells of it too.
    core.attempt_failed(2, 101.0, "later")
    assert core.advance(101.0) == Wait(101.1)


def test_a_loss_in_the_replay_begins_anew_within_the_same_time() -> None:
    core = replaying(100.0)
    core.lost(2, 105.0, None, "")
    assert core.advance(105.0) == Wait(105.1)
    assert core.advance(105.1) == Connect(3, 115.1)
    core.resumed(3)
    assert core.advance(106.0) == Replay(3, 125.0)
    assert core.advance(125.0) is None
    assert core.state is State.FAILED


def test_a_replay_that_gets_on_has_more_time() -> None:
    core = replaying(100.0)
    core.progressed(2, 120.0)
    assert core.advance(130.0) == Replay(2, 145.0)
    core.lost(2, 130.0, None, "")
    assert core.advance(144.9) == Connect(3, 145.0)
    core.progressed(3, 144.9)
    assert core.advance(145.0) is None


def test_a_new_loss_has_all_the_time_again() -> None:
    core = replaying(100.0)
    core.replayed(2)
    core.lost(2, 200.0, None, "second")
    assert core.advance(200.0) == Connect(3, 210.0)
    assert core.advance(225.0) is None
    assert core.failure is not None
    assert core.failure.reason == "second"
    assert core.attempts == 1


# This side


@pytest.mark.parametrize("core", [session(), lost(), replaying()])
def test_a_closed_session_does_nothing_any_more(core: Recovery) -> None:
    core.close()
    assert (core.state, core.advance(100.0)) == (State.CLOSED, None)
    core.lost(core.number, 100.0, 1001, "")
    assert core.state is State.CLOSED


def test_a_failed_session_stays_so() -> None:
    core = lost(code=1001)
    before = core.failure
    core.close()
    core.give_up("other")
    assert (core.state, core.failure) == (State.FAILED, before)


# Whatever happens, in whatever order

TERMINAL = (State.FAILED, State.CLOSED)
EVENTS = ("lost", "failed", "attached", "refused", "resumed", "progressed", "replayed", "advance")


def tell(core: Recovery, event: str, number: int, now: float, code: int | None) -> None:
    if event == "lost":
        core.lost(number, now, code, "r")
    elif event == "failed":
        core.attempt_failed(number, now, "w")
    elif event == "attached":
        core.refused(number, now, ErrorCode.SESSION_ATTACHED, "m")
    elif event == "refused":
        core.refused(number, now, ErrorCode.INVALID_REQUEST, "m")
    elif event == "resumed":
        core.resumed(number)
    elif event == "progressed":
        core.progressed(number, now)
    elif event == "replayed":
        core.replayed(number)
    else:
        core.advance(now)


def everything(core: Recovery) -> dict[str, Any]:
    return {name: str(value) for name, value in vars(core).items()}


happenings = st.lists(
    st.tuples(
        st.sampled_from([*EVENTS, "start", "settle", "close"]),
        st.sampled_from([0, 0, 0, -1, -2, 1]),
        st.floats(0, 12),
        st.sampled_from([None, 1000, 4001, 1001]),
    ),
    max_size=60,
)


@given(happenings)
def test_rules_that_hold_whatever_happens(events: list[tuple[str, int, float, int | None]]) -> None:
    core = session()
    now, starting = 0.0, 0
    resumed_number = 1
    not_before = 0.0
    deadline = float("inf")
    for event, offset, seconds, code in events:
        now += seconds
        number = core.number + offset
        before, state = everything(core), core.state
        if event == "start" and state is State.CONNECTED:
            core.start_sent("p")
            starting = 1
        elif event == "settle":
            core.start_unanswered("p")
            starting = 0
        elif event == "close":
            core.close()
        elif event in EVENTS:
            tell(core, event, number, now, code)
        if state in TERMINAL:
            # One stable end.
            assert (core.state, str(core.failure)) == (state, before["failure"])
            continue
        if offset != 0 and event in EVENTS and event != "advance":
            # Late word of an older connection, or word of none.
            assert everything(core) == before
        if state is State.CONNECTED and core.state is State.RECOVERING:
            not_before, deadline = now, now + GIVE_UP
        changed = everything(core) != before
        if event in ("failed", "attached", "lost") and state is State.RECOVERING and changed:
            not_before = now + RETRY
        if event == "progressed" and changed:
            deadline = now + GIVE_UP
        if core.number != int(before["number"]):
            # A new attempt: the newest number, not too early, not while a start is under way.
            assert core.number == int(before["number"]) + 1
            assert now >= not_before
            assert not starting
        if event == "resumed" and changed:
            resumed_number = core.number
        if state is State.RECOVERING and core.state is State.CONNECTED:
            # Only after this very connection was resumed and replayed.
            assert (event, resumed_number) == ("replayed", core.number)
        if event == "advance" and core.state is State.RECOVERING:
            assert now < deadline
    if core.state is State.RECOVERING:
        # Nobody waits for ever.
        assert core.advance(max(now, deadline)) is None
        assert core.failure is not None


@given(happenings)
def test_there_is_always_a_next_step_that_leads_on(
    events: list[tuple[str, int, float, int | None]],
) -> None:
    """From wherever it is, a network that works brings it back."""
    core, now = session(), 0.0
    for event, offset, _, code in events:
        if event in EVENTS:
            tell(core, event, core.number + offset, now, code)
    for _ in itertools.count():
        step = core.advance(now)
        if step is None:
            break
        if isinstance(step, Connect):
            core.resumed(step.number)
        elif isinstance(step, Replay):
            core.replayed(step.number)
        else:
            assert isinstance(step, Wait)
            assert now < step.until
            now = step.until
    assert core.state in (State.CONNECTED, *TERMINAL)
    assert core.state is not State.CLOSED
