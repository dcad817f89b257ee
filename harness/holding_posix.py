"""Files and folders that processes hold while they use them, by flock(2). POSIX.

A hold goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

assert sys.platform != "win32"


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Holds *path*, as others may at the same time; yields whether it was still there."""
    fd = _open(path)
    if fd is None:
        yield False
        return
    try:
        # Waits for no longer than it takes to rename a folder.
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield _is_at(fd, path)
    finally:
        os.close(fd)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Takes *path* for this process alone; yields whether that could be: it is there and nobody holds it."""
    fd = _open(path)
    if fd is None:
        yield False
        return
    try:
        yield try_lock(fd) and _is_at(fd, path)
    finally:
        os.close(fd)


def try_lock(fd: int) -> bool:
    """Whether the open file could be locked for its descriptor alone; the lock goes with the descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
