import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.transport import relay_frames as frames
from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair
from executors.transport.relay_endpoint import Ended, Opened, Readable
from executors.transport.relay_executor import BUSY, Failed, Limits, Replays, Validate, Verdict, Withdrawn
from executors.transport.relay_frames import Ack, Data, Handshake, Other, Reset
from executors.transport.relay_harness import HarnessRelay, NotOpened
from executors.transport.relay_pb2 import RelayMessageFrame, RelayResume
from executors.transport.relay_stream import MAX_RECORD_BYTES, WINDOW, StreamLimits
from tests.relay.scene import (
    AUTHORIZATION,
    EXECUTOR,
    HARNESS,
    Executor,
    Harness,
    connect,
    ends,
    of_kind,
    pull,
    pump,
)

PROTOCOL_ERROR = [Reset(frames.PROTOCOL_ERROR)]


def bodies(found: list[bytes]) -> list[frames.Body]:
    return [frames.decode(frame).body for frame in found]


def offer(stream_id: str = "stream") -> list[bytes]:
    """A fresh first message."""
    return pull(Harness(stream_id).relay)


def garbage(stream_id: str) -> list[bytes]:
    """A handshake that must fail."""
    return [frames.encode(stream_id, Handshake(bytes(3600)))]


def test_a_stream_is_opened_and_carries_both_ways() -> None:
    executor, harness = Executor(), Harness()
    executor.take(pull(harness.relay))
    (asked,) = of_kind(executor.events, Validate)
    assert asked.pending.offer == (HARNESS.public, AUTHORIZATION)
    assert pull(executor.relay) == [], "nothing is said before the registry has spoken"
    harness.take(executor.validate())
    executor.take(harness.send(b"there", b"and there"))
    harness.take(executor.send("stream", b"back"))
    assert executor.read("stream") == [b"there", b"and there"]
    assert harness.read() == [b"back"]
    assert ends(executor.events + harness.events) == []


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Verdict.INVALID, "noise_relay_protocol_error"), (Verdict.UNKNOWN, "registry_unavailable")],
)
def test_whom_the_registry_does_not_vouch_for_is_reset(verdict: Verdict, reason: str) -> None:
    executor, harness = Executor(), Harness()
    executor.take(pull(harness.relay))
    answer = executor.validate(verdict)
    assert bodies(answer) == [Reset(reason)]
    harness.take(answer)
    assert harness.events == [NotOpened(f"reset by the other side: {reason}", False)]
    assert len(of_kind(executor.events, Failed)) == 1
    assert executor.streams == {}


def test_whom_the_registry_does_not_authenticate_is_told_so() -> None:
    executor, harness = Executor(), Harness()
    executor.take(pull(harness.relay))
    answer = executor.validate(Verdict.UNAUTHENTICATED)
    assert [type(body) for body in bodies(answer)] == [Handshake]
    harness.take(answer)
    (failed,) = of_kind(harness.events, NotOpened)
    assert failed.refused
    assert executor.streams == {}
    assert pull(harness.relay) == []


def test_an_answer_for_what_is_gone_opens_nothing() -> None:
    executor = Executor()
    executor.take(offer())
    executor.take([frames.encode("stream", Reset("changed my mind"))])
    (withdrawn,) = of_kind(executor.events, Withdrawn)
    executor.take(offer())
    first, second = (each.pending for each in of_kind(executor.events, Validate))
    assert withdrawn.pending is first
    executor.relay.validated(first, Verdict.VALID, executor.now)
    assert pull(executor.relay) == []
    executor.relay.validated(second, Verdict.VALID, executor.now)
    executor.relay.validated(second, Verdict.VALID, executor.now)
    assert [type(body) for body in bodies(pull(executor.relay))] == [Handshake, Ack]


