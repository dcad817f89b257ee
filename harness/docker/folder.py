"""The local folder of one run: the executor's log, and the socket that leads to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.docker.errors import DockerFailed
from harness.docker.owner import Owner

_PREFIX: Final = "crossexec-docker-"
# A socket's path has at most 103 bytes, and some of them follow.
_MAX_PARENT_BYTES: Final = 20


@contextmanager
def run_folder() -> Iterator[Path]:
    """Makes a folder that is this user's alone, and removes it at the end.

    :raises DockerFailed: it cannot be made.
    """
    owner = Owner.current()
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{owner}-", dir=_parent()))
    except OSError as error:
        raise DockerFailed(f"no folder for the socket can be made in {_parent()}: {error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def remove_dead_folders() -> list[Path]:
    """Removes the folders of this user's dead runs; returns them.

    :raises DockerFailed: one cannot be removed.
    """
    removed = []
    for folder in _parent().glob(f"{_PREFIX}*"):
        owner = Owner.parse(folder.name.removeprefix(_PREFIX).rpartition("-")[0])
        try:
            mine = folder.lstat().st_uid == os.getuid()
            if mine and owner is not None and owner.is_known_dead():
                shutil.rmtree(folder)
                removed.append(folder)
        except FileNotFoundError:
            # Another run was quicker.
            continue
        except OSError as error:
            raise DockerFailed(f"the folder {folder} of a dead run cannot be removed: {error}") from error
    return removed


def _parent() -> Path:
    chosen = tempfile.gettempdir()
    return Path(chosen if len(os.fsencode(chosen)) <= _MAX_PARENT_BYTES else "/tmp")
