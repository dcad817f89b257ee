"""The client's WebSocket by the library websockets; see :class:`harness.client.links.Implementation`."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.uri import WebSocketURI, parse_uri

from executors.transport.websocket import silent_log
from executors.transport.websocket_plain import PlainTransport, max_size
from harness.bearer import BearerHeaders
from harness.client.links import (
    FRAME_BYTES,
    HandshakeFailed,
    Link,
    LinkOptions,
    MakeReceiver,
    OpenSocket,
    limits_of,
)


class WebSocketLink(PlainTransport):
    """The client's end of a connection.

    :ivar handshake: ends with it.
    """

    def __init__(
        self,
        uri: WebSocketURI,
        options: LinkOptions,
        make_receiver: MakeReceiver,
        headers: BearerHeaders | None,
    ) -> None:
        limits = limits_of(options)
        self._is_made = False
        self._headers = headers
        logger = None if headers is None else silent_log
        self._client = ClientProtocol(uri, max_size=max_size(limits), logger=logger)
        super().__init__(limits, self._client, lambda transport: make_receiver(self))
        self.handshake: asyncio.Future[None] = self._loop.create_future()

    def call_off(self, connection: socket.socket) -> None:
        """Drops *connection*, for which nobody waits any more, or which failed."""
        if not self.handshake.cancel() and not self.handshake.cancelled():
            # Somebody has to have asked for it.
            self.handshake.exception()
        if self._is_made:
            self.abort()
        else:
            connection.close()

    def send(self, message: bytes) -> None:
        if len(message) <= FRAME_BYTES:
            super().send(message)
            return
        view = memoryview(message)
        for start in range(0, len(view), FRAME_BYTES):
            end = start + FRAME_BYTES
            self.send_frame(Frame(Opcode.CONT if start else Opcode.TEXT, view[start:end], end >= len(view)))

    def peer_is_silent(self) -> None:
        super().peer_is_silent()
        if self._reading_paused:
            # No pong can be taken in; but the executor hears that somebody is there, and a connection
            # that is gone shows as it is written to.
            self.send_frame(Frame(Opcode.PING, b""))

    def loss(self) -> tuple[int | None, str]:
        protocol = self._client
        first = protocol.close_rcvd if protocol.close_rcvd_then_sent else protocol.close_sent
        return (None, "") if first is None else (first.code, first.reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._is_made = True
        if self.handshake.done():
            self.abort()
        else:
            request = self._client.connect()
            request.headers.update(self._headers or {})
            self._client.send_request(request)
            self._flush()

    def shake_hands(self, event: Request | Response) -> None:
        if self._client.handshake_exc is None:
            self.opened()
            self.handshake.set_result(None)

    def not_opened(self) -> None:
        if not self.handshake.done():
            # An answer may have been complete only now.
            self._client.receive_eof()
            error = self._client.handshake_exc
            found = "the server closed the connection during the handshake"
            said = None
            if error is not None and not isinstance(error.__cause__, EOFError):
                found = f"{type(error).__name__}: {error}"
            if isinstance(error, InvalidStatus) and error.response.status_code == HTTPStatus.UNAUTHORIZED:
                said = bytes(error.response.body or b"")
            self.handshake.set_exception(HandshakeFailed(found, said))


async def connect(
    url: str,
    open_socket: OpenSocket,
    options: LinkOptions,
    make_receiver: MakeReceiver,
    headers: BearerHeaders | None,
) -> Link:
    """See :class:`harness.client.links.Implementation`."""
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise ValueError(str(error)) from error
    link = WebSocketLink(uri, options, make_receiver, headers)
    connection = await open_socket(uri.host, uri.port)
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: link,
            sock=connection,
            ssl=uri.secure or None,
            server_hostname=uri.host if uri.secure else None,
        )
        await link.handshake
    except BaseException:
        link.call_off(connection)
        raise
    return link
