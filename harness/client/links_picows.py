"""The client's WebSocket by picows; see :class:`harness.client.links.Implementation`."""

from __future__ import annotations

import contextlib
import socket
from http import HTTPStatus
from typing import cast

from picows import WSError, WSHandshakeError, WSListener, WSMsgType, WSParsedURL, WSTransport, ws_connect

from executors.transport.websocket import silent_log
from executors.transport.websocket_picows import PicowsTransport
from harness.bearer import BearerHeaders
from harness.client.links import (
    FRAME_BYTES,
    NO_STATUS,
    HandshakeFailed,
    Link,
    LinkOptions,
    MakeReceiver,
    OpenSocket,
    limits_of,
)


class WebSocketLink(PicowsTransport):
    """The client's end of a connection."""

    def __init__(self, options: LinkOptions, make_receiver: MakeReceiver) -> None:
        super().__init__(limits_of(options), lambda transport: make_receiver(self))
        self.connected = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self.connected = True

    def send(self, message: bytes) -> None:
        if len(message) <= FRAME_BYTES:
            super().send(message)
            return
        view = memoryview(message)
        for start in range(0, len(view), FRAME_BYTES):
            kind = WSMsgType.CONTINUATION if start else WSMsgType.TEXT
            end = start + FRAME_BYTES
            self._socket.send(kind, view[start:end], fin=end >= len(view))

    def peer_is_silent(self) -> None:
        super().peer_is_silent()
        if self._reading_paused:
            # No pong can be taken in; but the executor hears that somebody is there, and a connection
            # that is gone shows as it is written to.
            self._socket.send_ping()

    def loss(self) -> tuple[int | None, str]:
        handshake = self._socket.close_handshake
        if handshake is None:
            return None, ""
        first = handshake.recv if handshake.recv_then_sent else handshake.sent
        if first is None:
            return None, ""
        # An IntEnum, though the stubs do not say so.
        return int(cast(int, first.code)) or NO_STATUS, first.reason


async def connect(
    url: str,
    open_socket: OpenSocket,
    options: LinkOptions,
    make_receiver: MakeReceiver,
    headers: BearerHeaders | None,
) -> Link:
    """See :class:`harness.client.links.Implementation`."""
    link = WebSocketLink(options, make_receiver)
    connections: list[socket.socket] = []
    is_open = given_up = False

    async def make_socket(parsed: WSParsedURL) -> socket.socket:
        connection = await open_socket(parsed.host, parsed.port)
        connections.append(connection)
        return connection

    try:
        await ws_connect(
            lambda: WSListener() if given_up else link,
            url,
            socket_factory=make_socket,
            max_frame_size=options.max_frame_size,
            websocket_handshake_timeout=options.open_seconds,
            enable_auto_ping=options.ping_seconds > 0,
            auto_ping_idle_timeout=options.ping_seconds,
            auto_ping_reply_timeout=options.pong_seconds,
            max_redirects=0,
            extra_headers=headers,
            logger_name="client" if headers is None else silent_log,
        )
        # To picows this is a handshake that is over.
        if not link.connected:
            raise HandshakeFailed("the server closed the connection during the handshake")
        is_open = True
        return link
    except WSHandshakeError as error:
        refused = error.response is not None and error.response.status == HTTPStatus.UNAUTHORIZED
        said = error.raw_body or b"" if refused else None
        raise HandshakeFailed(f"{type(error).__name__}: {error}", said) from error
    except WSError as error:
        raise HandshakeFailed(f"{type(error).__name__}: {error}") from error
    finally:
        if not is_open:
            # A handshake that is called off would go on: picows still waits for its answer.
            given_up = True
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
