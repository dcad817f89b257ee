"""Frees what nothing uses any more of what was made once for all runs."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from harness.shared import DEBRIS, LOCK, is_in_use, remove_debris, remove_unused

_BLOCK_BYTES: Final = 4096  # what a file takes at least, as most file systems are made


@dataclass(frozen=True)
class Removed:
    """One thing that is gone.

    :ivar what: it was, for people; the same for all things of a kind.
    :ivar bytes: freed on the disk; 0 if that is not known.
    """

    what: str
    bytes: int = 0


@dataclass
class Cleaned:
    """What came of cleaning.

    :ivar kept: what could not be removed, or not be judged, and why; for people.
    """

    removed: list[Removed] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __iadd__(self, other: Self) -> Self:
        self.removed += other.removed
        self.kept += other.kept
        return self


def sweep(folder: Path, kinds: Mapping[str, str], is_wanted: Callable[[str], bool]) -> Cleaned:
    """Removes from *folder* what :func:`harness.shared.create_once` has made there and nobody wants or uses.

    Whatever is used or being made at this moment stays, and so does what is of no kind that is known.

    :param kinds: what a name begins with, and what such a thing is, for people.
    """
    cleaned = Cleaned()
    for name in sorted(_made_names(folder)):
        what = next((what for start, what in kinds.items() if name.startswith(start)), None)
        path = folder / name
        if what is None:
            continue
        try:
            if path.exists() and is_wanted(name):
                if size := freed_by(*_debris(path)):
                    remove_debris(path)
                    cleaned.removed.append(Removed(f"half-made {what}", size))
                continue
            there = path.exists()
            size = freed_by(path, *_debris(path))
            if remove_unused(path):
                cleaned.removed.append(
                    Removed(what if there else f"half-made {what}" if size else "lock file", size)
                )
            else:
                cleaned.kept.append(f"{path}: somebody uses it or makes it")
        except OSError as error:
            cleaned.kept.append(f"{path} cannot be removed: {error}")
    return cleaned


def names_in_use(folder: Path, kinds: Mapping[str, str]) -> list[str]:
    """Returns, for people, what of *folder* is made or used at this moment; as :func:`sweep`."""
    found = []
    for name in sorted(_made_names(folder)):
        for start, what in kinds.items():
            if name.startswith(start) and is_in_use(folder / name):
                found.append(f"{what} {folder / name}")
                break
    return found


def freed_by(*paths: Path) -> int:
    """Returns how many bytes the removal of *paths* frees on the disk; a file with other links frees none."""
    return sum(
        _on_disk(status)
        for path in paths
        for status in _statuses(path)
        if status.st_nlink == 1 or stat.S_ISDIR(status.st_mode)
    )


def bytes_of(*paths: Path) -> int:
    """Returns how many bytes *paths* take on the disk, each file once however many links it has."""
    found = {(status.st_dev, status.st_ino): _on_disk(status) for path in paths for status in _statuses(path)}
    return sum(found.values())


def _on_disk(status: os.stat_result) -> int:
    return -(-status.st_size // _BLOCK_BYTES) * _BLOCK_BYTES


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """The status of *path* and of all below it; what goes meanwhile is left out."""
    waiting = [path]
    while waiting:
        current = waiting.pop()
        try:
            status = current.lstat()
            if stat.S_ISDIR(status.st_mode):
                waiting += (Path(entry) for entry in os.scandir(current))
        except OSError:
            continue
        yield status


def _made_names(folder: Path) -> set[str]:
    """The names that were, are or were to be made, by what lies there of them."""
    names = set()
    if folder.is_dir():
        for found in os.listdir(folder):
            base = next((found.removesuffix(end) for end in (LOCK, *DEBRIS) if found.endswith(end)), found)
            names.add(base)
    return names


def _debris(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in DEBRIS]
