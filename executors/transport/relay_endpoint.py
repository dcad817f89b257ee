"""What both ends of the relay share: open streams, their frames, and what is told of them. No I/O, no clock.

Whoever does the I/O hands in each frame that came, then looks at :meth:`Endpoint.take_events` and sends what
:meth:`Endpoint.next_frame` gives, as much as its socket takes. Frames are made only then, one stream after
the other, so that a stream which has much to send, or whose peer is slow, holds up no other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from executors.transport import relay_frames as frames
from executors.transport.noise import Channel
from executors.transport.relay_stream import SecureStream, StreamError, StreamLimits

GAP_SECONDS = 5.0


class RelayStream:
    """An open stream: a handle for whoever does the I/O.

    :ivar ended: nothing goes in or out any more.
    :ivar ended_in_order: the other side has said, encrypted, that it is done.
    """

    def __init__(self, stream_id: str, secure: SecureStream) -> None:
        self.stream_id = stream_id
        self.secure = secure
        self.ended = False
        self.ended_in_order = False
        self.closing: str | None = None
        """Once all that was sent has gone out, a reset with this reason follows."""
        self.reset_reason: str | None = None
        """The other side has ended the stream; what came before that can still be read."""
        self.missing: int | None = None
        """The record that was missing at the last look for gaps."""

    @property
    def unsent_bytes(self) -> int:
        """Of messages that wait for their turn, or for the other side."""
        return self.secure.unsent_bytes

    def __repr__(self) -> str:
        return f"RelayStream({self.stream_id!r})"


class Event:
    """Something to be told."""


@dataclass(frozen=True)
class Opened(Event):
    """The handshake is done: messages can be sent and will come."""

    stream: RelayStream


@dataclass(frozen=True)
class Readable(Event):
    """Messages may have come, or the end: ask for messages until there is none."""

    stream: RelayStream


@dataclass(frozen=True)
class Ended(Event):
    """An open stream is over.

    :ivar reason: for a log.
    """

    stream: RelayStream
    reason: str


class Endpoint:
    """Open streams of one physical connection."""

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._events: list[Event] = []
        self._control: deque[bytes] = deque()
        self._streams: dict[str, RelayStream] = {}
        # Those that may have something to send; the first is next.
        self._ready: dict[RelayStream, None] = {}

    @property
    def largest_message(self) -> int:
        """Bytes; who sends a longer message loses the stream."""
        return self._limits.message_bytes

    def take_events(self) -> list[Event]:
        """What has happened since the last time, in order."""
        events, self._events = self._events, []
        return events

    def next_frame(self) -> bytes | None:
        """What to send next, or None if there is nothing now."""
        if self._control:
            return self._control.popleft()
        while self._ready:
            stream = next(iter(self._ready))
            del self._ready[stream]
            frame = self._frame_of(stream)
            if frame is not None:
                if not stream.ended:
                    self._ready[stream] = None
                return frame
            if self._control:
                return self._control.popleft()
        return None

    def send(self, stream: RelayStream, message: bytes) -> None:
        """Queues a message; does nothing once the stream is closing or over.

        A message that is too long ends the stream.
        """
        if stream.ended or stream.closing is not None or stream.reset_reason is not None:
            return
        try:
            stream.secure.send(message)
        except StreamError as error:
            self._break(stream, str(error))
        else:
            self._ready[stream] = None

    def next_message(self, stream: RelayStream) -> bytes | None:
        """The next message, or None if there is none now, or reading is paused, or the stream is over."""
        if stream.ended:
            return None
        try:
            message = stream.secure.next_message()
        except StreamError as error:
            self._break(stream, str(error))
            return None
        if message == b"":
            stream.ended_in_order = True
            self.reset(stream, "the other side is done")
            return None
        if message is not None or stream.reset_reason is None:
            self._ready[stream] = None  # An ack may be due.
            return message
        self._end(stream, f"reset by the other side: {stream.reset_reason}")
        return None

    def pause_reading(self, stream: RelayStream) -> None:
        """No message of *stream* is handed out; what comes is kept, up to a limit.

        Without effect once the other side has ended the stream: whoever reads so slowly has nobody left to
        wait for.
        """
        if stream.reset_reason is None:
            stream.secure.reading_paused = True

    def resume_reading(self, stream: RelayStream) -> None:
        """Ask for messages afterwards, as after :class:`Readable`."""
        stream.secure.reading_paused = False

    def close(self, stream: RelayStream, reason: str) -> None:
        """Ends the stream in order, once all that was sent has gone out."""
        if not stream.ended and stream.closing is None:
            self.send(stream, b"")
            stream.closing = reason

    def reset(self, stream: RelayStream, reason: str) -> None:
        """Ends the stream at once; what has not gone out is dropped."""
        if not stream.ended:
            self._send_reset(stream, reason)
            self._end(stream, reason)

    def look_for_gaps(self) -> None:
        """Ends streams that miss the same record as the last time; to be called every :data:`GAP_SECONDS`.

        Who passes frames on keeps their order, so that it was withheld; else its stream would wait for ever.
        """
        for stream in list(self._streams.values()):
            missing = stream.secure.missing
            if missing is not None and missing == stream.missing:
                self._break(stream, f"record {missing} has not come, and later ones have")
            stream.missing = missing

    def lost(self, reason: str) -> None:
        """The physical connection has ended, and all streams with it."""
        self._control.clear()
        for stream in list(self._streams.values()):
            self._end(stream, reason)

    def _open(self, stream_id: str, channel: Channel) -> None:
        stream = RelayStream(stream_id, SecureStream(channel, self._limits))
        self._streams[stream_id] = stream
        self._ready[stream] = None
        self._events.append(Opened(stream))

    def _take(self, stream: RelayStream, body: frames.Body) -> None:
        """A frame for an open stream."""
        match body:
            case frames.Data():
                try:
                    stream.secure.take(body)
                except StreamError as error:
                    self._break(stream, str(error))
                else:
                    self._events.append(Readable(stream))
            case frames.Reset(reason):
                stream.reset_reason = reason
                stream.secure.reading_paused = False
                self._events.append(Readable(stream))
            case frames.Ack(next_seq):
                stream.secure.ack_received(next_seq)
                self._ready[stream] = None
            case frames.Handshake():
                self._break(stream, "a handshake on an open stream")

    def _frame_of(self, stream: RelayStream) -> bytes | None:
        if stream.ended or stream.reset_reason is not None:
            return None
        ack = stream.secure.next_ack()
        if ack is not None:
            return frames.encode(stream.stream_id, frames.Ack(ack))
        if stream.secure.can_send:
            try:
                return frames.encode(stream.stream_id, stream.secure.next_data())
            except StreamError as error:
                self._break(stream, str(error))
        elif stream.closing is not None and not stream.unsent_bytes:
            self.reset(stream, stream.closing)
        return None

    def _break(self, stream: RelayStream, reason: str) -> None:
        """The other side, or somebody in between, broke the rules; they are not told which."""
        self._send_reset(stream, frames.PROTOCOL_ERROR)
        self._end(stream, reason)

    def _send_reset(self, stream: RelayStream, reason: str) -> None:
        if stream.reset_reason is None:
            self._control.append(frames.encode(stream.stream_id, frames.Reset(reason)))

    def _end(self, stream: RelayStream, reason: str) -> None:
        stream.ended = True
        stream.secure.end()
        self._ready.pop(stream, None)
        del self._streams[stream.stream_id]
        self._events.append(Ended(stream, reason))
