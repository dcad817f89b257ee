"""Files and folders that processes hold while they use them. Windows.

Windows renames no folder in which a file is open, so what is in use cannot be taken away; there is nothing
more to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Yields whether *path* is there."""
    yield path.exists()


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Yields whether *path* is there."""
    yield path.exists()


def try_lock(fd: int) -> bool:
    raise NotImplementedError("workers of Wine are made on Linux only")