@pytest.mark.parametrize(
    "field",
    [
        {"environment_id": "another"},
        {"executor_registration_id": "another"},
        {"stream_id": "another"},
    ],
)
def test_a_first_message_for_something_else_fails(field: dict[str, str]) -> None:
    prologue = Prologue("environment", "registration", "stream")._replace(**field)
    (message,) = pull(HarnessRelay(HARNESS, EXECUTOR.public, prologue, AUTHORIZATION))
    _, handshake = frames.decode(message)
    assert isinstance(handshake, Handshake)
    executor = Executor()
    executor.take([frames.encode("stream", handshake)])
    assert bodies(pull(executor.relay)) == PROTOCOL_ERROR
    (failed,) = of_kind(executor.events, Failed)
    assert "forged" in failed.reason


def test_a_harness_with_the_wrong_key_of_the_executor_fails() -> None:
    prologue = Prologue("environment", "registration", "stream")
    other = HarnessRelay(HARNESS, KeyPair.generate().public, prologue, AUTHORIZATION)
    executor = Executor()
    executor.take(pull(other))
    assert of_kind(executor.events, Validate) == []


def test_an_executor_in_between_cannot_answer() -> None:
    harness = Harness()
    thief = Executor()
    thief.relay._keys = KeyPair.generate()
    thief.take(pull(harness.relay))
    assert of_kind(thief.events, Validate) == []
    # Nor can it answer with what another harness got.
    executor = Executor()
    executor.take(offer())
    harness.take(executor.validate())
    assert not of_kind(harness.events, Opened)
    assert len(of_kind(harness.events, NotOpened)) == 1
    assert bodies(pull(harness.relay)) == PROTOCOL_ERROR


def test_a_first_message_is_good_once() -> None:
    replays = Replays()
    executor, harness = Executor(replays=replays), Harness()
    first = pull(harness.relay)
    executor.take(first)
    harness.take(executor.validate())
    # On the open stream it ends that; then, and on a new physical connection, it is refused.
    executor.take(first)
    assert ends(executor.events) == ["a handshake on an open stream"]
    for each in (executor, Executor(replays=replays)):
        pull(each.relay)
        each.take(first)
        assert bodies(pull(each.relay)) == PROTOCOL_ERROR
        assert of_kind(each.events, Failed)[-1].reason == "this first message was taken before"
    assert len(of_kind(executor.events, Validate)) == 1


def test_only_so_many_first_messages_are_remembered() -> None:
    replays = Replays(2)
    assert [replays.is_new(message) for message in (b"1", b"2", b"1", b"3", b"2", b"1")] == [
        *(True, True, False),
        *(True, False, True),
    ]


def test_after_eight_failures_none_is_taken_for_ten_seconds() -> None:
    executor = Executor()
    live = connect(executor, "live")
    for number in range(8):
        assert len(of_kind(executor.events, Failed)) == number
        executor.take(garbage(f"bad{number}"))
    assert of_kind(executor.events, Failed)[-1].reason.endswith("none is taken for 10 s")
    pull(executor.relay)
    executor.now += 9.9
    executor.take(offer("good"))
    assert bodies(pull(executor.relay)) == PROTOCOL_ERROR
    assert len(of_kind(executor.events, Validate)) == 1
    # The open stream goes on.
    executor.take(live.send(b"still there"))
    assert executor.read("live") == [b"still there"]
    executor.now += 0.1
    connect(executor, "good")
    for number in range(7):
        executor.take(garbage(f"bad{number}"))
    connect(executor, "too")


def test_who_begins_and_withdraws_has_the_registry_asked_eight_times() -> None:
    executor = Executor()
    for number in range(20):
        stream_id = f"stream{number}"
        executor.take([*offer(stream_id), frames.encode(stream_id, Reset("changed my mind"))])
    assert len(of_kind(executor.events, Validate)) == 8


