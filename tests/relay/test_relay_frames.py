import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.transport import relay_frames as frames
from executors.transport import relay_pb2
from executors.transport.relay_frames import Ack, Data, FrameError, Handshake, Other, Reset
from executors.transport.relay_pb2 import RelayData, RelayHeartbeat, RelayMessageFrame, RelayResume

# By hand, as protobuf's wire format and the numbers of the fields have it.
DATA = b"\x08\x01\x12\x01s\x2a\x08\x08\x07\x18\x01\x22\x02hi"
HANDSHAKE = b"\x08\x01\x12\x01s\x52\x04\x0a\x02hi"
RESET = b"\x08\x01\x12\x01s\x42\x05\x0a\x03why"
ACK = b"\x08\x01\x12\x01s\x18\x2a\x32\x00"


@pytest.mark.parametrize(
    ("message", "body"),
    [(DATA, Data(7, b"hi")), (HANDSHAKE, Handshake(b"hi")), (RESET, Reset("why")), (ACK, Ack(42))],
)
def test_a_frame_has_these_bytes(message: bytes, body: Data | Handshake | Reset | Ack) -> None:
    assert frames.encode("s", body) == message
    assert frames.decode(message) == ("s", body)


@pytest.mark.parametrize(
    "frame",
    [
        RelayMessageFrame(version=1, stream_id="s"),
        RelayMessageFrame(version=1, stream_id="s", heartbeat=RelayHeartbeat()),
        RelayMessageFrame(version=1, stream_id="s", resume=RelayResume(next_seq=3)),
    ],
)
def test_other_kinds_mean_nothing(frame: RelayMessageFrame) -> None:
    assert frames.decode(frame.SerializeToString()) == ("s", Other())


def test_fields_of_later_versions_are_ignored() -> None:
    assert frames.decode(DATA + b"\x7a\x03new") == ("s", Data(7, b"hi"))


@pytest.mark.parametrize(
    ("frame", "stream_id", "text"),
    [
        (RelayMessageFrame(version=2, stream_id="s"), "s", "version 2"),
        (RelayMessageFrame(stream_id="s"), "s", "version 0"),
        (RelayMessageFrame(version=1), None, "stream id"),
        (RelayMessageFrame(version=1, stream_id="é" * 129), None, "stream id"),
        (RelayMessageFrame(version=1, stream_id="s", data=RelayData()), "s", "segments"),
        (RelayMessageFrame(version=1, stream_id="s", data=RelayData(segment_count=2)), "s", "segments"),
        (
            RelayMessageFrame(version=1, stream_id="s", data=RelayData(segment_index=1, segment_count=1)),
            "s",
            "segments",
        ),
    ],
)
def test_what_a_frame_must_not_say(frame: RelayMessageFrame, stream_id: str | None, text: str) -> None:
    with pytest.raises(FrameError, match=text) as raised:
        frames.decode(frame.SerializeToString())
    assert raised.value.stream_id == stream_id


@pytest.mark.parametrize("message", [b"\x08", b"\xff" * 20, DATA[:-1], b"\x12\x02\xff\xfe"])
def test_what_is_no_protobuf(message: bytes) -> None:
    with pytest.raises(FrameError, match="not a protobuf message"):
        frames.decode(message)


def test_a_frame_that_is_too_long() -> None:
    with pytest.raises(FrameError, match="at most 262144"):
        frames.decode(bytes(frames.MAX_FRAME_BYTES + 1))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error(message: bytes) -> None:
    try:
        stream_id, _ = frames.decode(message)
    except FrameError:
        return
    assert stream_id


def test_a_reason_is_fit_for_people() -> None:
    frame = frames.encode("s", Reset("\x1b[31m\n" + "x" * 1000))
    _, body = frames.decode(frame)
    assert isinstance(body, Reset)
    assert body.reason.startswith("?[31m?xxx")
    assert len(body.reason) == 200


def test_payloads_are_not_shown() -> None:
    assert "secret" not in repr([Data(1, b"secret"), Handshake(b"secret")])


def test_the_generated_module_is_that_of_the_proto_file() -> None:
    assert relay_pb2.__file__ is not None
    text = Path(relay_pb2.__file__).with_name("relay.proto").read_text(encoding="utf-8")
    written = set()
    for message, body in re.findall(r"^message (\w+) \{(\}|.*?^\})", text, re.DOTALL | re.MULTILINE):
        fields = re.findall(r"(\w+) (\w+) = (\d+);", body)
        written |= {(message, kind, name, int(number)) for kind, name, number in fields}
    generated = {
        (message.name, kind_of(field), field.name, field.number)
        for message in relay_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }
    assert len(generated) == 19
    assert written == generated


def kind_of(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return field.message_type.name
    kinds = {field.TYPE_UINT32: "uint32", field.TYPE_STRING: "string", field.TYPE_BYTES: "bytes"}
    return kinds[field.type]
