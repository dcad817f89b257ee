"""What the service looks at of a frame, and the frames that it makes itself."""

from __future__ import annotations

from typing import Final, Literal

from google.protobuf.message import DecodeError

from executors.transport.relay_pb2 import RelayMessageFrame

VERSION: Final = 1
_MOST_STREAM_ID: Final = 256
Kind = Literal["data", "ack_frame", "resume", "reset", "heartbeat", "handshake"]


class BadFrame(Exception):
    """What came is no frame."""


def look(frame: bytes) -> tuple[str, Kind | None]:
    """Returns the id of the stream that a frame is of, and what it is; None for what is not known.

    :raises BadFrame: it is none, or its stream has no id or a longer one than 256 characters.
    """
    try:
        found = RelayMessageFrame.FromString(frame)
    except DecodeError:
        raise BadFrame("not a frame of the relay") from None
    stream: str = found.stream_id
    if not 0 < len(stream) <= _MOST_STREAM_ID:
        raise BadFrame(f"a stream id has 1 to {_MOST_STREAM_ID} characters")
    return stream, found.WhichOneof("body")


def reset_reason(frame: bytes) -> str:
    """Returns the reason of a reset."""
    return str(RelayMessageFrame.FromString(frame).reset.reason)


def reset(stream: str, reason: str) -> bytes:
    """Returns a frame that ends a stream."""
    frame = RelayMessageFrame(version=VERSION, stream_id=stream)
    frame.reset.reason = reason
    return frame.SerializeToString()