def test_a_malformed_frame_ends_the_handshake_of_its_stream() -> None:
    executor = Executor()
    executor.take(offer())
    executor.take([RelayMessageFrame(version=2, stream_id="stream").SerializeToString()])
    assert len(of_kind(executor.events, Withdrawn)) == 1
    (failed,) = of_kind(executor.events, Failed)
    assert failed.reason.startswith("a frame of version 2")
    assert bodies(pull(executor.relay)) == PROTOCOL_ERROR


def test_a_registry_that_does_not_answer_counts_for_nothing() -> None:
    executor = Executor()
    for number in range(20):
        executor.take(offer(f"stream{number}"))
        executor.validate(Verdict.UNKNOWN)
    connect(executor, "good")


def test_only_so_many_handshakes_are_under_way() -> None:
    executor = Executor(Limits(handshakes=2, streams=3))
    for number in range(3):
        executor.take(offer(f"stream{number}"))
    assert len(of_kind(executor.events, Validate)) == 2
    assert bodies(pull(executor.relay)) == [Reset(BUSY)]
    executor.validate()
    connect(executor, "third")
    executor.take(offer("fourth"))
    assert bodies(pull(executor.relay)) == [Reset(BUSY)]
    executor.take([frames.encode("third", Reset("done"))])
    assert executor.read("third") == []
    connect(executor, "fourth")


@pytest.mark.parametrize("body", [Data(0, bytes(20)), Handshake(b"again")])
def test_what_comes_before_the_answer_ends_the_handshake(body: Data | Handshake) -> None:
    executor = Executor()
    executor.take([*offer(), frames.encode("stream", body)])
    assert len(of_kind(executor.events, Withdrawn)) == 1
    assert bodies(pull(executor.relay)) == PROTOCOL_ERROR
    assert bodies(executor.validate()) == []


def test_kinds_that_mean_nothing_may_come_at_any_time() -> None:

    resume = RelayMessageFrame(
        version=1, stream_id="stream", resume=RelayResume(next_seq=0)
    ).SerializeToString()
    assert frames.decode(resume).body == Other()
    executor, harness = Executor(), Harness()
    executor.take([resume, *pull(harness.relay), resume])
    harness.take([resume, *executor.validate(), resume])
    executor.take([resume, *harness.send(b"x"), resume])
    assert executor.read("stream") == [b"x"]


def test_data_for_no_stream_is_answered_with_a_reset_and_a_reset_with_nothing() -> None:
    executor = Executor()
    executor.take([frames.encode("nobody", Data(0, bytes(20))), frames.encode("nobody", Reset("x"))])
    assert [frames.decode(frame) for frame in pull(executor.relay)] == [("nobody", *PROTOCOL_ERROR)]


def test_data_that_was_under_way_to_an_ended_stream_is_not_answered() -> None:
    executor = Executor()
    harness = connect(executor)
    late = harness.send(b"late")
    executor.relay.reset(executor.streams["stream"], "over")
    assert bodies(pull(executor.relay)) == [Reset("over")]
    executor.take(late)
    assert pull(executor.relay) == []


def test_who_sends_garbage_and_does_not_read_fills_no_memory() -> None:
    executor = Executor()
    executor.take([frames.encode(f"s{number}", Data(0, bytes(20))) for number in range(10000)])
    assert len(pull(executor.relay)) == 4096


def test_garbage_counts_for_nothing() -> None:
    executor = Executor()
    harness = connect(executor)
    executor.take([b"\xff" * 30, b"", bytes(300 * 1024)])
    assert pull(executor.relay) == []
    executor.take(harness.send(b"x"))
    assert executor.read("stream") == [b"x"]


@pytest.mark.parametrize("victim", ["one", "other"])
def test_what_is_wrong_on_a_stream_ends_no_other(victim: str) -> None:
    executor = Executor()
    harnesses = {name: connect(executor, name) for name in ("one", "other")}
    executor.take([frames.encode(victim, Data(0, bytes(20)))])
    assert executor.read(victim) == []
    (ended,) = of_kind(executor.events + executor.relay.take_events(), Ended)
    assert ended.stream.stream_id == victim
    assert "forged" in ended.reason
    (survivor,) = set(harnesses) - {victim}
    executor.take(harnesses[survivor].send(b"x"))
    assert executor.read(survivor) == [b"x"]
    assert frames.decode(pull(executor.relay)[0]) == (victim, *PROTOCOL_ERROR)


