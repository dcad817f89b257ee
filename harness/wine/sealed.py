"""Directory trees that are made once and given to every worker without copying their bytes."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock

from harness.shared import create_once, remove_unused, using

_MANIFEST: Final = "manifest.json"
_TRIES: Final = 3
_FORGOTTEN_SECONDS: Final = 60 * 86400.0
_LOG: Final = logging.getLogger(__name__)


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """What a path of the tree was when it was sealed; a directory has only a mode."""

    path: str
    mode: int
    size: int = 0
    mtime_ns: int = 0


class _Damaged(Exception):
    """A sealed file was written through a link of a worker, or is gone."""


@dataclass(frozen=True)
class SealedTree:
    """A tree in the cache that nobody may write to; it is made by the first who needs it.

    Workers get hard links to its files, so one that writes into a file would change it for all:
    size, time and mode are compared at every use, and a tree that has changed is made anew.

    :ivar folder: its place in the cache; the name must tell its content.
    :ivar make: fills an empty directory, given its path; what it raises reaches the user of the tree.
    :ivar is_linked: whether the file at a path relative to the tree is never written to by workers; the
        others get copies.
    """

    folder: Path
    make: Callable[[Path], None]
    is_linked: Callable[[str], bool] = lambda path: True

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def exists(self) -> bool:
        return self.folder.is_dir()

    def create(self) -> None:
        """Makes the tree, if it is not there.

        :raises OSError: the cache cannot be written.
        """
        if not self.exists():
            create_once(self.folder, self._create)
            _forget_unused(self.folder.parent)

    @contextmanager
    def used(self) -> Iterator[None]:
        """The tree is there as long as the context lasts; it is made if it is not.

        :raises OSError: the cache cannot be written.
        """
        self.create()  # which also tidies up
        with using(self.folder, self._create):
            yield

    def place(self, destination: Path) -> None:
        """Puts the tree at *destination*, where nothing may be.

        :raises OSError: the cache cannot be written, or the tree cannot be kept whole.
        """
        for _ in range(_TRIES):
            try:
                with self.used():
                    self._link(destination)
                    os.utime(self.folder)
                return
            except _Damaged as damage:
                _LOG.warning("%s; making it anew", damage)
                shutil.rmtree(destination, ignore_errors=True)
                self._discard()
        raise OSError(f"{self.folder} is changed again and again while it is used")

    def _create(self, unfinished: Path) -> None:
        tree = unfinished / "tree"
        tree.mkdir(parents=True)
        self.make(tree)
        (unfinished / _MANIFEST).write_bytes(msgspec.json.encode(_entries(tree)))

    def _discard(self) -> None:
        """Removes the tree, unless another process has made it anew meanwhile."""
        with FileLock(f"{self.folder}.lock"):
            if self.folder.exists() and self._find_damage() is not None:
                damaged = self.folder.with_name(f"{self.folder.name}.damaged")
                shutil.rmtree(damaged, ignore_errors=True)
                self.folder.rename(damaged)
                shutil.rmtree(damaged, ignore_errors=True)

    def _read_manifest(self) -> list[_Entry]:
        try:
            return msgspec.json.decode((self.folder / _MANIFEST).read_bytes(), type=list[_Entry])
        except (FileNotFoundError, msgspec.DecodeError) as error:
            raise _Damaged(f"{self.folder} has lost its manifest: {error}") from error

    def _find_damage(self) -> _Damaged | None:
        try:
            for entry in self._read_manifest():
                self._check(entry)
        except _Damaged as damage:
            return damage
        return None

    def _check(self, entry: _Entry) -> None:
        path = self.tree / entry.path
        try:
            found = _entry(entry.path, path.lstat())
        except FileNotFoundError:
            raise _Damaged(f"{path} is gone") from None
        if found != entry:
            raise _Damaged(f"{path} was written to through a link: it was {entry}, it is {found}")

    def _link(self, destination: Path) -> None:
        destination.mkdir(parents=True)
        for entry in self._read_manifest():
            source, target = self.tree / entry.path, destination / entry.path
            self._check(entry)
            if stat.S_ISDIR(entry.mode):
                target.mkdir()
            elif stat.S_ISLNK(entry.mode):
                target.symlink_to(os.readlink(source))
            elif not (self.is_linked(entry.path) and _try_link(source, target)):
                shutil.copy2(source, target)


def _forget_unused(cache: Path) -> None:
    """Removes the trees that nobody has used for long: other versions of Wine, of the executor."""
    oldest = time.time() - _FORGOTTEN_SECONDS
    for manifest in cache.glob(f"*/{_MANIFEST}"):
        folder = manifest.parent
        # Another process may be at it, too.
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < oldest:
                remove_unused(folder)


def _try_link(source: Path, target: Path) -> bool:
    """Whether a hard link could be made; not every file system has them, or has them without end."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _entry(path: str, status: os.stat_result) -> _Entry:
    if stat.S_ISDIR(status.st_mode):
        return _Entry(path, status.st_mode)
    return _Entry(path, status.st_mode, status.st_size, status.st_mtime_ns)


def _entries(tree: Path) -> list[_Entry]:
    """Returns what is below *tree*, directories before what they hold."""
    found = []
    waiting = [tree]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            status = path.lstat()
            found.append(_entry(str(path.relative_to(tree)), status))
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
    return found
