"""One physical connection to the rendezvous: its WebSocket, and a transport for each stream on it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed

from executors.remote.dial import CLOSE_SECONDS, dial, reason_of
from executors.remote.wire import Wire
from executors.transport import relay_endpoint
from executors.transport.base import Receiver, ReceiverFactory
from executors.transport.relay_endpoint import Ended, Event, Opened, Readable, RelayStream
from executors.transport.relay_executor import ExecutorRelay, Failed, Pending, Validate, Verdict, Withdrawn

PING_SECONDS = 10.0
PONG_SECONDS = 20.0
"""A rendezvous that leaves a ping unanswered for so long is dead.

It is longer than what an executor may be busy for, which finds the answer then; and so short that it is back
before a harness gives up, which notices after 10 s at the earliest and tries for 25 s."""
_GOING_AWAY = 1001
# Of each stream.
_SEND_HIGH_WATER = 1024 * 1024
_SEND_LOW_WATER = 256 * 1024

_log = logging.getLogger(__name__)


class StreamTransport:
    """One stream; see :class:`executors.transport.base.Transport`."""

    def __init__(self, link: RelayLink, stream: RelayStream) -> None:
        self._link = link
        self.stream = stream
        self.receiver: Receiver
        self.largest_message: int | None = link.relay.largest_message
        self.writing_paused = False
        """The receiver has been told to wait."""

    @property
    def ended_in_order(self) -> bool:
        return self.stream.ended_in_order

    def send(self, message: bytes) -> None:
        self._link.relay.send(self.stream, message)
        self._link.settle()
        if not self.writing_paused and self.stream.unsent_bytes > _SEND_HIGH_WATER:
            self._link.pause_writing_of(self)

    def send_buffer_size(self) -> int:
        return self.stream.unsent_bytes

    def pause_reading(self) -> None:
        self._link.relay.pause_reading(self.stream)

    def resume_reading(self) -> None:
        self._link.relay.resume_reading(self.stream)
        # Not from here: the caller is in the middle of something.
        asyncio.get_running_loop().call_soon(self._link.read, self)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._link.relay.close(self.stream, f"{code} {reason}".rstrip())
        self._link.settle()

    def abort(self) -> None:
        self._link.relay.reset(self.stream, "aborted")
        self._link.settle()


class RelayLink:
    """The connection; :meth:`run` holds it until it ends.

    :param make_receiver: makes a receiver for each stream that is opened.
    :param validate: asks the registry whether a harness may connect; raises nothing.
    """

    def __init__(
        self,
        relay: ExecutorRelay,
        make_receiver: ReceiverFactory,
        validate: Callable[[Pending], Coroutine[Any, Any, Verdict]],
    ) -> None:
        self.relay = relay
        self._make_receiver = make_receiver
        self._validate = validate
        self._loop = asyncio.get_running_loop()
        self._transports: dict[RelayStream, StreamTransport] = {}
        self._waiting_writers: dict[StreamTransport, None] = {}
        self._validations: dict[Pending, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup
        self._socket: Wire
        self._settling = False
        self._over = False
        self._reason = ""

    async def run(self, url: str, tls: ssl.SSLContext | None, on_connected: Callable[[], None]) -> str:
        """Dials *url* and serves until the connection ends; returns why it did.

        :param tls: for wss; None for the system's certificates.
        :raises DialError: there is no connection.
        """
        self._socket = await dial(url, tls, ping_seconds=PING_SECONDS, pong_seconds=PONG_SECONDS)
        try:
            on_connected()
            async with asyncio.TaskGroup() as self._tasks:
                looking = self._tasks.create_task(self._look_for_gaps())
                try:
                    self._socket.start(self)
                    await self._socket.wait_closed()
                finally:
                    self._socket.send_now()
                    looking.cancel()
                    self._lose()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._socket.close(_GOING_AWAY)
            self._socket.transport.abort()
        return self._reason

    async def _look_for_gaps(self) -> None:
        while True:
            await asyncio.sleep(relay_endpoint.GAP_SECONDS)
            self.relay.look_for_gaps()
            self.settle()

    # What the connection does.

    def frame_received(self, frame: bytes) -> None:
        self.relay.receive(frame, self._loop.time())
        self._tell()

    def next_frame(self) -> bytes | None:
        frame = self.relay.next_frame()
        if frame is None:
            self._tell()
        return frame

    def frame_sent(self) -> None:
        self._tell()

    def wire_failed(self, reason: str) -> None:
        self._reason = self._reason or reason

    def wire_lost(self, error: ConnectionClosed) -> None:
        self._reason = self._reason or reason_of(error)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """What goes wrong within costs the connection, not the executor."""
        try:
            yield
        except Exception:
            _log.exception("unexpected error in the relay: the connection is dropped")
            self._reason = "an unexpected error"
            self._socket.transport.abort()

    # What the streams do.

    def read(self, transport: StreamTransport) -> None:
        """Hands a stream's messages to its receiver."""
        while (message := self.relay.next_message(transport.stream)) is not None:
            transport.receiver.message_received(message)
        self.settle()

    def pause_writing_of(self, transport: StreamTransport) -> None:
        transport.writing_paused = True
        self._waiting_writers[transport] = None
        transport.receiver.pause_writing()

    def settle(self) -> None:
        """To be called when something was done with the relay: tells what has happened, and sends."""
        self._tell()
        self._socket.send_soon()

    def _tell(self) -> None:
        """Tells what has happened, until there is nothing more."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._tell_events() or self._resume_writers():
                pass
        finally:
            self._settling = False

    def _tell_events(self) -> bool:
        events = self.relay.take_events()
        for event in events:
            self._tell_event(event)
        return bool(events)

    def _tell_event(self, event: Event) -> None:
        match event:
            case Readable(stream) if stream in self._transports:
                self.read(self._transports[stream])
            case Opened(stream):
                transport = StreamTransport(self, stream)
                self._transports[stream] = transport
                transport.receiver = self._make_receiver(transport)
                _log.info("stream %r: opened", stream.stream_id)
            case Ended(stream, reason) if stream in self._transports:
                transport = self._transports.pop(stream)
                self._waiting_writers.pop(transport, None)
                _log.info("stream %r: ended: %s", stream.stream_id, reason)
                # Not from here: the receiver may be in the middle of sending.
                self._loop.call_soon(transport.receiver.connection_lost)
            case Validate(pending) if not self._over:
                self._validations[pending] = self._tasks.create_task(self._ask(pending))
            case Withdrawn(pending) if pending in self._validations:
                self._validations.pop(pending).cancel()
            case Failed(stream_id, reason):
                _log.warning("stream %r: handshake failed: %s", stream_id, reason)

    def _resume_writers(self) -> bool:
        drained = [each for each in self._waiting_writers if each.stream.unsent_bytes <= _SEND_LOW_WATER]
        for transport in drained:
            del self._waiting_writers[transport]
            transport.writing_paused = False
            transport.receiver.resume_writing()
        return bool(drained)

    async def _ask(self, pending: Pending) -> None:
        verdict = await self._validate(pending)
        self._validations.pop(pending, None)
        with self._guard():
            self.relay.validated(pending, verdict, self._loop.time())
            self.settle()

    def _lose(self) -> None:
        """All streams have ended with the connection; their sessions wait for another."""
        self._over = True
        for validation in self._validations.values():
            validation.cancel()
        self.relay.lost(self._reason or "this executor ends")
        self._tell()