def test_records_spliced_from_another_stream_end_this_one() -> None:
    executor = Executor()
    one, _ = connect(executor, "one"), connect(executor, "other")
    record = frames.decode(one.send(b"x")[-1]).body
    assert isinstance(record, Data)
    executor.take([frames.encode("other", record)])
    assert executor.read("other") == []
    executor.take([])
    assert len(ends(executor.events)) == 1


@settings(deadline=None)
@given(st.data())
def test_any_bit_flipped_on_the_way_changes_no_message(data: st.DataObject) -> None:
    executor = Executor()
    harness = connect(executor)
    pump(executor, harness)
    sent = harness.send(b"first") + harness.send(b"second") + harness.send(b"third")
    which = data.draw(st.integers(0, 2))
    changed = bytearray(sent[which])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    got: list[bytes] = []
    for frame in [*sent[:which], bytes(changed), *sent[which + 1 :]]:
        executor.take([frame])
        got += executor.read("stream")
    # One that makes it no frame, or another stream's, loses it; one in a field without a use does nothing.
    assert got == [b"first", b"second", b"third"][: len(got)]
    assert len(got) >= which


def test_the_end_of_a_stream_is_in_order_if_it_was_said_in_secret() -> None:
    executor = Executor()
    harness = connect(executor)
    harness.relay.send(harness.stream, b"the last")
    harness.relay.close(harness.stream, "done")
    harness.relay.send(harness.stream, b"too late")
    executor.take(pull(harness.relay))
    assert executor.read("stream") == [b"the last"]
    executor.take([])
    assert executor.streams["stream"].ended_in_order
    assert harness.stream.ended
    assert len(of_kind(executor.events, Ended)) == 1


def test_a_reset_alone_is_no_end_in_order() -> None:
    executor = Executor()
    connect(executor)
    executor.take([frames.encode("stream", Reset("done"))])
    assert executor.read("stream") == []
    executor.take([])
    assert ends(executor.events) == ["reset by the other side: done"]
    assert not executor.streams["stream"].ended_in_order
    # Somebody in between may have forged it: the harness has to know.
    assert [frames.decode(frame).body for frame in pull(executor.relay)] == [Reset("reset_by_the_other_side")]


def test_what_came_before_a_reset_is_read_even_if_reading_was_paused() -> None:
    executor = Executor()
    harness = connect(executor)
    executor.relay.pause_reading(executor.streams["stream"])
    executor.take(harness.send(b"the last"))
    assert executor.read("stream") == []
    executor.take([frames.encode("stream", Reset("done"))])
    executor.relay.pause_reading(executor.streams["stream"])
    assert of_kind(executor.events, Ended) == []
    assert executor.send("stream", b"to nobody") == []
    assert executor.read("stream") == [b"the last"]
    executor.take([])
    assert ends(executor.events) == ["reset by the other side: done"]


def test_a_close_waits_for_what_was_sent_and_a_reset_does_not() -> None:
    executor = Executor()
    for stream_id, close in (("one", executor.relay.close), ("other", executor.relay.reset)):
        connect(executor, stream_id)
        stream = executor.streams[stream_id]
        executor.relay.send(stream, b"said")
        close(stream, "why")
        kinds = [type(body) for body in bodies(pull(executor.relay))]
        assert kinds == ([Data, Reset] if stream_id == "one" else [Reset])
        assert stream.ended
        assert stream.unsent_bytes == 0
        executor.take([])
    assert ends(executor.events) == ["why", "why"]


