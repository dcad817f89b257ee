"""WebSocket transport (RFC 6455) on picows: one message a text or binary frame."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
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
from executors.transport.linger import Linger

SEND_HIGH_WATER = 1024 * 1024
SEND_LOW_WATER = 256 * 1024
# Control frames hold 125 bytes, two of them the code (RFC 6455 section 5.5).
_MAX_REASON_BYTES = 123
_NORMAL_CLOSURE = 1000
# "Timeout" in IANA's registry of close codes; 1001 would say that this side shuts down.
_SILENCE = 3008
_LINGER_SECONDS = 2.0


@dataclass(frozen=True)
class Limits:
    """What a peer may send and when it counts as dead.

    :ivar frame_bytes: a larger frame ends the connection with close code 1009.
    :ivar message_bytes: the same for the sum of a message's fragments.
    :ivar ping_seconds: a peer that is silent for so long is pinged; 0 for never.
    :ivar pong_seconds: and dropped if it stays silent for so long again, at most *ping_seconds*.
    """

    frame_bytes: int = 16 * 1024 * 1024
    message_bytes: int = 64 * 1024 * 1024
    ping_seconds: float = 10.0
    pong_seconds: float = 10.0


class WebSocketTransport(WSListener):
    """One WebSocket connection; see :class:`executors.transport.base.Transport`.

    Either side of a connection can use it: the server below, or a client through
    ``picows.ws_connect``.
    """

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
        self._socket.send_close(
            cast(WSCloseCode, code), reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        )
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
            self.ended_in_order = code == _NORMAL_CLOSURE
            self.close(code or _NORMAL_CLOSURE)
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
        # The peer may be in the middle of what it must not send. The stream's own socket is about to be
        # closed, so that a duplicate has to go on.
        try:
            duplicate = self._stream.get_extra_info("socket").dup()
        except OSError:
            self._receiver.connection_lost()
        else:
            loop = asyncio.get_running_loop()
            self._linger = Linger(loop, duplicate, _LINGER_SECONDS, self._receiver.connection_lost)

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
        self._awaits_pong = True
        if self._reading_paused:
            # picows starts to expect the pong only after this call.
            asyncio.get_running_loop().call_soon(self._peer_lives)
        else:
            transport.send_ping()
            loop = asyncio.get_running_loop()
            self._pong_deadline = loop.call_later(self._limits.pong_seconds, self._drop_silent)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        # picows asks of each frame while it expects a pong, and keeps a pong for itself.
        self._peer_lives()
        return frame.msg_type == WSMsgType.PONG

    def _drop_silent(self) -> None:
        reason = f"no answer to a ping within {self._limits.pong_seconds:g} s"
        self._socket.send_close(cast(WSCloseCode, _SILENCE), reason)
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


def parse_listen_url(url: str) -> tuple[str, int]:
    """Returns address and port of ``ws://IP:PORT``; port 0 means any.

    :raises ValueError: *url* has another form.
    """
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    host = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    try:
        if scheme != "ws":
            raise ValueError(f"scheme {scheme!r}")
        address = str(ipaddress.ip_address(host))
        number = int(port) if port.isascii() and port.isdigit() else -1
        if not 0 <= number <= 65535:
            raise ValueError(f"port {port!r}")
    except ValueError as error:
        raise ValueError(
            f"cannot listen on {url!r} ({error}): give ws://IP:PORT, such as ws://127.0.0.1:0"
        ) from None
    return address, number


def format_url(host: str, port: int) -> str:
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


async def serve(url: str, limits: Limits, make_receiver: ReceiverFactory) -> tuple[asyncio.Server, str]:
    """Starts to listen on *url*, ``ws://IP:PORT``.

    :returns: the server and its URL, with the port that was found.
    :raises ValueError: *url* is malformed.
    :raises OSError: the address cannot be bound.
    """
    host, port = parse_listen_url(url)
    server = await _create_server(limits, make_receiver, host=host, port=port)
    return server, format_url(*server.sockets[0].getsockname()[:2])


async def serve_socket(
    listener: socket.socket, limits: Limits, make_receiver: ReceiverFactory
) -> asyncio.Server:
    """Starts to listen on a socket that is bound already; the server owns it from now on."""
    return await _create_server(limits, make_receiver, sock=listener)


async def _create_server(limits: Limits, make_receiver: ReceiverFactory, **where: Any) -> asyncio.Server:
    def accept(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        # A browser sends Origin and a program does not: no page may reach an executor.
        if "Origin" in request.headers:
            return _refusal(403, "requests with an Origin header are refused\n")
        if "Upgrade" in request.headers:
            return WebSocketTransport(limits, make_receiver)
        if request.path.partition(b"?")[0] == b"/readyz":
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(b"ok\n"), None)
        return _refusal(404, "not found: connect by WebSocket, or get /readyz\n")

    return await ws_create_server(
        accept,
        max_frame_size=min(limits.frame_bytes, limits.message_bytes),
        enable_auto_pong=False,
        enable_auto_ping=limits.ping_seconds > 0,
        auto_ping_idle_timeout=limits.ping_seconds,
        auto_ping_reply_timeout=limits.pong_seconds,
        backlog=1024,
        **where,
    )


def _refusal(status: int, text: str) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status, text.encode()), None)
