"""WebSocket over a Unix socket, ``unix:///PATH``: within one machine, for whom the file's mode lets in.

:class:`UnixSocket` is a stream socket of the Unix family that picows can use. On Windows making one
raises OSError: CPython has no Unix sockets there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from executors.transport import websocket
from executors.transport.base import ReceiverFactory

if sys.platform == "win32":
    from executors.transport.unix_windows import UnixSocket, bind
else:
    from executors.transport.unix_posix import UnixSocket, bind

__all__ = ["SCHEME", "UnixSocket", "bind", "format_url", "serve", "socket_path"]

SCHEME: Final = "unix://"
# sockaddr_un.sun_path has room for 108 bytes on Linux and 104 on macOS, the final NUL among them.
_MAX_PATH_BYTES: Final = 103


def socket_path(url: str) -> str:
    """Returns the absolute path of ``unix:///PATH``, in which ``%XX`` stands for a byte.

    :raises ValueError: *url* has another form, or the path is too long for a socket.
    """
    example = "give unix:///PATH, such as unix:///run/user/1000/executor.sock"
    parts = urlsplit(url)
    path = unquote(parts.path, errors="surrogateescape")
    if not url.startswith(SCHEME) or parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no URL of a Unix socket: {example}")
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError(f"{url!r} names no absolute path of a socket: {example}")
    size = len(os.fsencode(path))
    if size > _MAX_PATH_BYTES:
        raise ValueError(f"the path of {url!r} has {size} bytes, and a socket's at most {_MAX_PATH_BYTES}")
    return path


def format_url(path: str) -> str:
    """Returns the URL of the socket at the absolute *path*."""
    return SCHEME + quote(os.fsencode(path))


@asynccontextmanager
async def serve(
    url: str,
    limits: websocket.Limits,
    make_receiver: ReceiverFactory,
    authorize: websocket.Authorize | None = None,
) -> AsyncIterator[str]:
    """Listens on *url*, ``unix:///PATH``, while the context lasts; yields the URL.

    The socket is its owner's alone (mode 0600) before anybody can connect. One that nobody listens on
    any more is replaced, and at the end the socket is removed.

    :raises ValueError: *url* is malformed.
    :raises OSError: the path cannot be bound, or somebody listens there.
    """
    path = socket_path(url)
    with bind(path) as listener:
        server = await websocket.serve_socket(listener, limits, make_receiver, authorize)
        try:
            yield format_url(path)
        finally:
            server.close()
