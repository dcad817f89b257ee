import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.transport.noise import Channel, CipherState
from executors.transport.noise_keys import Secret
from executors.transport.relay_frames import MAX_SEQ, Data
from executors.transport.relay_stream import (
    ACK_EVERY,
    MAX_GAP,
    MAX_RECORD_BYTES,
    WINDOW,
    Assembler,
    Cutter,
    InOrder,
    SecureStream,
    StreamError,
    StreamLimits,
)

MAX = 64 * 1024 * 1024


def pair(limits: StreamLimits | None = None) -> tuple[SecureStream, SecureStream]:
    def cipher(number: int) -> CipherState:
        return CipherState(Secret(bytes([number]) * 32))

    return (
        SecureStream(Channel(cipher(1), cipher(2)), limits or StreamLimits()),
        SecureStream(Channel(cipher(2), cipher(1)), limits or StreamLimits()),
    )


def sent(stream: SecureStream, *messages: bytes) -> list[Data]:
    for message in messages:
        stream.send(message)
    frames = []
    while stream.can_send:
        frames.append(stream.next_data())
    return frames


def received(stream: SecureStream, frames: list[Data]) -> list[bytes]:
    messages = []
    for frame in frames:
        stream.take(frame)
        while (message := stream.next_message()) is not None:
            messages.append(message)
    return messages


# Order.


@settings(deadline=None)
@given(st.permutations(range(40)), st.data())
def test_records_come_out_in_order_and_once(order: list[int], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(order), max_size=10))
    places = data.draw(st.lists(st.integers(0, 40), min_size=len(again), max_size=len(again)))
    for seq, place in zip(again, places, strict=True):
        order.insert(place, seq)
    records = InOrder(max_gap=40)
    found = [record for seq in order for record in records.take(seq, b"%d" % seq)]
    assert found == [b"%d" % seq for seq in range(40)]


def test_a_gap_is_held_up_to_a_limit() -> None:
    records = InOrder()
    for seq in range(1, MAX_GAP + 1):
        assert records.take(seq, b"") == []
    with pytest.raises(StreamError, match="record 65 came while 0 is missing"):
        records.take(MAX_GAP + 1, b"")
    assert len(records.take(0, b"")) == MAX_GAP + 1


def test_what_came_twice_counts_as_it_came_first() -> None:
    records = InOrder()
    records.take(1, b"first")
    records.take(1, b"second")
    assert records.take(0, b"zero") == [b"zero", b"first"]
    assert records.take(0, b"again") == []


# Messages.


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=50), max_size=10),
    st.lists(st.integers(1, 30), min_size=1),
    st.sampled_from([0, 20, 1000]),
)
def test_messages_come_back_however_they_are_cut(
    messages: list[bytes], sizes: list[int], kept_bytes: int
) -> None:
    data = b"".join(struct.pack(">I", len(message)) + message for message in messages)
    assembler = Assembler(50, kept_bytes)
    found: list[bytes] = []
    turn = 0
    while data:
        size = sizes[turn % len(sizes)]
        found += assembler.take(data[:size])
        data = data[size:]
        turn += 1
    assert found == messages


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 30))
def test_records_are_full_and_hold_the_messages_in_order(messages: list[bytes], size: int) -> None:
    cutter = Cutter(size)
    for message in messages:
        cutter.add(message)
    data = b"".join(struct.pack(">I", len(message)) + message for message in messages)
    assert cutter.size == len(data)
    records = []
    while cutter.size:
        records.append(cutter.next_record())
    assert b"".join(records) == data
    assert all(len(record) == size for record in records[:-1])
    assert cutter.next_record() == b""


def test_a_message_that_is_too_long_is_refused_by_its_length_alone() -> None:
    for head in (struct.pack(">I", 51), struct.pack(">I", 51) + bytes(51)):
        with pytest.raises(StreamError, match="a message of 51 bytes: at most 50"):
            Assembler(50).take(head)
    assert Assembler(50).take(struct.pack(">I", 50) + bytes(50)) == [bytes(50)]