def test_a_message_that_is_too_long_for_the_peer_ends_the_stream() -> None:
    executor = Executor(Limits(StreamLimits(message_bytes=10)))
    connect(executor)
    assert bodies(executor.send("stream", b"x" * 11)) == PROTOCOL_ERROR
    executor.take([])
    assert ends(executor.events) == ["a message of 11 bytes: at most 10"]


def test_streams_take_turns() -> None:
    executor = Executor()
    names = ["one", "two", "three"]
    harnesses = [connect(executor, name) for name in names]
    big = bytes(3 * MAX_RECORD_BYTES - 4)
    for name in names:
        executor.relay.send(executor.streams[name], big)
    found = pull(executor.relay)
    assert [frames.decode(frame).stream_id for frame in found] == names * 3
    for harness in harnesses:
        harness.take(found)
        assert harness.read() == [big]


def test_a_stream_that_is_not_read_stalls_no_other() -> None:
    executor = Executor()
    slow, quick = connect(executor, "slow"), connect(executor, "quick")
    for each in (slow, quick):
        pump(executor, each)
    slow.relay.pause_reading(slow.stream)
    many = [bytes(MAX_RECORD_BYTES - 4)] * (WINDOW + 50)
    to_slow = executor.send("slow", *many)
    assert len(to_slow) == WINDOW
    assert executor.streams["slow"].unsent_bytes == 50 * MAX_RECORD_BYTES
    slow.take(to_slow)
    assert slow.read() == []
    executor.relay.send(executor.streams["quick"], b"x")
    pump(executor, quick)
    assert quick.read() == [b"x"]
    slow.relay.resume_reading(slow.stream)
    got = slow.read()
    for _ in range(3):
        pump(executor, slow)
        got += slow.read()
    assert got == many


def test_an_executor_that_is_not_read_from_keeps_so_much_and_then_ends_the_stream() -> None:
    executor = Executor(Limits(StreamLimits(unread_bytes=1000)))
    harness, other = connect(executor, "stream"), connect(executor, "other")
    executor.relay.pause_reading(executor.streams["stream"])
    executor.take(harness.send(bytes(500)))
    assert of_kind(executor.events, Ended) == []
    executor.take(harness.send(bytes(500)))
    assert ends(executor.events) == ["more than 1000 bytes are unread"]
    executor.take(other.send(b"x"))
    assert executor.read("other") == [b"x"]


def test_a_harness_ignores_other_streams() -> None:
    executor = Executor()
    one, other = connect(executor, "one"), connect(executor, "other")
    one.take(executor.send("other", b"x"))
    assert one.read() == []
    assert ends(one.events) == []
    assert not [event for event in one.events if isinstance(event, Readable)]
    assert other.read() == []


@pytest.mark.parametrize("body", [Data(0, bytes(20)), Handshake(bytes(3424))])
def test_a_harness_takes_no_other_answer(body: Data | Handshake) -> None:
    harness = Harness()
    pull(harness.relay)
    harness.take([frames.encode("stream", body)])
    (failed,) = of_kind(harness.events, NotOpened)
    assert not failed.refused
    assert bodies(pull(harness.relay)) == PROTOCOL_ERROR
    harness.take([frames.encode("stream", body)])
    assert len(harness.events) == 1


def test_a_record_that_is_missing_at_two_looks_ends_its_stream() -> None:
    executor = Executor()
    harness, other = connect(executor), connect(executor, "other")
    first, second = harness.send(b"first"), harness.send(b"second")
    executor.take(second)
    executor.take(other.send(b"message"))
    executor.relay.look_for_gaps()
    executor.take(first)
    executor.relay.look_for_gaps()
    assert executor.read("stream") == [b"first", b"second"]
    harness.send(b"third")
    executor.take(harness.send(b"fourth"))
    executor.relay.look_for_gaps()
    assert not ends(executor.events)
    executor.relay.look_for_gaps()
    executor.take([])
    assert len(ends(executor.events)) == 1 and "has not come" in ends(executor.events)[0]
    assert executor.read("other") == [b"message"]
