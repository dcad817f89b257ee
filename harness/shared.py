"""What several processes need, only one must make, and nobody may remove from under another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from harness import holding

LOCK: Final = ".lock"
_UNFINISHED: Final = ".unfinished"
_REMOVED: Final = ".removed"
DEBRIS: Final = (_UNFINISHED, _REMOVED, ".damaged")
"""Suffixes of what is on its way to the path, or from there; whoever has the path's lock may remove it."""


def create_once(path: Path, create: Callable[[Path], None]) -> Path:
    """Returns *path*, made by the first of all processes that asks; the others wait for it.

    It appears whole or not at all: *create* works on another path, which is renamed at the end, so
    that one who fails or is killed leaves nothing that others would take for the result.

    :param create: gets the path of a file or directory to make; its directory exists.
    :raises Exception: what *create* raised; the next to ask tries again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}{LOCK}"):
        if not path.exists():
            unfinished = path.with_name(path.name + _UNFINISHED)
            remove(unfinished)
            try:
                create(unfinished)
                os.replace(unfinished, path)
            except BaseException:
                remove(unfinished)
                raise
    return path


@contextmanager
def using(path: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """As :func:`create_once`, and :func:`remove_unused` leaves it alone as long as the context lasts."""
    while True:
        with holding.held(path) as is_there:
            if is_there:
                yield path
                return
        create_once(path, create)


def remove_unused(path: Path) -> bool:
    """Removes what :func:`create_once` has made, unless somebody makes or uses it, and what is beside it.

    :returns: whether nothing is there any more, be it that nothing was.
    :raises OSError: something cannot be removed.
    """
    with try_lock(path) as is_locked:
        if not is_locked:
            return False
        doomed = path.with_name(path.name + _REMOVED)
        if path.exists():
            remove(doomed)
            with holding.claimed(path) as is_mine:
                if not is_mine:
                    return False
                os.replace(path, doomed)
        _remove_debris(path)
        # Those who wait for the lock see that its file has no name any more, and make another. Windows
        # removes no file that is open.
        with suppress(PermissionError):
            os.unlink(f"{path}{LOCK}")
    return True


def remove_debris(path: Path) -> None:
    """Removes what somebody began to make or to remove beside *path*, and who is dead.

    :raises OSError: something cannot be removed.
    """
    with try_lock(path) as is_locked:
        if is_locked:
            _remove_debris(path)


def _remove_debris(path: Path) -> None:
    for suffix in DEBRIS:
        remove(path.with_name(path.name + suffix))


def is_in_use(path: Path) -> bool:
    """Whether somebody makes or uses what is or will be at *path*, at this moment."""
    with try_lock(path) as is_locked:
        if not is_locked:
            return True
        if not path.exists():
            return False
        with holding.claimed(path) as is_mine:
            return not is_mine


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Takes the lock of *path*, whose directory exists, unless somebody has it; yields whether it could."""
    lock = FileLock(f"{path}{LOCK}", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def remove(path: Path) -> None:
    """Removes a file, or a directory with all that it holds, if it is there.

    :raises OSError: something cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
