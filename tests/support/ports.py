"""Ports of this machine that a test listens on more than once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port of *host* that can be listened on again and again (Linux).

    Between two times the system would give it to any connection that goes out from this machine. A socket
    that is bound and does not listen keeps it from that, and no listener from it, as both set SO_REUSEADDR
    (socket(7)).
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind((host, 0))
        yield keeper.getsockname()[1]
