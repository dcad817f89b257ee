"""The folder that a running program takes for its user's settings: its own, and empty."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.docker.owner import Owner
from harness.executor_kinds.codex.program import folder

_FOREIGN: Final = ("CODEX_", "OPENAI_")
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")


@contextmanager
def new_home() -> Iterator[Path]:
    """Makes one, and removes it at the end.

    It lies in the cache: what lies below the system's folder for temporary files may be written to by what
    runs in a sandbox, and the program would not let its settings be there.
    """
    homes = folder() / "homes"
    homes.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=f"{Owner.current()}-", dir=homes))
    try:
        yield home
    finally:
        # The program may still be at it while it ends.
        shutil.rmtree(home, ignore_errors=True)


def remove_dead_homes() -> list[Path]:
    """Removes those of runs that are dead; returns them."""
    removed = []
    homes = folder() / "homes"
    for home in homes.iterdir() if homes.is_dir() else ():
        owner = Owner.parse(home.name.rpartition("-")[0])
        if owner is not None and owner.is_known_dead():
            shutil.rmtree(home, ignore_errors=True)
            removed.append(home)
    return removed


def environ(*, dials_out: bool = False) -> Mapping[str, str]:
    """Returns this process's variables without settings of the program that the user happens to have.

    :param dials_out: without proxies: the program would ask them even for what is on this machine.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not (dials_out and name.lower() in _PROXIES)
    }
