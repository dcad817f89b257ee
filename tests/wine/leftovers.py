"""Sees what Wine environments have left on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def workers(cache: Path) -> list[Path]:
    """Returns the folders of workers that there are."""
    return [path for path in (cache / "workers").glob("*") if path.is_dir()]


def processes_below(cache: Path) -> list[int]:
    """Returns all processes whose Wine prefix is in the *cache*."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                variables = Path("/proc", name, "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(entry.startswith(b"WINEPREFIX=" + os.fsencode(cache)) for entry in variables):
                found.append(int(name))
    return found


def unfinished(cache: Path) -> list[Path]:
    """Returns what somebody began to make and nobody finished or removed."""
    return [*cache.glob("*.unfinished"), *cache.glob("*.damaged")]
