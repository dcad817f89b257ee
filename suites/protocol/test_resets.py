"""Connections that end before the executor has taken them, or in the middle of what it says to them."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from executors.transport import unix
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire

COUNT = 200
# `struct linger`, of two shorts on Windows, of two ints elsewhere.
RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def connected(url: str) -> socket.socket:
    if url.startswith(unix.SCHEME):
        opened: socket.socket = unix.UnixSocket()
        opened.connect(unix.socket_path(url))
        return opened
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), 30)


@pytest.mark.skip_if_relayed("it has no address that anybody could connect to")
@pytest.mark.parametrize("said", [b"", b"GET / HT", UPGRADE], ids=["nothing", "half a head", "a whole head"])
def test_others_are_served_after_connections_that_were_reset(
    env: RunningEnvironment, open_wire: Callable[[], Wire], usable: Callable[[Wire], None], said: bytes
) -> None:
    for _ in range(COUNT):
        with connected(env.url) as opened:
            # Closing sends a reset then, and no orderly end.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with contextlib.suppress(ConnectionError):
                opened.sendall(said)
    wire = open_wire()
    wire.handshake()
    usable(wire)
