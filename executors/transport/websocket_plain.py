"""WebSocket by the sans-I/O protocol of the library websockets; see :mod:`executors.transport.websocket`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from http import HTTPStatus
from typing import Any, Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, Side, State
from websockets.server import ServerProtocol

from executors.transport.base import Receiver, ReceiverFactory
from executors.transport.linger import Linger, linger_on
from executors.transport.websocket import (
    HANDSHAKE_SECONDS,
    LINGER_SECONDS,
    NORMAL_CLOSURE,
    SEND_HIGH_WATER,
    SEND_LOW_WATER,
    SILENCE,
    Authorize,
    Limits,
    answer_to,
    cut_reason,
    reason_of_silence,
    silent_log,
)

# A server's answer to a close without a code as websockets has it, and as it is sent.
_CLOSE_WITHOUT_CODE: Final = Frame(Opcode.CLOSE, b"").serialize(mask=False)
_NORMAL_CLOSE: Final = Frame(Opcode.CLOSE, NORMAL_CLOSURE.to_bytes(2, "big")).serialize(mask=False)
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
# What is taken in at once becomes so many objects, if it is tiny fragments.
_PIECE_BYTES: Final = 64 * 1024


def max_size(limits: Limits) -> tuple[int, int]:
    """Returns the limits as a protocol of websockets takes them."""
    return limits.message_bytes, limits.largest_frame


class PlainTransport(asyncio.Protocol, ABC):
    """One WebSocket connection; see :class:`executors.transport.base.Transport`.

    Either side of a connection can use it; what its handshake is, a subclass knows.
    """

    largest_message: int | None = None

    def __init__(self, limits: Limits, protocol: Protocol, make_receiver: ReceiverFactory) -> None:
        self._limits = limits
        self._protocol = protocol
        self._masks = protocol.side is Side.CLIENT
        self._make_receiver = make_receiver
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        self._fragments = bytearray()
        self._in_message = False
        self._reading_paused = False
        self._owed_pong: bytes | None = None
        self._ends_by_choice = False
        self._linger: Linger | None = None
        self._heard = 0.0
        self._awaits_pong = False
        # Of the handshake, then of the next look at the peer's silence, or of the pong.
        self._timer: asyncio.TimerHandle | None = None
        self._stream: asyncio.Transport
        self._receiver: Receiver

    @abstractmethod
    def shake_hands(self, event: Request | Response) -> None:
        """Takes what the peer has said; calls :meth:`opened` if the handshake is over."""

    @abstractmethod
    def not_opened(self) -> None:
        """The connection has ended in its handshake."""

    def opened(self) -> None:
        self._is_open = True
        self._receiver = self._make_receiver(self)
        self._end_timer()
        self._look_again()

    @property
    def ended_in_order(self) -> bool:
        """See :class:`executors.transport.base.Transport`."""
        close = self._protocol.close_rcvd
        return close is not None and close.code == NORMAL_CLOSURE

    def send(self, message: bytes) -> None:
        self.send_frame(Frame(Opcode.TEXT, message))

    def send_frame(self, frame: Frame) -> None:
        # Not by the protocol: that has heard already of a close that comes behind what is answered here.
        if not self._stream.is_closing():
            self._stream.write(frame.serialize(mask=self._masks))

    def send_buffer_size(self) -> int:
        return self._stream.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._reading_paused = True
        self._peer_lives()
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        self._reading_paused = False
        if not self._stream.is_closing():
            self._stream.resume_reading()

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._ends_by_choice = True
        self._say_close(code, cut_reason(reason))
        self._stream.close()

    def abort(self) -> None:
        self._ends_by_choice = True
        if self._linger is not None:
            self._linger.end()
        self._stream.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = transport
        self._stream.set_write_buffer_limits(high=SEND_HIGH_WATER, low=SEND_LOW_WATER)

    def data_received(self, data: bytes) -> None:
        self._peer_lives()
        for start in range(0, len(data), _PIECE_BYTES):
            self._take(data[start : start + _PIECE_BYTES])
            if self._stream.is_closing():
                break

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        if not self._is_open:
            self.not_opened()
        elif self._protocol.parser_exc is None or self._ends_by_choice or self._masks:
            self._receiver.connection_lost()
        else:
            # The peer may be in the middle of what it must not send.
            self._linger = linger_on(self._stream, LINGER_SECONDS, self._receiver.connection_lost)

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        if self._owed_pong is not None:
            self._stream.write(self._owed_pong)
            self._owed_pong = None
        self._receiver.resume_writing()

    # What has come.

    def _take(self, data: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        if not protocol.close_expected():
            self._send_pongs(protocol.data_to_send())
        for event in protocol.events_received():
            if self._stream.is_closing():
                return
            if isinstance(event, Frame):
                self._frame_received(event)
            else:
                self.shake_hands(event)
        if protocol.close_expected():
            # A close, or what broke the protocol; the protocol has the last word ready.
            self._ends_by_choice |= protocol.parser_exc is None
            self._flush()
            self._stream.close()

    def _frame_received(self, frame: Frame) -> None:
        if frame.opcode not in _DATA:
            # The protocol has answered it, or will.
            return
        if frame.fin and not self._in_message:
            self._receiver.message_received(bytes(frame.data))
            return
        self._in_message = not frame.fin
        self._fragments += frame.data
        if frame.fin:
            message = bytes(self._fragments)
            self._fragments = bytearray()
            self._receiver.message_received(message)

    def _send_pongs(self, frames: list[bytes]) -> None:
        """Sends them at once; to a peer that does not read, only the newest (RFC 6455 section 5.5.3)."""
        for frame in frames:
            if self.send_buffer_size() > SEND_HIGH_WATER:
                self._owed_pong = frames[-1]
                break
            self._stream.write(frame)

    def _say_close(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            # An empty one stands for the end, which comes by closing.
            if data and not self._stream.is_closing():
                self._stream.write(_NORMAL_CLOSE if data == _CLOSE_WITHOUT_CODE else data)

    # Silence. A pong waits behind whatever else was sent, so while this side does not read, none can come,
    # and when other data comes instead, the peer lives: only silence counts.

    def peer_is_silent(self) -> None:
        """Called when nothing has come for as long as the limits have it."""
        if self._reading_paused:
            self._look_again()
        else:
            self._awaits_pong = True
            self.send_frame(Frame(Opcode.PING, b""))
            self._set_timer(self._limits.pong_seconds, self._drop_silent)

    def _look_again(self) -> None:
        self._heard = self._loop.time()
        if self._limits.ping_seconds > 0:
            self._set_timer(self._limits.ping_seconds, self._look)

    def _look(self) -> None:
        left = self._heard + self._limits.ping_seconds - self._loop.time()
        if left > 0:
            self._set_timer(left, self._look)
        else:
            self.peer_is_silent()

    def _peer_lives(self) -> None:
        self._heard = self._loop.time()
        if self._awaits_pong:
            self._awaits_pong = False
            self._look_again()

    def _drop_silent(self) -> None:
        self._say_close(SILENCE, reason_of_silence(self._limits))
        self.abort()

    def _set_timer(self, seconds: float, call: Any) -> None:
        self._end_timer()
        self._timer = self._loop.call_later(seconds, call)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _ServerTransport(PlainTransport):
    def __init__(self, limits: Limits, make_receiver: ReceiverFactory, authorize: Authorize | None) -> None:
        self._authorize = authorize
        self._server = ServerProtocol(
            max_size=max_size(limits), logger=None if authorize is None else silent_log
        )
        super().__init__(limits, self._server, make_receiver)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._set_timer(HANDSHAKE_SECONDS, self._stream.abort)

    def shake_hands(self, event: Request | Response) -> None:
        assert isinstance(event, Request)
        response = self._response(event)
        self._server.send_response(response)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._flush()
            self.opened()

    def not_opened(self) -> None:
        pass

    def _response(self, request: Request) -> Response:
        if request.method != "GET":
            return self._server.reject(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered\n")
        shown = request.headers.get_all("Authorization")
        answer = answer_to(request.headers, request.path, shown, self._authorize)
        if answer is not None:
            refusal = self._server.reject(answer.status, answer.text)
            if answer.challenge is not None:
                refusal.headers["WWW-Authenticate"] = answer.challenge
            return refusal
        response = self._server.accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        return self._server.reject(HTTPStatus.BAD_REQUEST, (response.body or b"").decode())


async def create_server(
    limits: Limits, make_receiver: ReceiverFactory, authorize: Authorize | None, **where: Any
) -> asyncio.Server:
    """See :class:`executors.transport.websocket.Implementation`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: _ServerTransport(limits, make_receiver, authorize), **where)
