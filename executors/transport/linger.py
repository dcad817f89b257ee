"""Ends a TCP connection so that its last words reach a peer that is still sending.

Closing a socket with data unread resets the connection (RFC 1122 section 4.2.2.13). Whoever is
sending then sees the reset first, and never reads the close frame that says why.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

if sys.platform == "win32":
    from executors.transport.linger_windows import Linger
else:
    from executors.transport.linger_posix import Linger

__all__ = ["Linger", "linger_on"]


def linger_on(stream: asyncio.BaseTransport, seconds: float, ended: Callable[[], None]) -> Linger | None:
    """Lingers on the connection of *stream*, which is about to close its own socket.

    :param seconds: at most so long.
    :param ended: called once, at the end; at once where there is nothing to linger on.
    """
    try:
        duplicate = stream.get_extra_info("socket").dup()
    except OSError:
        ended()
        return None
    return Linger(asyncio.get_running_loop(), duplicate, seconds, ended)
