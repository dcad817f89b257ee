"""What the service looks at of a frame, and the frames that it makes itself."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from executors.transport.relay_pb2 import RelayMessageFrame

VERSION: Final = 1
_MOST_STREAM_ID: Final = 256


class BadFrame(Exception):
    """What came is no frame."""


def stream_of(frame: bytes) -> str:
    """Returns the id of the stream that a frame is of.

    :raises BadFrame: it is none, or its stream has no id or a longer one than 256 characters.
    """
    try:
        stream = RelayMessageFrame.FromString(frame).stream_id
    except DecodeError:
        raise BadFrame("not a frame of the relay") from None
    if not 0 < len(stream) <= _MOST_STREAM_ID:
        raise BadFrame(f"a stream id has 1 to {_MOST_STREAM_ID} characters")
    return stream


def reset(stream: str, reason: str) -> bytes:
    """Returns a frame that ends a stream."""
    frame = RelayMessageFrame(version=VERSION, stream_id=stream)
    frame.reset.reason = reason
    return frame.SerializeToString()
