"""What only Linux offers."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

from executors.filesystem.streams import copy_stream

assert sys.platform == "linux"

_AT_FDCWD = -100
_STATX_BTIME = 0x800
_Buffer = ctypes.c_char * 256
"""``struct statx`` (statx(2)): its size and the offsets below are kernel ABI on every architecture."""
_mask = struct.Struct("=I").unpack_from
_birth_time = struct.Struct("=80xqI").unpack_from


def _find_statx() -> Callable[..., Any] | None:
    """statx of the C library; os.statx came with Python 3.15."""
    call = getattr(ctypes.CDLL(None), "statx", None)  # musl has it since 1.2.5, glibc since 2.28
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
        call.restype = ctypes.c_int
    return call


_statx = _find_statx()


def created_ms(path: str, directory: int | None, status: os.stat_result) -> int:
    """When the file was created, links followed; 0 where the file system does not know.

    :param directory: what *path* is relative to, or None.
    """
    if _statx is None:
        return 0
    buffer = _Buffer()
    base = _AT_FDCWD if directory is None else directory
    if _statx(base, os.fsencode(path), 0, _STATX_BTIME, buffer) or not _mask(buffer)[0] & _STATX_BTIME:
        return 0
    seconds, nanoseconds = _birth_time(buffer)
    return int(seconds * 1000 + nanoseconds // 1_000_000)


_NO_RANGE_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY}
)
"""This pair of files has no fast path; an error of the data itself is none of these."""


def copy_data(source: int, target: int) -> None:
    """Copies a whole file into an empty one, both at their start, and leaves holes as holes.

    The kernel copies, sharing blocks where the file system can.
    """
    size = os.fstat(source).st_size
    with contextlib.suppress(_NotPossible):
        position = _copy_extents(source, target)
        if position < size:
            os.ftruncate(target, size)
            position = size
        os.lseek(source, position, os.SEEK_SET)
        os.lseek(target, position, os.SEEK_SET)
    # The rest: all of a file whose size is not known beforehand, and what has been added meanwhile.
    copy_stream(source, target)


class _NotPossible(Exception):
    """Raised with both files at the position up to which they are copied."""


def _copy_extents(source: int, target: int) -> int:
    """Returns the end of the last extent.

    :raises _NotPossible: the file system has no extents or no copy between the two.
    """
    position = 0
    while True:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
            end = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # Only a hole follows.
                return position
            position = _both_at(source, target, position)
            raise _NotPossible from None
        while start < end:
            try:
                copied = os.copy_file_range(source, target, end - start, start, start)
            except OSError as error:
                if error.errno not in _NO_RANGE_COPY:
                    raise
                _both_at(source, target, start)
                raise _NotPossible from None
            if not copied:  # Truncated meanwhile, or a file system that pretends.
                _both_at(source, target, start)
                raise _NotPossible
            start += copied
        position = end


def _both_at(source: int, target: int, position: int) -> int:
    os.lseek(source, position, os.SEEK_SET)
    return os.lseek(target, position, os.SEEK_SET)
