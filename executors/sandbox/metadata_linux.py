"""Changing metadata in a process's place: Landlock has no say in it, and a look before a leap could be raced.

The object is pinned first, then judged, then changed; names are of no account after the first step.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from executors.sandbox.tracee_linux import AT_FDCWD, Tracee, signed

Permit = Callable[[int], None]
"""Told the descriptor (O_PATH) of what is to be changed; raises OSError if that may not be."""

_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_EMPTY_PATH: Final = 0x1000
_NAME_BYTES: Final = 256
_MOST_VALUE_BYTES: Final = 65536
# Others need a capability that confined programs have given up.
_ATTRIBUTES: Final = (b"user.", b"system.posix_acl_access", b"system.posix_acl_default")

_libc = ctypes.CDLL(None, use_errno=True)


def change(tracee: Tracee, name: str, arguments: Sequence[int], permit: Permit) -> None:
    """Does what the system call *name* asks for.

    :param arguments: of the call.
    :raises OSError: as the call; of *permit*.
    """
    change, make_object = _prepare(tracee, name, arguments)
    fd = make_object()
    try:
        permit(fd)
        # The link leads to the object itself, whatever kind it is, and to a symbolic link as well.
        with tracee.acting():
            change(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def pin(tracee: Tracee, name: str, arguments: Sequence[int]) -> int:
    """Returns a descriptor (O_PATH) of what the system call *name* is about.

    :raises OSError: as the call.
    """
    return _prepare(tracee, name, arguments)[1]()


def _prepare(
    tracee: Tracee, name: str, arguments: Sequence[int]
) -> tuple[Callable[[str], None], Callable[[], int]]:
    """Returns what changes the object, given a path to it, and what pins it."""
    first, second, third, fourth, fifth, _ = arguments

    def at(follow: bool) -> Callable[[], int]:
        return lambda: tracee.object(AT_FDCWD, tracee.read_text(first), follow=follow)

    def below(flags: int) -> Callable[[], int]:
        return lambda: _object_below(tracee, signed(first), second, flags)

    def held() -> int:
        return tracee.descriptor(signed(first))

    match name:
        case "chmod":
            return _mode(second), at(True)
        case "fchmod":
            return _mode(second), held
        case "fchmodat":
            return _mode(third), below(0)
        case "fchmodat2":
            return _mode(third), below(fourth)
        case "chown":
            return _owner(second, third), at(True)
        case "lchown":
            return _owner(second, third), at(False)
        case "fchown":
            return _owner(second, third), held
        case "fchownat":
            return _owner(third, fourth), below(fifth)
        case "utime":
            return _times(_utimbuf(tracee, second)), at(True)
        case "utimes":
            return _times(_timevals(tracee, second)), at(True)
        case "futimesat":
            return _times(_timevals(tracee, third)), below(0) if second else held
        case "utimensat":
            times = tracee.read_exactly(third, 32) if third else None
            return _times(times), below(fourth) if second else held
        case "setxattr" | "lsetxattr":
            return _set_attribute(tracee, arguments), at(name == "setxattr")
        case "fsetxattr":
            return _set_attribute(tracee, arguments), held
        case "removexattr" | "lremovexattr":
            return _remove_attribute(tracee, second), at(name == "removexattr")
        case "fremovexattr":
            return _remove_attribute(tracee, second), held
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _object_below(tracee: Tracee, directory: int, address: int, flags: int) -> int:
    flags &= 0xFFFF_FFFF
    if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    path = tracee.read_text(address)
    if path or not flags & _AT_EMPTY_PATH:
        return tracee.object(directory, path, follow=not flags & _AT_SYMLINK_NOFOLLOW)
    if directory == AT_FDCWD:
        return tracee.object(directory, b".", follow=True)
    return tracee.descriptor(directory)


def _mode(mode: int) -> Callable[[str], None]:
    return lambda path: os.chmod(path, mode & 0o7777)


def _owner(user: int, group: int) -> Callable[[str], None]:
    def who(number: int) -> int:
        number &= 0xFFFF_FFFF
        return -1 if number == 0xFFFF_FFFF else number

    return lambda path: os.chown(path, who(user), who(group))


def _utimbuf(tracee: Tracee, address: int) -> bytes | None:
    if not address:
        return None
    accessed, modified = struct.unpack("=qq", tracee.read_exactly(address, 16))
    return struct.pack("=4q", accessed, 0, modified, 0)


def _timevals(tracee: Tracee, address: int) -> bytes | None:
    if not address:
        return None
    values = struct.unpack("=4q", tracee.read_exactly(address, 32))
    if not all(0 <= microseconds < 1_000_000 for microseconds in values[1::2]):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return struct.pack("=4q", values[0], values[1] * 1000, values[2], values[3] * 1000)


def _times(times: bytes | None) -> Callable[[str], None]:
    def act(path: str) -> None:
        # os.utime knows neither UTIME_NOW nor UTIME_OMIT.
        if _libc.utimensat(AT_FDCWD, path.encode(), times, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return act


def _set_attribute(tracee: Tracee, arguments: Sequence[int]) -> Callable[[str], None]:
    _, name, value, size, flags, _ = arguments
    attribute = _attribute(tracee, name)
    if size > _MOST_VALUE_BYTES:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    data = tracee.read_exactly(value, size) if size else b""
    return lambda path: os.setxattr(path, attribute, data, signed(flags))


def _remove_attribute(tracee: Tracee, address: int) -> Callable[[str], None]:
    attribute = _attribute(tracee, address)
    return lambda path: os.removexattr(path, attribute)


def _attribute(tracee: Tracee, address: int) -> bytes:
    try:
        name = tracee.read_text(address, _NAME_BYTES)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = b""
    if not name:
        raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
    if not name.startswith(_ATTRIBUTES):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    return name
