"""The folder of what is made once."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from harness.cache import VARIABLE, cache_folder
from harness.cleaning import bytes_of
from harness.doctor.model import Fact, State

_GROUP: Final = "cache"
_NEEDED_BY: Final = ("docker", "wine-exec")
_KINDS: Final = {
    "wine": "Wine",
    "docker": "containers",
    "windows-python-build": "build of the Windows Python",
    "pythons": "virtual environments",
    "codex": "released exec-server",
}
# A Wine prefix, see harness.wine.prefix; the build of a Windows Python takes 2 GB.
_LEAST_BYTES: Final = 900 * 2**20
_ENOUGH_BYTES: Final = 2 * 10**9


def facts() -> list[Fact]:
    try:
        folder = cache_folder()
    except OSError as error:
        return [Fact(_GROUP, "folder", State.BROKEN, str(error), "", _NEEDED_BY)]
    origin = f"by {VARIABLE}" if os.environ.get(VARIABLE) else "the user's own"
    trouble = _why_not_writable(folder)
    remedy = f"make it writable, or name another folder by {VARIABLE}"
    if trouble:
        return [Fact(_GROUP, "folder", State.BROKEN, f"{folder} ({origin}): {trouble}", remedy, _NEEDED_BY)]
    return [Fact(_GROUP, "folder", State.OK, f"{folder} ({origin})"), _size(folder), _room(folder)]


def _why_not_writable(folder: Path) -> str:
    try:
        if folder.exists():
            with tempfile.TemporaryFile(dir=folder):
                return ""
        parent = _existing(folder)
    except OSError as error:
        return f"it cannot be written to: {error.strerror or error}"
    if not parent.is_dir():
        return f"{parent} is no folder"
    if not os.access(parent, os.W_OK | os.X_OK):
        return f"it cannot be made: {parent} cannot be written to"
    return ""


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _size(folder: Path) -> Fact:
    if not folder.exists():
        return Fact(_GROUP, "size", State.LATER, "nothing was made yet")
    sizes = {what: bytes_of(folder / name) for name, what in _KINDS.items() if (folder / name).exists()}
    parts = ", ".join(f"{what} {size >> 20}" for what, size in sizes.items())
    total = sum(sizes.values())
    return Fact(_GROUP, "size", State.OK, f"{total >> 20} MiB{f': {parts}' if parts else ''}")


def _room(folder: Path) -> Fact:
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free >> 20} MiB free"
    if free < _LEAST_BYTES:
        remedy = f"crossexec clean, or name a folder on another disk by {VARIABLE}"
        return Fact(_GROUP, "room", State.MISSING, f"{found}, and a Wine prefix takes 900", remedy)
    if free < _ENOUGH_BYTES:
        return Fact(_GROUP, "room", State.OK, f"{found}; too little to build a Windows Python, 2 GB")
    return Fact(_GROUP, "room", State.OK, found)
