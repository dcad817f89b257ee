"""WebSocket by picows, which is in C; see :mod:`executors.transport.websocket`."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

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


class PicowsTransport(WSListener):
    """One WebSocket connection; see :class:`executors.transport.base.Transport`.

    Either side of a connection can use it: the server below, or a client through
    ``picows.ws_connect``.
    """

    largest_message: int | None = None

    def __init__(self, limits: Limits, make_receiver: ReceiverFactory) -> None:
        self._limits = limits
        self._make_receiver = make_receiver
        # One growing buffer, since a list would cost much more than its bytes if a peer sends many
        # tiny fragments.
        self._fragments = bytearray()
        self._in_message = False
        self.ended_in_order = False
        """See :class:`executors.transport.base.Transport`."""
        self._reading_paused = False
        self._awaits_pong = False
        self._pong_deadline: asyncio.TimerHandle | None = None
        self._owed_pong: bytes | None = None
        self._ends_by_choice = False
        self._linger: Linger | None = None
        self._socket: WSTransport
        self._stream: asyncio.Transport
        self._receiver: Receiver

    def send(self, message: bytes) -> None:
        # Between the loss of the connection and the word of it, each write would be logged.
        if not self._stream.is_closing():
            self._socket.send(WSMsgType.TEXT, message)

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
        # picows takes any number, as it must for the private codes from 3000 on; its stub says less.
        self._socket.send_close(cast(WSCloseCode, code), cut_reason(reason))
        self._socket.disconnect()

    def abort(self) -> None:
        self._ends_by_choice = True
        if self._linger is not None:
            self._linger.end()
        self._socket.disconnect(graceful=False)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._socket = transport
        self._stream = transport.underlying_transport
        self._stream.set_write_buffer_limits(high=SEND_HIGH_WATER, low=SEND_LOW_WATER)
        self._receiver = self._make_receiver(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._peer_lives()
        kind = frame.msg_type
        if transport.is_close_frame_sent:
            # picows goes on for a moment after what broke the protocol.
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "reserved bits are set: no extension is in use")
        if frame.fin and not self._in_message and kind in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._receiver.message_received(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            # A close frame without a code reads as 0, which must not be sent (RFC 6455 section 7.4.1).
            code = cast(int, frame.get_close_code())
            self.ended_in_order = code == NORMAL_CLOSURE
            self.close(code or NORMAL_CLOSURE)
        elif kind == WSMsgType.PING:
            self._answer_ping(frame.get_payload_as_bytes())
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._fragment_received(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end_pong_deadline()
        broken = transport.is_close_frame_sent and not self._ends_by_choice
        if not broken or transport.is_client_side:
            self._receiver.connection_lost()
            return
        self._linger = linger_on(self._stream, LINGER_SECONDS, self._receiver.connection_lost)

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        if self._owed_pong is not None:
            self._socket.send_pong(self._owed_pong)
            self._owed_pong = None
        self._receiver.resume_writing()

    # Whose silence is too long is dropped here, a moment before picows would: that sends code 1001, and then
    # takes its time. A pong waits behind whatever else was sent, so while this side does not read, none can
    # come, and when other data comes instead, the peer lives: only silence counts.

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        self.peer_is_silent()

    def peer_is_silent(self) -> None:
        """Called when nothing has come for as long as the limits have it."""
        self._awaits_pong = True
        if self._reading_paused:
            # picows starts to expect the pong only after this call.
            asyncio.get_running_loop().call_soon(self._peer_lives)
        else:
            self._socket.send_ping()
            loop = asyncio.get_running_loop()
            self._pong_deadline = loop.call_later(self._limits.pong_seconds, self._drop_silent)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        # picows asks of each frame while it expects a pong, and keeps a pong for itself.
        self._peer_lives()
        return frame.msg_type == WSMsgType.PONG

    def _drop_silent(self) -> None:
        self._socket.send_close(cast(WSCloseCode, SILENCE), reason_of_silence(self._limits))
        self.abort()

    def _end_pong_deadline(self) -> None:
        if self._pong_deadline is not None:
            self._pong_deadline.cancel()
            self._pong_deadline = None

    def _peer_lives(self) -> None:
        if self._awaits_pong:
            self._awaits_pong = False
            self._end_pong_deadline()
            self._socket.notify_user_specific_pong_received()

    def _answer_ping(self, payload: bytes) -> None:
        """Answers at once; to a peer that does not read, only the newest (RFC 6455 section 5.5.3)."""
        if self.send_buffer_size() > SEND_HIGH_WATER:
            self._owed_pong = payload
        else:
            self._socket.send_pong(payload)

    def _fragment_received(self, frame: WSFrame) -> None:
        continues = frame.msg_type == WSMsgType.CONTINUATION
        if continues != self._in_message:
            found = "a continuation without a start" if continues else "a new message inside another"
            raise WSProtocolError(WSCloseCode.PROTOCOL_ERROR, found)
        if len(self._fragments) + frame.payload_size > self._limits.message_bytes:
            raise WSProtocolError(
                WSCloseCode.MESSAGE_TOO_BIG,
                f"message of more than {self._limits.message_bytes} bytes",
            )
        self._in_message = not frame.fin
        self._fragments += frame.get_payload_as_memoryview()
        if frame.fin:
            message = bytes(self._fragments)
            self._fragments = bytearray()
            self._receiver.message_received(message)


async def create_server(
    limits: Limits, make_receiver: ReceiverFactory, authorize: Authorize | None, **where: Any
) -> asyncio.Server:
    """See :class:`executors.transport.websocket.Implementation`."""

    def accept(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        shown = request.headers.getall("Authorization", ())
        answer = answer_to(request.headers, request.path.decode("latin-1"), shown, authorize)
        if answer is None:
            return PicowsTransport(limits, make_receiver)
        status, text, challenge = answer
        if status == 200:
            response = WSUpgradeResponse.create_ok_response(text.encode())
        else:
            more = {} if challenge is None else {"WWW-Authenticate": challenge}
            response = WSUpgradeResponse.create_error_response(status, text.encode(), more)
        return WSUpgradeResponseWithListener(response, None)

    return await ws_create_server(
        accept,
        logger_name="server" if authorize is None else silent_log,
        websocket_handshake_timeout=HANDSHAKE_SECONDS,
        max_frame_size=limits.largest_frame,
        enable_auto_pong=False,
        enable_auto_ping=limits.ping_seconds > 0,
        auto_ping_idle_timeout=limits.ping_seconds,
        auto_ping_reply_timeout=limits.pong_seconds,
        **where,
    )
