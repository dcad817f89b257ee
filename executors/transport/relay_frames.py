"""Frames of the relay: one in each binary WebSocket message, whose form is in relay.proto.

The rendezvous reads the stream's id and nothing else; no field but the payload of data is protected, so
that whatever else a frame says is a hint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import DecodeError

from executors.transport.relay_pb2 import (
    RelayAck,
    RelayData,
    RelayHandshake,
    RelayMessageFrame,
    RelayReset,
)

VERSION = 1
MAX_FRAME_BYTES = 256 * 1024
MAX_STREAM_ID_BYTES = 256
MAX_SEQ = 2**32 - 1
PROTOCOL_ERROR = "noise_relay_protocol_error"
"""The reason of a reset when the other side, or somebody in between, broke the rules."""
# What others write is shown to people.
_MAX_REASON_CHARACTERS = 200


class FrameError(Exception):
    """What came is no frame of the relay.

    :ivar stream_id: of the stream that it was meant for, where that much could be read.
    """

    def __init__(self, message: str, stream_id: str | None = None) -> None:
        super().__init__(message)
        self.stream_id = stream_id


@dataclass(frozen=True, slots=True)
class Data:
    """One message of the encrypted channel, the *seq*-th of its direction."""

    seq: int
    payload: bytes

    def __repr__(self) -> str:
        return f"Data(seq={self.seq}, {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class Handshake:
    payload: bytes

    def __repr__(self) -> str:
        return f"Handshake({len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True)
class Reset:
    """The stream is over for its sender."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """All data below *next_seq* has been consumed; the sender of this goes by a window."""

    next_seq: int


@dataclass(frozen=True, slots=True)
class Other:
    """A kind that means nothing here: a resume, a heartbeat, or one of a later version."""


Body = Data | Handshake | Reset | Ack | Other


class Frame(NamedTuple):
    stream_id: str
    body: Body


def decode(message: bytes) -> Frame:
    """:raises FrameError: *message* is too long, malformed, or of another version."""
    if len(message) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(message)} bytes: at most {MAX_FRAME_BYTES}")
    try:
        frame = RelayMessageFrame.FromString(message)
    except DecodeError:
        raise FrameError("not a protobuf message of the expected form") from None
    stream_id = frame.stream_id
    if not 0 < len(stream_id.encode()) <= MAX_STREAM_ID_BYTES:
        raise FrameError(f"a stream id of {len(stream_id)} characters")
    if frame.version != VERSION:
        raise FrameError(f"a frame of version {frame.version}: expected {VERSION}", stream_id)
    match frame.WhichOneof("body"):
        case "data":
            data = frame.data
            if (data.segment_index, data.segment_count) != (0, 1):
                raise FrameError("data in segments", stream_id)
            return Frame(stream_id, Data(data.seq, data.payload))
        case "handshake":
            return Frame(stream_id, Handshake(frame.handshake.payload))
        case "reset":
            reason = frame.reset.reason[:_MAX_REASON_CHARACTERS]
            return Frame(stream_id, Reset("".join(c if c.isprintable() else "?" for c in reason)))
        case "ack_frame":
            return Frame(stream_id, Ack(frame.ack))
    return Frame(stream_id, Other())


def encode(stream_id: str, body: Data | Handshake | Reset | Ack) -> bytes:
    match body:
        case Data(seq, payload):
            data = RelayData(seq=seq, segment_count=1, payload=payload)
            return RelayMessageFrame(version=VERSION, stream_id=stream_id, data=data).SerializeToString()
        case Handshake(payload):
            frame = RelayMessageFrame(handshake=RelayHandshake(payload=payload))
        case Reset(reason):
            frame = RelayMessageFrame(reset=RelayReset(reason=reason))
        case Ack(next_seq):
            frame = RelayMessageFrame(ack=next_seq, ack_frame=RelayAck())
    frame.version = VERSION
    frame.stream_id = stream_id
    return frame.SerializeToString()
