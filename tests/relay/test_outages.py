"""An outage of the service of up to 20 s costs no session, whatever was drawn at random: the arithmetic."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.remote import backoff
from executors.remote import link as executor_link
from executors.server.sessions import DEFAULT_RETENTION_SECONDS
from harness.client import LinkOptions, RecoveryOptions
from harness.client.recovery import Backoff, Connect, Recovery, State
from harness.rendezvous.service import Options

OUTAGE = 20.0
GIVE_UP = RecoveryOptions().give_up_seconds
ATTEMPT = LinkOptions().open_seconds
ASK_AGAIN = 1.0
"""Retry-After of a registry that knows the executor, but has not got it back."""
HANDSHAKES = 0.25
"""With the executor, and the one of the session."""
FACTORS = [1.0 + step / 100 for step in range(51)]


def back_at(factor: float, outage: float) -> float:
    """When an executor has reached the service again that was away from 0 to *outage*."""
    gaps = backoff.Backoff(factor)
    now = gaps.next()
    while now < outage:
        now += gaps.next()
    return now


def resumed_at(jitter: float, outage: float, back: float, takes: float) -> float | None:
    """When a harness has its session again; None if it gives up.

    :param back: when its executor can be reached.
    :param takes: seconds until an attempt fails while the service is away.
    """
    core = Recovery(Backoff(jitter=jitter), GIVE_UP, ATTEMPT)
    core.lost(1, 0.0, None, "cut")
    now = 0.0
    while (step := core.advance(now)) is not None:
        if not isinstance(step, Connect):
            now = step.until
            continue
        if now < outage:
            now = min(now + takes, step.until)
        else:
            while now < back and now + ASK_AGAIN <= step.until:
                now += ASK_AGAIN
            if now >= back and now + HANDSHAKES < step.until:
                return now + HANDSHAKES
        core.attempt_failed(step.number, now, "not yet")
    assert core.state is State.FAILED
    return None


@pytest.mark.parametrize("takes", [0.001, 0.5, 3.0, 60.0], ids="an attempt fails in {} s".format)
def test_a_session_outlives_an_outage_of_20_seconds(takes: float) -> None:
    for outage, jitter in itertools.product([4.0, 11.0, 19.0, OUTAGE], FACTORS):
        latest = max(back_at(factor, outage) for factor in FACTORS)
        for back in (outage, latest):
            found = resumed_at(jitter, outage, back, takes)
            assert found is not None, (outage, jitter, back)


@given(st.floats(0.0, OUTAGE), st.floats(1.0, 1.5), st.floats(1.0, 1.5), st.floats(0.001, 20.0))
def test_so_does_it_a_shorter_one(outage: float, jitter: float, factor: float, takes: float) -> None:
    assert resumed_at(jitter, outage, back_at(factor, outage), takes) is not None


def test_an_executor_that_has_just_tried_in_vain_is_back_soon_enough() -> None:
    longest = 1.5 * backoff.MOST_SECONDS
    for jitter in FACTORS:
        assert resumed_at(jitter, OUTAGE, OUTAGE + longest, 0.001) is not None


def test_the_executor_keeps_a_session_for_longer_than_its_client_tries() -> None:
    # One side may hear of the end of its connection as late as it finds out by a ping.
    assert DEFAULT_RETENTION_SECONDS >= GIVE_UP + 5
    quiet = LinkOptions().ping_seconds + LinkOptions().pong_seconds
    # The rendezvous lets go of a half-open connection no later than the client that was on it.
    assert quiet >= 2 * Options().ping_seconds
    assert quiet + 1.5 * backoff.MOST_SECONDS < DEFAULT_RETENTION_SECONDS
    # And an executor that finds out so is back before its clients give up, which have to find out themselves.
    noticed = executor_link.PING_SECONDS + executor_link.PONG_SECONDS
    assert noticed + 1.5 * backoff.FIRST_SECONDS + HANDSHAKES < LinkOptions().pong_seconds + GIVE_UP
