"""No Unix sockets: CPython for Windows has no AF_UNIX; see :mod:`executors.transport.unix`."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager


class UnixSocket(socket.socket):
    """Cannot be made."""

    def __init__(self, fileno: int | None = None) -> None:
        raise _unsupported("unix")


@contextmanager
def bind(path: str) -> Iterator[UnixSocket]:
    """:raises OSError: always."""
    raise _unsupported(path)
    yield


def _unsupported(path: str) -> OSError:
    return OSError(errno.EAFNOSUPPORT, "Python on Windows has no Unix sockets: listen on ws://IP:PORT", path)
