"""What a chaos proxy decides without sockets: where the frames are, and what a plan does at which byte."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from fixtures.faults_frames import HEAD, FrameScanner, Span
from fixtures.faults_plan import CLEAR, DOWN, UP, At, Chaos, Shape, Where, after, at_byte, before, within

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

sizes = st.one_of(st.integers(0, 130), st.sampled_from([125, 126, 127, 65535, 65536, 70000]))
frames = st.lists(
    st.tuples(sizes, st.booleans(), st.sampled_from([0, 1, 2, 8, 9, 10]), st.booleans()), max_size=5
)


def encoded(size: int, masked: bool, opcode: int, final: bool) -> bytes:
    if opcode >= 8:
        size, final = min(size, 125), True
    return Frame(Opcode(opcode), b"x" * size, fin=final).serialize(mask=masked)


def spans_of(pieces: list[bytes]) -> list[Span]:
    scanner = FrameScanner()
    return [span for piece in pieces for span in scanner.feed(piece)]


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


@given(st.sampled_from([REQUEST, ANSWER]), frames, st.lists(st.integers(0, 10**6), max_size=20))
def test_whatever_the_pieces_the_frames_are_found(
    head: bytes, made: list[tuple[int, bool, int, bool]], cuts: list[int]
) -> None:
    messages = [head, *(encoded(*one) for one in made)]
    data = b"".join(messages)
    spans = spans_of(in_pieces(data, cuts))
    assert b"".join(span.data for span in spans) == data
    for number, message in enumerate(messages):
        of_frame = [span for span in spans if span.frame == number]
        assert b"".join(span.data for span in of_frame) == message
        assert [span.starts for span in of_frame] == [True] + [False] * (len(of_frame) - 1)
        assert [span.ends for span in of_frame] == [False] * (len(of_frame) - 1) + [True]
        assert {span.size for span in of_frame} <= {None, len(message)}
        assert {span.opcode for span in of_frame} == {-1 if number == HEAD else made[number - 1][2]}


def test_single_bytes_are_enough() -> None:
    messages = [ANSWER, encoded(0, False, 1, True), encoded(0, True, 9, True), encoded(70000, True, 2, True)]
    spans = spans_of([bytes([byte]) for byte in b"".join(messages)])
    assert [span.frame for span in spans if span.ends] == [0, 1, 2, 3]
    assert [len(message) for message in messages] == [
        sum(span.frame == number for span in spans) for number in range(4)
    ]


@pytest.mark.parametrize("status", [b"403 Forbidden", b"200 OK"])
def test_after_a_refusal_there_are_no_frames(status: bytes) -> None:
    refusal = b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\n\r\n" + encoded(1, False, 1, True) * 3
    spans = spans_of([refusal[:20], refusal[20:]])
    assert {span.frame for span in spans} == {HEAD}
    assert not any(span.ends for span in spans)
    assert b"".join(span.data for span in spans) == refusal


def test_a_head_without_an_end_is_not_kept() -> None:
    scanner = FrameScanner()
    for _ in range(100):
        assert [bytes(span.data) for span in scanner.feed(b"x" * 4096)] == [b"x" * 4096]
    assert len(scanner._head) < 100_000


def places(at: At, pieces: list[bytes]) -> list[int]:
    """Every count of bytes after which *at* applies."""
    found, passed = [], 0
    for span in spans_of(pieces):
        place = at.place_in(span, passed)
        if place is not None:
            found.append(passed + place)
        passed += len(span.data)
    return found


@given(frames.filter(bool), st.lists(st.integers(0, 10**6), max_size=20), st.data())
def test_a_place_is_the_same_whatever_the_pieces(
    made: list[tuple[int, bool, int, bool]], cuts: list[int], data: st.DataObject
) -> None:
    messages = [ANSWER, *(encoded(*one) for one in made)]
    whole = b"".join(messages)
    number = data.draw(st.integers(0, len(made)))
    begin = sum(map(len, messages[:number]))
    size = len(messages[number])
    pieces = in_pieces(whole, cuts)
    assert places(before(DOWN, number), pieces)[:1] == [begin]
    assert places(within(DOWN, number), pieces)[:1] == [begin + (size // 2 if number else 10)]
    assert places(after(DOWN, number), pieces)[:1] == [begin + size]
    byte = data.draw(st.integers(0, len(whole)))
    assert places(at_byte(DOWN, byte), pieces)[:1] == [byte]
    assert places(at_byte(DOWN, len(whole) + 1), pieces) == []


@pytest.mark.parametrize("wrong", [{"frame": -1}, {"byte": -1}])
def test_places_are_counted_from_zero(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        At(DOWN, where=Where.AFTER, **wrong)


def test_a_seed_gives_the_same_again_and_another_gives_something_else() -> None:
    numbers = range(1, 40)
    chaos = Chaos(7, cuts=30, shapes=[Shape(), Shape(slice=1)])
    plans = [chaos(number) for number in numbers]
    assert plans == [Chaos(7, cuts=30, shapes=[Shape(), Shape(slice=1)])(number) for number in numbers]
    # The order of the questions is of no matter.
    assert plans == [chaos(number) for number in reversed(numbers)][::-1]
    assert plans != [Chaos(8, cuts=30)(number) for number in numbers]
    assert [plan == CLEAR for plan in plans] == [False] * 30 + [True] * 9
    assert {str(plan).split()[1] for plan in plans[:30]} == {"(fin)", "(rst)"}
    assert {rule.at.direction for plan in plans for rule in plan.rules} == {UP, DOWN}
    assert all(0 <= rule.at.byte <= chaos.bytes for plan in plans for rule in plan.rules)


def test_a_seed_s_cuts_are_where_there_is_something_to_cut() -> None:
    only_down = [Chaos(1, up=0, down=100)(number).rules[0].at for number in range(1, 11)]
    assert {at.direction for at in only_down} == {DOWN}
    assert {at.byte <= 100 for at in only_down} == {True}
