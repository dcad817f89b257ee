"""One stream of the relay after its handshake: messages in, frames out, and back. No I/O, no clock.

A message is sent after its length in four bytes; what results is cut into records, each of which is one
message of the encrypted channel in one frame. Whatever cannot be right ends the stream and nothing else.

Nothing of the relay lets a receiver say that it is too fast for it, so that the released exec-server has to
be taken as it comes, up to a limit. Two sides of this project go by a window: who sends an ack promises
to send more of them as it consumes, and from the first one on it is sent no more than the window ahead.
An ack is not protected: whoever forges one can stop the stream, as they can anyway, and no more than that.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from executors.transport.noise import TAG_BYTES, Channel
from executors.transport.noise_keys import NoiseError
from executors.transport.relay_frames import MAX_SEQ, Data

MAX_RECORD_BYTES = 60 * 1024
"""Of plaintext."""
MAX_GAP = 64
"""So many records may come before one that is missing."""
WINDOW = 256
"""Records that may be under way to a receiver which acks."""
ACK_EVERY = WINDOW // 8
_LENGTH = struct.Struct(">I")
_MAX_CIPHERTEXT_BYTES = 65535


@dataclass(frozen=True)
class StreamLimits:
    """What a stream may hold.

    :ivar message_bytes: a longer message is neither sent nor taken.
    :ivar unread_bytes: of records that came while reading is paused; more end the stream.
    :ivar kept_bytes: of memory, which it keeps for the next message of many records.
    """

    message_bytes: int = 64 * 1024 * 1024
    unread_bytes: int = 64 * 1024 * 1024
    kept_bytes: int = 64 * 1024


class StreamError(Exception):
    """The stream cannot go on; the text is fit for a log."""


class InOrder:
    """Puts records in order and drops those it has had; *next_seq* is the one that it waits for.

    :raises StreamError: a record is more than *max_gap* ahead, or numbers have run out.
    """

    def __init__(self, max_gap: int = MAX_GAP, next_seq: int = 0) -> None:
        self._max_gap = max_gap
        self.next_seq = next_seq
        self._early: dict[int, bytes] = {}

    def take(self, seq: int, record: bytes) -> list[bytes]:
        """What can be used from now on, in order."""
        if seq < self.next_seq or seq in self._early:
            return []
        if seq - self.next_seq > self._max_gap:
            raise StreamError(f"record {seq} came while {self.next_seq} is missing")
        self._early[seq] = record
        usable = []
        while (found := self._early.pop(self.next_seq, None)) is not None:
            usable.append(found)
            self.next_seq += 1
        return usable

    @property
    def missing(self) -> int | None:
        """The number of a record that later ones wait for; None if none do."""
        return self.next_seq if self._early else None


class Assembler:
    """Makes messages of the bytes in records, never holding more than one message's.

    :raises StreamError: a message is announced that is too long.
    """

    def __init__(self, max_message_bytes: int, kept_bytes: int = 0) -> None:
        self._max_message_bytes = max_message_bytes
        self._kept_bytes = kept_bytes
        self._buffer = bytearray()
        # So much of its beginning is in use.
        self._held = 0
        self._needed: int | None = None

    def take(self, plaintext: bytes) -> list[bytes]:
        """The messages that *plaintext* ends."""
        if not self._held and self._needed is None and len(plaintext) >= _LENGTH.size:
            # Nearly always a record is one message.
            (length,) = _LENGTH.unpack_from(plaintext)
            if length == len(plaintext) - _LENGTH.size and length <= self._max_message_bytes:
                return [plaintext[_LENGTH.size :]]
        self._hold(plaintext)
        messages = []
        at = 0
        while True:
            if self._needed is None:
                if self._held - at < _LENGTH.size:
                    break
                (length,) = _LENGTH.unpack_from(self._buffer, at)
                if length > self._max_message_bytes:
                    raise StreamError(f"a message of {length} bytes: at most {self._max_message_bytes}")
                at += _LENGTH.size
                self._needed = length
            if self._held - at < self._needed:
                break
            with memoryview(self._buffer) as view:
                messages.append(bytes(view[at : at + self._needed]))
            at += self._needed
            self._needed = None
        if at:
            self._drop(at)
        return messages

    def _hold(self, plaintext: bytes) -> None:
        end = self._held + len(plaintext)
        # It grows where that is beyond its end.
        self._buffer[self._held : end] = plaintext
        self._held = end

    def _drop(self, size: int) -> None:
        """Forgets what comes first."""
        left = self._buffer[size : self._held]
        self._held = len(left)
        if len(self._buffer) > self._kept_bytes:
            self._buffer = left
        else:
            self._buffer[: self._held] = left


class Cutter:
    """Messages that wait to be sent, as records."""

    def __init__(self, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._max_record_bytes = max_record_bytes
        self._waiting: deque[memoryview] = deque()
        self.size = 0
        """Bytes that wait."""

    def add(self, message: bytes) -> None:
        self._waiting.append(memoryview(_LENGTH.pack(len(message))))
        if message:
            self._waiting.append(memoryview(message))
        self.size += _LENGTH.size + len(message)

    def next_record(self) -> bytes:
        """The next bytes, of several small messages where they fit; empty if nothing waits."""
        parts: list[memoryview] = []
        room = self._max_record_bytes
        while room and self._waiting:
            first = self._waiting.popleft()
            if len(first) > room:
                self._waiting.appendleft(first[room:])
                first = first[:room]
            parts.append(first)
            room -= len(first)
        record = b"".join(parts)
        self.size -= len(record)
        return record

    def clear(self) -> None:
        self._waiting.clear()
        self.size = 0


class SecureStream:
    """Both directions of a stream.

    An empty message means that its sender is done with the stream, and is the last. Any error is the
    end: afterwards everything raises.

    """

    def __init__(self, channel: Channel, limits: StreamLimits) -> None:
        self._channel = channel
        self._limits = limits
        self._over = False
        # Receiving.
        self._order = InOrder()
        self._assembler = Assembler(limits.message_bytes, limits.kept_bytes)
        self._records: deque[bytes] = deque()
        self._record_bytes = 0
        self._messages: deque[bytes] = deque()
        self._consumed = 0
        self._acked = -1
        self.reading_paused = False
        """While it is set, no message is handed out."""
        # Sending.
        self._cutter = Cutter()
        self._next_seq = 0
        self._window_end: int | None = None

    # Receiving.

    def take(self, data: Data) -> None:
        """Takes a frame's data; ask for messages afterwards.

        :raises StreamError: it cannot be right, or too much is unread.
        """
        self._check()
        try:
            size = len(data.payload)
            if not TAG_BYTES <= size <= _MAX_CIPHERTEXT_BYTES:
                raise StreamError(f"a record of {size} bytes")
            for record in self._order.take(data.seq, data.payload):
                self._records.append(record)
                self._record_bytes += len(record)
            if self.reading_paused and self._record_bytes > self._limits.unread_bytes:
                raise StreamError(f"more than {self._limits.unread_bytes} bytes are unread")
        except StreamError:
            self.end()
            raise

    def next_message(self) -> bytes | None:
        """The next message, or None if there is none, or reading is paused.

        :raises StreamError: what came is forged, damaged or malformed.
        """
        self._check()
        try:
            while not self.reading_paused:
                if self._messages:
                    return self._messages.popleft()
                if not self._records:
                    break
                record = self._records.popleft()
                self._record_bytes -= len(record)
                self._messages.extend(self._assembler.take(self._channel.decrypt(record)))
                self._consumed += 1
        except (NoiseError, StreamError) as error:
            self.end()
            raise StreamError(str(error)) from None
        return None

    @property
    def missing(self) -> int | None:
        """See :attr:`InOrder.missing`."""
        return self._order.missing

    def next_ack(self) -> int | None:
        """What to ack now, if anything: at first nothing was consumed, then now and then more."""
        if self._acked >= 0 and self._consumed - self._acked < ACK_EVERY:
            return None
        self._acked = self._consumed
        return self._acked

    # Sending.

    @property
    def unsent_bytes(self) -> int:
        """Of messages that were sent and have not become frames yet."""
        return self._cutter.size

    def send(self, message: bytes) -> None:
        """Queues a message.

        :raises StreamError: it is too long for the peer; nothing of it was queued, and the stream goes on.
        """
        self._check()
        if len(message) > self._limits.message_bytes:
            raise StreamError(f"a message of {len(message)} bytes: at most {self._limits.message_bytes}")
        self._cutter.add(message)

    @property
    def can_send(self) -> bool:
        """Whether :meth:`next_data` has something, and the peer can take it."""
        window_open = self._window_end is None or self._next_seq < self._window_end
        return bool(self._cutter.size) and window_open and not self._over

    def next_data(self) -> Data:
        """What to send next; only while :attr:`can_send`.

        :raises StreamError: the stream is used up.
        """
        self._check()
        if self._next_seq > MAX_SEQ:
            self.end()
            raise StreamError("a stream is used up: no number is left")
        data = Data(self._next_seq, self._channel.encrypt(self._cutter.next_record()))
        self._next_seq += 1
        return data

    def ack_received(self, next_seq: int) -> None:
        """The peer has consumed all below *next_seq*; an ack of what was not sent counts for nothing."""
        if next_seq <= self._next_seq:
            end = next_seq + WINDOW
            self._window_end = end if self._window_end is None else max(self._window_end, end)

    def end(self) -> None:
        """Nothing goes in or out any more."""
        self._over = True
        self._records.clear()
        self._messages.clear()
        self._cutter.clear()

    def _check(self) -> None:
        if self._over:
            raise StreamError("this stream is over")
