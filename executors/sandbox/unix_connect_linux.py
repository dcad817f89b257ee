"""Connecting a Unix socket in a process's place: neither Landlock nor a read-only mount stops that."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import struct
from contextlib import ExitStack
from typing import Final

from executors.sandbox.metadata_linux import Permit
from executors.sandbox.notifications_linux import Listener, Notification
from executors.sandbox.tracee_linux import AT_FDCWD, Tracee, signed

_ADDRESS_BYTES: Final = 110
_LONGEST_ADDRESS_BYTES: Final = 128
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_STATX_BYTES: Final = 256
_MASK_AND_BIRTH: Final = struct.Struct("=I76xqI")
_libc = ctypes.CDLL(None, use_errno=True)


def read_address(tracee: Tracee, notification: Notification) -> bytes:
    """Returns the name of a Unix socket; one that begins with NUL is abstract.

    :raises OSError: as connect(2); EINVAL also for addresses of other families.
    """
    _, address, size, *_ = notification.arguments
    size = signed(size)
    if not 2 < size <= _LONGEST_ADDRESS_BYTES:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    data = tracee.read_exactly(address, size)
    (family,) = struct.unpack_from("=H", data)
    if family != socket.AF_UNIX or size > _ADDRESS_BYTES:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    name = data[2:]
    return name if name.startswith(b"\0") else name.split(b"\0", 1)[0]


def birth_ns(fd: int) -> int | None:
    """Returns when the file was made, in nanoseconds since 1970; None where the file system does not tell.

    No program can change it. See statx(2).
    """
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, found) != 0:
        return None
    mask, seconds, nanoseconds = _MASK_AND_BIRTH.unpack_from(found)
    return int(seconds * 10**9 + nanoseconds) if mask & _STATX_BTIME else None


class UnixConnect:
    """One connect(2), of which everything is pinned.

    Where the system lends no descriptors of other processes (pidfd_getfd, as in containers without
    CAP_SYS_PTRACE), the process gets a new connected socket at the number of its own: options that it had set
    before are lost, and so is that number in an epoll set.

    :param path: as the tracee gave it.
    :param permit: told what is to be connected to.
    :raises OSError: as connect(2), and of *permit*.
    """

    def __init__(self, tracee: Tracee, notification: Notification, path: bytes, permit: Permit) -> None:
        self._notification = notification
        self._acting = tracee.acting
        self._number = signed(notification.arguments[0])
        self._flags: int | None = None
        with ExitStack() as held:
            self._socket = self._take(tracee)
            held.callback(self._socket.close)
            self._target = tracee.object(AT_FDCWD, path, follow=True)
            held.callback(os.close, self._target)
            if not stat.S_ISSOCK(os.fstat(self._target).st_mode):
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            if self._socket.family != socket.AF_UNIX:
                raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
            permit(self._target)
            held.pop_all()

    def run(self) -> int:
        """Connects; waits as long as the tracee would. May run on any thread.

        :returns: the errno, or 0.
        """
        try:
            with self._acting():
                self._connect()
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def answer(self, listener: Listener, code: int) -> None:
        """Tells the tracee what came of it."""
        if not code and self._flags is not None:
            try:
                listener.give(self._notification, self._socket.fileno(), self._number, self._flags)
            except OSError as error:
                code = error.errno or errno.EIO
        if code:
            listener.fail(self._notification, code)
        else:
            listener.succeed(self._notification)

    def close(self) -> None:
        self._socket.close()
        os.close(self._target)

    def _take(self, tracee: Tracee) -> socket.socket:
        try:
            fd = tracee.socket(self._number)
        except PermissionError:
            self._flags = tracee.socket_flags(self._number)
            return self._make(socket.SOCK_STREAM)
        try:
            return socket.socket(fileno=fd)
        except BaseException:
            os.close(fd)
            raise

    def _connect(self) -> None:
        address = f"/proc/self/fd/{self._target}"
        try:
            self._socket.connect(address)
        except OSError as error:
            if self._flags is None or error.errno != errno.EPROTOTYPE:
                raise
            # What kind of socket the tracee has cannot be told: the other one then.
            self._socket.close()
            self._socket = self._make(socket.SOCK_SEQPACKET)
            self._socket.connect(address)

    def _make(self, kind: socket.SocketKind) -> socket.socket:
        assert self._flags is not None
        made = socket.socket(socket.AF_UNIX, kind)
        made.setblocking(not self._flags & os.O_NONBLOCK)
        return made
