"""The executor's end of the relay: many streams on one physical connection. No I/O; the time is handed in.

A stream begins with the first message of a handshake. Whether its sender may connect is asked of the
registry by whoever does the I/O; until the answer nothing is sent. What goes wrong on a stream ends that
stream and none besides.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from executors.transport import relay_frames as frames
from executors.transport.noise import Offer, Prologue, Responder
from executors.transport.noise_keys import KeyPair, NoiseError, Randomness, SystemRandomness
from executors.transport.relay_endpoint import Endpoint, Event, RelayStream
from executors.transport.relay_stream import StreamLimits

BUSY = "too_many_streams"
"""The reason of a reset that another attempt may not get."""
UNAVAILABLE = "registry_unavailable"
"""That of one for a handshake which the registry said nothing of; another attempt may go better."""
_RESET_BACK = "reset_by_the_other_side"
# Who sends garbage and does not read is not answered for ever.
_MAX_CONTROL_FRAMES = 4096
_REMEMBERED_OFFERS = 65536
_REMEMBERED_STREAMS = 1024


@dataclass(frozen=True)
class Limits:
    """How much of one physical connection is borne.

    :ivar streams: open ones, and handshakes under way.
    :ivar handshakes: of these, under way at a time.
    :ivar failures: so many failed handshakes, and for *failure_seconds* no other is begun.
    """

    stream: StreamLimits = field(default_factory=StreamLimits)
    streams: int = 1024
    handshakes: int = 32
    failures: int = 8
    failure_seconds: float = 10.0


class Verdict(Enum):
    """What the registry says of a harness."""

    VALID = "valid"
    INVALID = "invalid"
    UNAUTHENTICATED = "the registry refused its authentication"
    UNKNOWN = "no answer"


class Replays:
    """First messages that were taken by one executor; each is good once.

    Hours of as many failed handshakes as are borne do not make it forget one.
    """

    def __init__(self, remembered: int = _REMEMBERED_OFFERS) -> None:
        self._remembered = remembered
        self._digests: dict[bytes, None] = {}

    def is_new(self, message: bytes) -> bool:
        digest = hashlib.sha256(message).digest()
        if digest in self._digests:
            return False
        self._digests[digest] = None
        if len(self._digests) > self._remembered:
            del self._digests[next(iter(self._digests))]
        return True


class Pending:
    """A handshake that waits for the registry."""

    def __init__(self, stream_id: str, responder: Responder, offer: Offer) -> None:
        self.stream_id = stream_id
        self.responder = responder
        self.offer = offer

    def __repr__(self) -> str:
        return f"Pending({self.stream_id!r}, {self.offer.harness!r})"


@dataclass(frozen=True)
class Validate(Event):
    """The registry has to be asked of *pending*; tell :meth:`ExecutorRelay.validated` what it says."""

    pending: Pending


@dataclass(frozen=True)
class Withdrawn(Event):
    """The answer for *pending* is of no use any more."""

    pending: Pending


@dataclass(frozen=True)
class Failed(Event):
    """A handshake failed.

    :ivar reason: for a log.
    """

    stream_id: str
    reason: str


class ExecutorRelay(Endpoint):
    """All streams of one physical connection.

    :param keys: the executor's identity.
    :param registration_id: under which the physical connection was made.
    :param replays: shared by all physical connections of these keys.
    """

    def __init__(
        self,
        keys: KeyPair,
        environment_id: str,
        registration_id: str,
        replays: Replays,
        limits: Limits = Limits(),
        randomness: Randomness = SystemRandomness(),  # noqa: B008 - it holds nothing
    ) -> None:
        super().__init__(limits.stream)
        self._keys = keys
        self._environment_id = environment_id
        self._registration_id = registration_id
        self._replays = replays
        self._bounds = limits
        self._randomness = randomness
        self._pending: dict[str, Pending] = {}
        # Streams that have ended: data for them may have been under way, and its sender knows or will.
        self._gone: dict[str, None] = {}
        self._failures = 0
        self._refusing_until = 0.0

    def receive(self, message: bytes, now: float) -> None:
        """Takes one frame, at *now*, seconds of any monotonic clock. What is no frame counts for nothing."""
        try:
            stream_id, body = frames.decode(message)
        except frames.FrameError as error:
            if error.stream_id is not None:
                self._malformed(error.stream_id, str(error), now)
            return
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._take(stream, body)
        elif stream_id in self._pending:
            self._take_pending(self._pending[stream_id], body, now)
        elif isinstance(body, frames.Handshake):
            self._begin(stream_id, body.payload, now)
        elif isinstance(body, frames.Data) and stream_id not in self._gone:
            self._refuse(stream_id)

    def validated(self, pending: Pending, verdict: Verdict, now: float) -> None:
        """The registry has answered, or did not in time; without effect after :class:`Withdrawn`."""
        if self._pending.get(pending.stream_id) is not pending:
            return
        del self._pending[pending.stream_id]
        if verdict is Verdict.VALID:
            try:
                answer, channel = pending.responder.accept()
            except NoiseError as error:
                self._fail(pending.stream_id, str(error), now)
                return
            self._control.append(frames.encode(pending.stream_id, frames.Handshake(answer)))
            self._open(pending.stream_id, channel)
        elif verdict is Verdict.UNAUTHENTICATED:
            try:
                answer = pending.responder.refuse()
            except NoiseError as error:
                self._fail(pending.stream_id, str(error), now)
                return
            self._control.append(frames.encode(pending.stream_id, frames.Handshake(answer)))
            self._events.append(Failed(pending.stream_id, verdict.value))
        elif verdict is Verdict.INVALID:
            self._fail(pending.stream_id, "the registry does not know this harness", now)
        else:
            # No fault of the harness: it counts for nothing.
            self._refuse(pending.stream_id, UNAVAILABLE)
            self._events.append(Failed(pending.stream_id, "the registry did not say whether it may connect"))

    def lost(self, reason: str) -> None:
        self._events += [Withdrawn(pending) for pending in self._pending.values()]
        self._pending.clear()
        super().lost(reason)

    def _end(self, stream: RelayStream, reason: str) -> None:
        super()._end(stream, reason)
        if stream.reset_reason is not None:
            # Should the harness know nothing of it, it would wait for ever.
            self._refuse(stream.stream_id, _RESET_BACK)
        self._gone.pop(stream.stream_id, None)
        self._gone[stream.stream_id] = None
        if len(self._gone) > _REMEMBERED_STREAMS:
            del self._gone[next(iter(self._gone))]

    def _begin(self, stream_id: str, message: bytes, now: float) -> None:
        if now < self._refusing_until:
            self._refuse(stream_id)
            return
        if (
            len(self._pending) >= self._bounds.handshakes
            or len(self._pending) + len(self._streams) >= self._bounds.streams
        ):
            self._refuse(stream_id, BUSY)
            return
        prologue = Prologue(self._environment_id, self._registration_id, stream_id)
        responder = Responder(self._keys, prologue, self._randomness)
        try:
            offer = responder.take_offer(message)
            if not self._replays.is_new(message):
                raise NoiseError("this first message was taken before")
        except NoiseError as error:
            self._fail(stream_id, str(error), now)
            return
        self._pending[stream_id] = Pending(stream_id, responder, offer)
        self._events.append(Validate(self._pending[stream_id]))

    def _take_pending(self, pending: Pending, body: frames.Body, now: float) -> None:
        """A frame for a stream whose handshake is under way: it should wait."""
        if isinstance(body, frames.Ack | frames.Other):
            return
        del self._pending[pending.stream_id]
        self._events.append(Withdrawn(pending))
        if isinstance(body, frames.Reset):
            # Or who begins and withdraws could have the registry asked without end.
            reason = "withdrawn before it was answered" + self._count_failure(now)
            self._events.append(Failed(pending.stream_id, reason))
        else:
            self._fail(pending.stream_id, "something came before the handshake was answered", now)

    def _malformed(self, stream_id: str, reason: str, now: float) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._break(stream, reason)
        elif stream_id in self._pending:
            self._events.append(Withdrawn(self._pending.pop(stream_id)))
            self._fail(stream_id, reason, now)

    def _fail(self, stream_id: str, reason: str, now: float) -> None:
        """A handshake failed for what its sender did."""
        self._refuse(stream_id)
        self._events.append(Failed(stream_id, reason + self._count_failure(now)))

    def _count_failure(self, now: float) -> str:
        """Returns what a log should say besides."""
        self._failures += 1
        if self._failures < self._bounds.failures:
            return ""
        self._failures = 0
        self._refusing_until = now + self._bounds.failure_seconds
        return f"; none is taken for {self._bounds.failure_seconds:g} s"

    def _refuse(self, stream_id: str, reason: str = frames.PROTOCOL_ERROR) -> None:
        if len(self._control) < _MAX_CONTROL_FRAMES:
            self._control.append(frames.encode(stream_id, frames.Reset(reason)))
