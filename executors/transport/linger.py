"""Ends a TCP connection so that its last words reach a peer that is still sending.

Closing a socket with data unread resets the connection (RFC 1122 section 4.2.2.13). Whoever is
sending then sees the reset first, and never reads the close frame that says why.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from executors.transport.linger_windows import Linger
else:
    from executors.transport.linger_posix import Linger

__all__ = ["Linger"]
