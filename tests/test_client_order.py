"""The order of a process's events, whatever the order in which they come."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import BadReply, OutputLost
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


def replay(
    order: Order, known: Sequence[Event], first_retained: int = 0, page: int | None = None
) -> list[Event]:
    """What the executor that knows these events would answer, as far as it still holds them.

    :param page: so many outputs at a time; None for all in one answer.
    """
    order.begin_replay(resumed=True)
    left: list[Event] = []
    while order.replaying:
        after = order.replay_after
        retained = [e for e in outputs(known) if e.seq > after and e.seq >= first_retained]
        next_seq = len(known) + 1
        if page is not None and len(retained) > page:
            retained = retained[:page]
            next_seq = retained[-1].seq + 1
        exited = [event for event in known if isinstance(event, ExitedEvent)]
        closed = any(isinstance(event, ClosedEvent) for event in known)
        left += order.replay(retained, next_seq, exited[0].exit_code if exited else None, closed, True)
    return left


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
    """The replay knows any beginning of the history that was not handed out; live events come all around."""
    before = [event for event in history if data.draw(st.booleans())]
    order = Order("p")
    left = [ready for event in before for ready in order.feed(event)]
    known = history[: data.draw(st.integers(order.published, len(history)))]
    left += replay(order, known, page=data.draw(st.none() | st.integers(1, 3)))
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
    page = data.draw(st.none() | st.integers(1, 3))
    if lost:
        with pytest.raises(OutputLost) as error:
            replay(order, history, first_retained, page)
        assert error.value.missing == len(lost)
        assert error.value.first == seen + 1
        exits = [event.exit_code for event in history if isinstance(event, ExitedEvent)]
        has_exit_code = bool(exits) and seen < len(history)
        assert not has_exit_code or error.value.exit_code == 7
    else:
        assert [*left, *replay(order, history, first_retained, page)] == history


def test_a_replay_of_a_huge_gap_is_refused_at_once() -> None:
    order = Order("p")
    order.begin_replay(resumed=True)
    with pytest.raises(OutputLost, match="events from 1 on of process 'p' lost"):
        order.replay([], 2**60, None, False)


@given(histories(), st.data())
def test_a_replay_ends_where_the_live_events_begin(history: list[Event], data: st.DataObject) -> None:
    """A process that talks without pause would else be read for ever."""
    known = data.draw(st.integers(0, len(history)))
    live = data.draw(st.integers(0, known))
    order = Order("p")
    order.begin_replay(resumed=True)
    left = [ready for event in history[live:known] for ready in order.feed(event)]
    while order.replaying:
        after = order.replay_after
        assert after <= known
        page = [event for event in outputs(history[:known]) if event.seq > after][:1]
        next_seq = page[-1].seq + 1 if page else known + 1
        if page and page[-1].seq == known:
            next_seq = known + 1
        exited = any(isinstance(event, ExitedEvent) for event in history[:known])
        closed = any(isinstance(event, ClosedEvent) for event in history[:known])
        left += order.replay(page, next_seq, 7 if exited else None, closed, True)
    left += [ready for event in history[known:] for ready in order.feed(event)]
    assert left == history


X, Y = OutputEvent(1, "stdout", b"x"), OutputEvent(2, "stdout", b"y")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ([OutputEvent(0, "stdout", b"")], "numbered an event 0"),
        ([OutputEvent(-3, "stdout", b"")], "numbered an event -3"),
        ([ExitedEvent(1, 0), ExitedEvent(2, 0)], "exit twice, as events 1 and 2"),
        ([ClosedEvent(3), ClosedEvent(4)], "close twice, as events 3 and 4"),
        ([ClosedEvent(2), OutputEvent(3, "stdout", b"")], "event 3 although 2, its close, is the last"),
        ([OutputEvent(3, "stdout", b""), ClosedEvent(2)], "although 2, its close, is the last"),
    ],
)
def test_events_that_contradict_each_other(told: list[Event], text: str) -> None:
    order = Order("p")
    with pytest.raises(BadReply, match=f"process 'p'.*{text}"):
        for event in told:
            order.feed(event)


@pytest.mark.parametrize(
    ("outputs", "next_seq", "text"),
    [
        ([], 2, "has told 2 events and says now that 2 is the next"),
        ([], -(10**30), "is the next"),
        ([Y], 3, "answered with event 2"),
        ([OutputEvent(4, "stdout", b""), OutputEvent(3, "stdout", b"")], 5, "event 3 after 4"),
        ([OutputEvent(9, "stdout", b"")], 9, "before nextSeq 9"),
    ],
)
def test_pages_that_contradict_themselves(outputs: list[OutputEvent], next_seq: int, text: str) -> None:
    order = Order("p")
    assert [*order.feed(X), *order.feed(Y)] == [X, Y]
    order.begin_replay(resumed=True)
    with pytest.raises(BadReply, match=text):
        order.replay(outputs, next_seq, None, False)


def test_of_one_page_that_says_that_it_filled_a_gap_and_did_not() -> None:
    order = Order("p")
    order.feed(OutputEvent(4, "stdout", b""))
    order.begin_replay(resumed=False)
    with pytest.raises(OutputLost, match="2 events from 2 on"):
        order.replay([X], 5, None, False)
