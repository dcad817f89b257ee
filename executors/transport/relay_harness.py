"""The harness's end of the relay: one stream on a physical connection of its own. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from executors.transport import relay_frames as frames
from executors.transport.noise import Initiator, Prologue, Refused
from executors.transport.noise_keys import KeyPair, NoiseError, PublicKey, Randomness, SystemRandomness
from executors.transport.relay_endpoint import Endpoint, Event
from executors.transport.relay_stream import StreamLimits

# To have memory anew for each block of a file, or of output, costs more than all that is done with it.
_LIMITS = StreamLimits(kept_bytes=4 * 1024 * 1024)


@dataclass(frozen=True)
class NotOpened(Event):
    """The handshake has failed.

    :ivar refused: the executor says that the registry would not have it; a fresh bundle may do.
    """

    reason: str
    refused: bool


class HarnessRelay(Endpoint):
    """The stream and its handshake, whose first message is the first frame.

    :param keys: the harness's; fresh ones for each connection are best.
    :param executor: the executor's key, as the registry told it.
    :raises NoiseError: the key is of no use, or the authorization too long.
    """

    def __init__(
        self,
        keys: KeyPair,
        executor: PublicKey,
        prologue: Prologue,
        authorization: bytes,
        limits: StreamLimits = _LIMITS,
        randomness: Randomness = SystemRandomness(),  # noqa: B008 - it holds nothing
    ) -> None:
        super().__init__(limits)
        self._stream_id = prologue.stream_id
        self._initiator: Initiator | None = Initiator(keys, executor, prologue, randomness)
        offer = self._initiator.offer(authorization)
        self._control.append(frames.encode(self._stream_id, frames.Handshake(offer)))

    def receive(self, message: bytes) -> None:
        """Takes one frame. What is no frame of this stream counts for nothing."""
        try:
            stream_id, body = frames.decode(message)
        except frames.FrameError as error:
            if error.stream_id == self._stream_id:
                self._fail(str(error))
            return
        if stream_id != self._stream_id:
            return
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._take(stream, body)
        elif self._initiator is not None:
            self._answered(self._initiator, body)

    def _answered(self, initiator: Initiator, body: frames.Body) -> None:
        match body:
            case frames.Handshake(answer):
                try:
                    channel = initiator.finish(answer)
                except NoiseError as error:
                    self._fail(str(error), isinstance(error, Refused))
                else:
                    self._initiator = None
                    self._open(self._stream_id, channel)
            case frames.Reset(reason):
                self._initiator = None
                self._events.append(NotOpened(f"reset by the other side: {reason}", False))
            case frames.Data():
                self._fail("data came before the handshake was answered")

    def _fail(self, reason: str, refused: bool = False) -> None:
        stream = self._streams.get(self._stream_id)
        if stream is not None:
            self._break(stream, reason)
        elif self._initiator is not None:
            self._initiator = None
            if not refused:
                self._control.append(frames.encode(self._stream_id, frames.Reset(frames.PROTOCOL_ERROR)))
            self._events.append(NotOpened(reason, refused))
