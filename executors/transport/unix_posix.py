"""Unix sockets on POSIX; see :mod:`executors.transport.unix`."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

_OWNER_ONLY = 0o600


class UnixSocket(socket.socket):
    """A Unix stream socket, and so are those that it accepts.

    picows sets and reads options of TCP on every socket: here they are ignored, where the system would
    refuse them (EOPNOTSUPP).
    """

    def __init__(self, fileno: int | None = None) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno)

    def accept(self) -> tuple[Self, Any]:
        connection, address = super().accept()
        accepted = type(self)(connection.detach())
        accepted.setblocking(True)
        return accepted, address

    def dup(self) -> Self:
        copy = type(self)(os.dup(self.fileno()))
        copy.settimeout(self.gettimeout())
        return copy

    def setsockopt(self, level: int, option: int, *value: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, option, *value)

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        return 0 if level == socket.IPPROTO_TCP else super().getsockopt(level, option, *size)


@contextmanager
def bind(path: str) -> Iterator[UnixSocket]:
    """A socket bound to *path*, of which mode 0600 lets nobody but the owner and root connect (unix(7)).

    It does not listen yet: until then connections are refused, so that nobody gets in before the mode is set.

    :raises OSError: the path cannot be bound, or somebody listens there.
    """
    with UnixSocket() as listener:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise OSError(error.errno, error.strerror, path) from None
            _remove_stale(path)
            listener.bind(path)
        bound = os.lstat(path)
        try:
            os.chmod(path, _OWNER_ONLY)
            yield listener
        finally:
            with suppress(FileNotFoundError):
                # Another may have taken the place of a socket that was removed under way.
                if os.path.samestat(os.lstat(path), bound):
                    os.unlink(path)


def _remove_stale(path: str) -> None:
    """Removes the socket at *path* if nobody listens on it.

    :raises OSError: somebody does, or it is no socket.
    """
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket: name another path", path)
    with UnixSocket() as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            # Its backlog is full: it lives.
            pass
    raise OSError(errno.EADDRINUSE, "another program listens there: name another path or end it", path)
