"""One physical connection to the rendezvous: its WebSocket, and a transport for each stream on it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from picows import (
    WSCloseCode,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)

from executors.transport.base import Receiver, ReceiverFactory
from executors.transport.keepalive import Due, Keepalive
from executors.transport.relay_endpoint import Ended, Event, Opened, Readable, RelayStream
from executors.transport.relay_executor import ExecutorRelay, Failed, Pending, Validate, Verdict, Withdrawn
from executors.transport.relay_frames import MAX_FRAME_BYTES

CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
# Of the socket that all streams share, and of each stream.
_SEND_HIGH_WATER = 1024 * 1024
_SEND_LOW_WATER = 256 * 1024

_log = logging.getLogger(__name__)


class DialError(Exception):
    """The rendezvous cannot be reached, or would not have us; the text does not hold the URL.

    :ivar status: of its refusal, if it gave one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class StreamTransport:
    """One stream; see :class:`executors.transport.base.Transport`."""

    def __init__(self, link: RelayLink, stream: RelayStream) -> None:
        self._link = link
        self.stream = stream
        self.receiver: Receiver
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


class RelayLink(WSListener):
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
        self._keepalive = Keepalive(self._loop.time())
        self._transports: dict[RelayStream, StreamTransport] = {}
        self._waiting_writers: dict[StreamTransport, None] = {}
        self._validations: dict[Pending, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup
        self._socket: WSTransport | None = None
        self._stream: asyncio.Transport
        self._socket_full = False
        self._settling = False
        self._fragments = bytearray()
        self._in_message = False
        self._ended = asyncio.Event()
        self._reason = "the rendezvous closed the connection"

    async def run(self, url: str, tls: ssl.SSLContext | None, on_connected: Callable[[], None]) -> str:
        """Dials *url* and serves until the connection ends; returns why it did.

        :param tls: for wss; None for the system's certificates.
        :raises DialError: there is no connection.
        """
        await self._dial(url, tls)
        try:
            on_connected()
            async with asyncio.TaskGroup() as self._tasks:
                watch = self._tasks.create_task(self._keep_alive())
                try:
                    await self._ended.wait()
                finally:
                    watch.cancel()
                    self._lose()
        finally:
            await self._close()
        return self._reason

    async def _dial(self, url: str, tls: ssl.SSLContext | None) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await ws_connect(
                    lambda: self,
                    url,
                    ssl_context=tls,
                    websocket_handshake_timeout=CONNECT_SECONDS,
                    max_frame_size=MAX_FRAME_BYTES,
                    extra_headers={"X-Request-ID": f"req_{secrets.token_hex(16)}"},
                    max_redirects=0,
                )
        except WSHandshakeError as error:
            status = None if error.response is None else int(error.response.status)
            said = "broke off the handshake" if status is None else f"answered with status {status}"
            raise DialError(f"the rendezvous {said}", status) from None
        except TimeoutError:
            raise DialError(f"the rendezvous did not answer within {CONNECT_SECONDS:g} s") from None
        except OSError as error:
            raise DialError(f"cannot reach the rendezvous: {error}") from None

    # What the WebSocket tells.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._socket = transport
        self._stream = transport.underlying_transport
        self._stream.set_write_buffer_limits(high=_SEND_HIGH_WATER, low=_SEND_LOW_WATER)
        self._keepalive.heard(self._loop.time())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._keepalive.heard(self._loop.time())
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._reason = f"the rendezvous closed the connection with code {frame.get_close_code()}"
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._take_fragment(frame)
        elif kind == WSMsgType.TEXT:
            raise WSProtocolError(WSCloseCode.UNSUPPORTED_DATA, "frames of the relay are binary")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._ended.set()

    def pause_writing(self) -> None:
        self._socket_full = True

    def resume_writing(self) -> None:
        self._socket_full = False
        self.settle()

    def _take_fragment(self, frame: WSFrame) -> None:
        if (frame.msg_type == WSMsgType.CONTINUATION) != self._in_message:
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "fragments are out of order")
        if frame.fin and not self._in_message:
            self._take(frame.get_payload_as_bytes())
            return
        if len(self._fragments) + frame.payload_size > MAX_FRAME_BYTES:
            raise WSProtocolError(
                WSCloseCode.MESSAGE_TOO_BIG, f"message of more than {MAX_FRAME_BYTES} bytes"
            )
        self._in_message = not frame.fin
        self._fragments += frame.get_payload_as_memoryview()
        if frame.fin:
            message, self._fragments = bytes(self._fragments), bytearray()
            self._take(message)

    def _take(self, message: bytes) -> None:
        with self._guard():
            self.relay.receive(message, self._loop.time())
            self.settle()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # picows would say nothing of it.
            _log.exception("unexpected error in the relay: the connection is dropped")
            self._reason = "an unexpected error"
            self._abort()

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
        """Sends what can be sent and tells what has happened, until there is neither."""
        if self._settling:
            return
        self._settling = True
        try:
            while self._send_frames() or self._tell_events() or self._resume_writers():
                pass
        finally:
            self._settling = False

    def _send_frames(self) -> bool:
        sent = False
        while self._socket is not None and not self._socket_full and not self._stream.is_closing():
            frame = self.relay.next_frame()
            if frame is None:
                break
            self._socket.send(WSMsgType.BINARY, frame)
            sent = True
        return sent

    def _tell_events(self) -> bool:
        events = self.relay.take_events()
        for event in events:
            self._tell(event)
        return bool(events)

    def _tell(self, event: Event) -> None:
        match event:
            case Readable(stream) if stream in self._transports:
                self.read(self._transports[stream])
            case Opened(stream):
                transport = StreamTransport(self, stream)
                self._transports[stream] = transport
                transport.receiver = self._make_receiver(transport)
                _log.info("stream %s: opened", stream.stream_id)
            case Ended(stream, reason) if stream in self._transports:
                transport = self._transports.pop(stream)
                self._waiting_writers.pop(transport, None)
                _log.info("stream %s: ended: %s", stream.stream_id, reason)
                # Not from here: the receiver may be in the middle of sending.
                self._loop.call_soon(transport.receiver.connection_lost)
            case Validate(pending):
                self._validations[pending] = self._tasks.create_task(self._ask(pending))
            case Withdrawn(pending) if pending in self._validations:
                self._validations.pop(pending).cancel()
            case Failed(stream_id, reason):
                _log.warning("stream %s: handshake failed: %s", stream_id, reason)

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

    # The end.

    async def _keep_alive(self) -> None:
        assert self._socket is not None
        while True:
            await asyncio.sleep(max(0.0, self._keepalive.deadline - self._loop.time()))
            match self._keepalive.due(self._loop.time()):
                case Due.PING:
                    self._socket.send_ping()
                case Due.DROP:
                    self._reason = "nothing came from the rendezvous for too long"
                    self._abort()
                    return
                case Due.NOTHING:
                    continue

    def _lose(self) -> None:
        """All streams have ended with the connection; their sessions wait for another."""
        for validation in self._validations.values():
            validation.cancel()
        self.relay.lost(self._reason)
        self.settle()

    async def _close(self) -> None:
        """Lets what was sent go out, if the connection is still there."""
        if self._socket is not None and not self._ended.is_set():
            self._socket.send_close(WSCloseCode.GOING_AWAY)
            self._socket.disconnect()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._ended.wait()
        self._abort()

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.disconnect(graceful=False)
