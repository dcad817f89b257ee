"""A WebSocket connection of single frames (RFC 6455 section 5.2), whatever their payload."""

from __future__ import annotations

import base64
import os
import socket
import struct
from typing import Self
from urllib.parse import urlsplit

from executors.transport import unix
from harness.bearer import BearerAuth

TEXT = 1
CONTINUATION = 0
CLOSE = 8


class RawSocket:
    """Sends frames, or only the head of one, and waits for the peer's close frame."""

    def __init__(self, url: str, bearer: BearerAuth | None = None, seconds: float = 60.0) -> None:
        parts = urlsplit(url)
        if url.startswith(unix.SCHEME):
            self._socket: socket.socket = unix.UnixSocket()
            self._socket.settimeout(seconds)
            self._socket.connect(unix.socket_path(url))
        else:
            self._socket = socket.create_connection((parts.hostname, parts.port), seconds)
        self._received = b""
        more = {} if bearer is None else bearer.headers(url)
        fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {parts.netloc or 'localhost'}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n".encode()
        )
        while b"\r\n\r\n" not in self._received:
            self._received += self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.close()

    def send_head(self, kind: int, size: int, *, final: bool = True) -> None:
        """Announces a frame of *size* bytes; its payload, masked with zeros, may follow or not."""
        first = kind | final << 7
        if size < 126:
            head = struct.pack("!BB", first, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", first, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, size)
        self._socket.sendall(head + bytes(4))

    def send(self, kind: int, payload: bytes, *, final: bool = True) -> None:
        self.send_head(kind, len(payload), final=final)
        self._socket.sendall(payload)

    def close_frame(self) -> tuple[int, str]:
        """Waits for the peer's close frame and returns code and reason; skips what comes before it.

        :raises AssertionError: the connection ends without one.
        """
        while True:
            kind, size = self._take(2)
            if size == 126:
                size = struct.unpack("!H", self._take(2))[0]
            elif size == 127:
                size = struct.unpack("!Q", self._take(8))[0]
            payload = self._take(size)
            if kind & 0x0F == CLOSE:
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._received += self._more()
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _more(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            data = b""
        assert data, "the connection has ended without a close frame"
        return data
