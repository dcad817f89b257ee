"""What several processes need and only one must make."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def create_once(path: Path, create: Callable[[Path], None]) -> Path:
    """Returns *path*, made by the first of all processes that asks; the others wait for it.

    It appears whole or not at all: *create* works on another path, which is renamed at the end, so
    that one who fails or is killed leaves nothing that others would take for the result.

    :param create: gets the path of a file or directory to make; its directory exists.
    :raises Exception: what *create* raised; the next to ask tries again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            unfinished = path.with_name(f"{path.name}.unfinished")
            _remove(unfinished)
            try:
                create(unfinished)
                os.replace(unfinished, path)
            except BaseException:
                _remove(unfinished)
                raise
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