def test_a_message_of_64_mib_goes_through() -> None:
    one, other = pair()
    message = random.Random(1).randbytes(1024) * (MAX // 1024)
    frames = sent(one, message)
    assert len(frames) == -(-(MAX + 4) // MAX_RECORD_BYTES)
    assert max(len(frame.payload) for frame in frames) == MAX_RECORD_BYTES + 16
    assert received(other, frames) == [message]
    with pytest.raises(StreamError, match="at most 67108864"):
        one.send(message + b"x")
    assert received(other, sent(one, b"goes on")) == [b"goes on"]


# The whole.


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=8), st.randoms(use_true_random=False))
def test_messages_survive_a_network_that_reorders_and_doubles(
    messages: list[bytes], rng: random.Random
) -> None:
    one, other = pair()
    frames = [frame for message in messages for frame in sent(one, message)]
    assert [frame.seq for frame in frames] == list(range(len(messages)))
    frames += rng.sample(frames, len(frames) // 2)
    rng.shuffle(frames)
    assert received(other, frames) == messages


@settings(deadline=None)
@given(st.integers(0, 2), st.integers(0, 10000))
def test_a_changed_record_ends_the_stream(which: int, bit: int) -> None:
    one, other = pair()
    frames = sent(one, b"first") + sent(one, b"second") + sent(one, b"third")
    payload = bytearray(frames[which].payload)
    payload[bit // 8 % len(payload)] ^= 1 << bit % 8
    assert received(other, frames[:which]) == [b"first", b"second", b"third"][:which]
    with pytest.raises(StreamError, match="forged"):
        received(other, [Data(frames[which].seq, bytes(payload))])
    with pytest.raises(StreamError, match="is over"):
        received(other, [frames[which]])
    with pytest.raises(StreamError, match="is over"):
        other.next_message()
    with pytest.raises(StreamError, match="is over"):
        other.send(b"")


def test_records_with_their_numbers_exchanged_end_the_stream() -> None:
    one, other = pair()
    first, second = sent(one, b"first") + sent(one, b"second")
    with pytest.raises(StreamError, match="forged"):
        received(other, [Data(0, second.payload), Data(1, first.payload)])


@pytest.mark.parametrize("size", [0, 15, 65536])
def test_a_record_of_an_impossible_length_ends_the_stream(size: int) -> None:
    _, other = pair()
    with pytest.raises(StreamError, match=f"a record of {size} bytes"):
        other.take(Data(0, bytes(size)))
    with pytest.raises(StreamError, match="is over"):
        other.next_message()


def test_numbers_run_out_and_never_wrap() -> None:
    one, other = pair()
    one._next_seq = other._order.next_seq = MAX_SEQ
    assert received(other, sent(one, b"the last")) == [b"the last"]
    one.send(b"one more")
    with pytest.raises(StreamError, match="no number is left"):
        one.next_data()
    assert not one.can_send


def test_while_reading_is_paused_nothing_comes_out_and_not_too_much_is_kept() -> None:
    limits = StreamLimits(unread_bytes=10 * 116)
    one, other = pair(limits)
    other.reading_paused = True
    for _ in range(10):
        assert received(other, sent(one, bytes(96))) == []
    other.reading_paused = False
    assert received(other, sent(one, b"x")) == [bytes(96)] * 10 + [b"x"]
    other.reading_paused = True
    for _ in range(10):
        received(other, sent(one, bytes(96)))
    with pytest.raises(StreamError, match="more than 1160 bytes are unread"):
        received(other, sent(one, bytes(96)))


def test_pausing_takes_effect_between_two_messages_of_one_record() -> None:
    one, other = pair()
    (record,) = sent(one, b"first", b"second", b"third")
    other.take(record)
    assert other.next_message() == b"first"
    other.reading_paused = True
    assert other.next_message() is None
    other.reading_paused = False
    assert [other.next_message() for _ in range(3)] == [b"second", b"third", None]


def test_who_acks_is_sent_no_more_than_a_window() -> None:
    one, _ = pair()
    many = [bytes(MAX_RECORD_BYTES - 4)] * (WINDOW + 10)
    assert len(sent(one, *many)) == WINDOW + 10, "the released exec-server never acks"
    one.ack_received(0)
    one.ack_received(WINDOW + 10)
    frames = sent(one, *many)
    assert len(frames) == WINDOW
    assert one.unsent_bytes == 10 * MAX_RECORD_BYTES
    one.ack_received(WINDOW + 13)
    assert len(sent(one)) == 3
    one.ack_received(WINDOW + 11)
    one.ack_received(10**6)
    assert not one.can_send, "an older ack, and one of what was not sent, change nothing"


def test_what_is_consumed_is_acked_now_and_then() -> None:
    one, other = pair()
    assert other.next_ack() == 0
    assert other.next_ack() is None
    acks = []
    for frame in [each for _ in range(2 * ACK_EVERY) for each in sent(one, b"x")]:
        received(other, [frame])
        acks.append(other.next_ack())
    assert [ack for ack in acks if ack is not None] == [ACK_EVERY, 2 * ACK_EVERY]
    other.reading_paused = True
    for _ in range(2 * ACK_EVERY):
        received(other, sent(one, b"x"))
    assert other.next_ack() is None, "what is not read is not acked"
