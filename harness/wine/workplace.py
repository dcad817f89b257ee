"""The folder of one worker, and who cleans up after it."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from harness import holding
from harness.wine import keeper
from harness.wine.errors import WineFailed, storage_failed

_KEEPER_SECONDS: Final = 60.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workplace:
    """What one worker has on the disk.

    :ivar folder: holds all of it, and goes with it.
    :ivar prefix: for WINEPREFIX; it is the worker's to make.
    :ivar home: for HOME and everything else that must not be the user's own.
    """

    folder: Path

    @property
    def prefix(self) -> Path:
        return self.folder / "prefix"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def drive_c(self) -> Path:
        return self.prefix / "drive_c"


@contextmanager
def workplace(cache: Path) -> Iterator[Workplace]:
    """Makes a workplace; at the end, and also when this process is killed, it goes with all that runs in it.

    What dead runs have left is removed first.

    :param cache: the folder of everything that Wine environments keep.
    :raises WineFailed: there is no room, or at the end something remains.
    """
    workers = cache / "workers"
    with ExitStack() as stack:
        try:
            lock, left = _claim(workers)
            stack.callback(os.close, lock.fd)
            for dead in left:
                try:
                    _remove(dead)
                except OSError as error:
                    # The next run tries again.
                    _LOG.warning("a dead run's folder %s remains: %s", dead.folder, error)
            place = Workplace(lock.folder)
            place.home.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise storage_failed("making a folder for a Wine prefix", error, cache) from error
        stack.enter_context(_kept(place, lock))
        yield place


@dataclass(frozen=True)
class _Lock:
    """A worker's lock file, locked; whoever holds the descriptor shows that the worker lives."""

    path: Path
    fd: int

    @property
    def folder(self) -> Path:
        return self.path.with_suffix("")


def remove_dead(cache: Path) -> list[Path]:
    """Removes what dead runs have left; returns their folders.

    :param cache: as for :func:`workplace`.
    :raises WineFailed: one remains.
    """
    workers = cache / "workers"
    if not workers.is_dir():
        return []
    removed = []
    with FileLock(workers / "claim"):
        left = _dead(workers)
    for dead in left:
        try:
            _remove(dead)
        except OSError as error:
            raise WineFailed(f"a dead run's folder {dead.folder} remains: {error}") from error
        removed.append(dead.folder)
    return removed


def living(cache: Path) -> list[Path]:
    """Returns the folders of workers that live.

    :param cache: as for :func:`workplace`.
    """
    workers = cache / "workers"
    if not workers.is_dir():
        return []
    with FileLock(workers / "claim"):
        left = _dead(workers)
        for lock in left:
            os.close(lock.fd)
        dead = {lock.path for lock in left}
        return sorted(path.with_suffix("") for path in workers.glob("*.lock") if path not in dead)


def _dead(workers: Path) -> list[_Lock]:
    return [lock for path in workers.glob("*.lock") if (lock := _try_lock(path))]


def _claim(workers: Path) -> tuple[_Lock, list[_Lock]]:
    """Makes a lock for a new worker; returns it and those of workers that are dead."""
    workers.mkdir(parents=True, exist_ok=True)
    # So that nobody takes a lock file for a dead worker's between its making and its locking.
    with FileLock(workers / "claim"):
        dead = _dead(workers)
        own = _try_lock(keeper.lock_of(workers / secrets.token_hex(4)), create=True)
        assert own is not None
        return own, dead


def _try_lock(path: Path, create: bool = False) -> _Lock | None:
    flags = os.O_CREAT | os.O_EXCL if create else 0
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags)
    except FileNotFoundError:
        return None
    if not holding.try_lock(fd):
        os.close(fd)
        return None
    return _Lock(path, fd)


def _remove(dead: _Lock) -> None:
    """:raises OSError: something remains."""
    try:
        keeper.end_worker(dead.folder)
    finally:
        os.close(dead.fd)


@contextmanager
def _kept(place: Workplace, lock: _Lock) -> Iterator[None]:
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid()), str(place.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[lock.fd],
        cwd="/",
        # Ctrl-C and the end of a terminal are for the owner.
        start_new_session=True,
    )
    try:
        yield
    except BaseException as error:
        if left := _end(child, place):
            error.add_note(left)
        raise
    if left := _end(child, place):
        raise WineFailed(left)


def _end(child: subprocess.Popen[bytes], place: Workplace) -> str:
    """Lets the keeper do its work; returns what it could not do."""
    try:
        _, said = child.communicate(timeout=_KEEPER_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        _, said = child.communicate()
        said += b"its keeper hangs and was killed"
    if child.returncode == 0:
        return ""
    text = said.decode(errors="replace").strip() or f"its keeper ended with {child.returncode}"
    return f"the Wine prefix {place.prefix} could not be removed: {text}; the next run tries again"
