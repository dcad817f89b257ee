"""Removes virtual environments of other Pythons that nobody needs any more."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from harness.cleaning import Cleaned, Removed, freed_by
from harness.matrix.pythons import FOLDER, READY, wanted_environments
from harness.shared import LOCK, remove, try_lock

_PROC: Final = Path("/proc")


def in_use(cache: Path) -> list[str]:
    """Returns, for people, the virtual environments that are made or used at this moment.

    Who uses one is seen on Linux only; elsewhere it is whoever makes one.
    """
    return [f"virtual environment {folder}" for folder in _folders(cache) if _is_in_use(folder)]


def clean(cache: Path, everything: bool) -> Cleaned:
    """Removes those of other Pythons and other states of this project; with *everything*, all of them.

    What somebody uses stays.
    """
    cleaned = Cleaned()
    folders = _folders(cache)
    wanted = set() if everything else wanted_environments({folder.name.split("-")[0] for folder in folders})
    for folder in folders:
        if folder.name in wanted and (folder / READY).exists():
            continue
        try:
            if _is_in_use(folder):
                cleaned.kept.append(f"{folder}: somebody uses it or makes it")
                continue
            size = freed_by(folder)
            with try_lock(folder / READY) as is_locked:
                if not is_locked:
                    continue
                # Without READY the environment counts as none, however little of it is gone. The folder
                # stays with its lock: somebody may wait for it, to make the environment anew.
                for path in sorted(_content(folder), key=lambda path: path.name != READY):
                    remove(path)
            cleaned.removed.append(Removed("virtual environment of another Python", size))
        except OSError as error:
            cleaned.kept.append(f"{folder} cannot be removed: {error}")
    return cleaned


def _folders(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / FOLDER).glob("*-*") if path.is_dir() and _content(path))


def _content(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != f"{READY}{LOCK}"]


def _is_in_use(folder: Path) -> bool:
    with try_lock(folder / READY) as is_locked:
        return not is_locked or _has_processes(folder)


def _has_processes(folder: Path) -> bool:
    """Whether a program runs that was started by its path in *folder*. Linux; False elsewhere."""
    mark = os.fsencode(folder / "venv") + b"/"
    for path in _PROC.glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(mark):
                return True
    return False
