"""The order of a process's events, whatever the order in which they come."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import OutputLost
from harness.client.events import ClosedEvent, Event, ExitedEvent, OutputEvent
from harness.client.order import Order


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """All events of a process: output, its exit somewhere in it, and perhaps its close."""
    before, after = draw(st.integers(0, 6)), draw(st.integers(0, 4))
    events: list[Event] = [OutputEvent(seq, "stdout", b"%d" % seq) for seq in range(1, before + 1)]
    if draw(st.booleans()) or after:
        events.append(ExitedEvent(before + 1, 7, True))
        events += [OutputEvent(before + 2 + i, "stderr", b"late") for i in range(after)]
        if draw(st.booleans()):
            events.append(ClosedEvent(len(events) + 1))
    return events


def outputs(history: Sequence[Event]) -> list[OutputEvent]:
    return [event for event in history if isinstance(event, OutputEvent)]


def replay(order: Order, known: Sequence[Event], first_retained: int = 0) -> Sequence[Event]:
    """What the executor that knows these events would answer, as far as it still holds them."""
    retained = [e for e in outputs(known) if e.seq > order.published and e.seq >= first_retained]
    exited = [event for event in known if isinstance(event, ExitedEvent)]
    closed = any(isinstance(event, ClosedEvent) for event in known)
    return order.replay(retained, len(known) + 1, exited[0].exit_code if exited else None, closed, True)


@given(histories(), st.data())
def test_events_in_any_order_and_number_leave_in_order_once(
    history: list[Event], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(history), max_size=5)) if history else []
    order = Order("p")
    left = [ready for event in data.draw(st.permutations(history + repeats)) for ready in order.feed(event)]
    assert left == history
    assert not order.missing
    assert order.published == len(history)
    assert order.finished is any(isinstance(event, ClosedEvent) for event in history)


@given(histories(), st.data())
def test_nothing_leaves_past_a_missing_event(history: list[Event], data: st.DataObject) -> None:
    if len(history) < 2:
        return
    gap = data.draw(st.integers(1, len(history) - 1))
    rest = [event for event in history if event.seq != gap]
    order = Order("p")
    left = [ready for event in data.draw(st.permutations(rest)) for ready in order.feed(event)]
    assert left == history[: gap - 1]
    assert order.missing == range(gap, gap + 1)
    assert not order.finished


@given(histories(), st.data())
def test_a_replay_fills_what_live_events_left_out(history: list[Event], data: st.DataObject) -> None:
    """The replay knows any beginning of the history; live events come before it and after it."""
    known = history[: data.draw(st.integers(0, len(history)))]
    before = [event for event in history if data.draw(st.booleans())]
    order = Order("p")
    left = [ready for event in before for ready in order.feed(event)]
    left += replay(order, known)
    left += [ready for event in history[len(known) :] for ready in order.feed(event)]
    assert left == history
    assert order.finished is any(isinstance(event, ClosedEvent) for event in history)


@given(histories(), st.data())
def test_output_that_is_gone_is_reported_and_not_papered_over(
    history: list[Event], data: st.DataObject
) -> None:
    """Whatever the executor has dropped is told unless it has come live."""
    first_retained = data.draw(st.integers(1, len(history) + 2))
    seen = data.draw(st.integers(0, len(history)))
    order = Order("p")
    left = [ready for event in history[:seen] for ready in order.feed(event)]
    lost = [event for event in outputs(history) if seen < event.seq < first_retained]
    if lost:
        with pytest.raises(OutputLost) as error:
            replay(order, history, first_retained)
        assert error.value.missing == len(lost)
        assert error.value.first == seen + 1
        exits = [event.exit_code for event in history if isinstance(event, ExitedEvent)]
        has_exit_code = bool(exits) and seen < len(history)
        assert not has_exit_code or error.value.exit_code == 7
    else:
        assert [*left, *replay(order, history, first_retained)] == history


def test_a_replay_of_a_huge_gap_is_refused_at_once() -> None:
    with pytest.raises(OutputLost, match="events from 1 on of process 'p' lost"):
        Order("p").replay([], 2**60, None, False)
