"""The running Python interpreter, started once more inside of a sandbox."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# What an interpreter or its loader may not start without: no secrets, nothing of a caller's.
_VARIABLES: Final = frozenset({"SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH"})


def command() -> list[str]:
    """Returns what starts it, without the user's settings and packages, before the name of a script.

    That of a virtual environment is the one that it was made with.

    :raises FileNotFoundError: there is none, as in a program that has it built in.
    """
    path = getattr(sys, "_base_executable", None) or sys.executable
    if not path or not os.path.isfile(path) or getattr(sys, "frozen", False):
        raise FileNotFoundError(f"this program has no Python interpreter of its own to start ({path or '?'})")
    # Of which a sandbox may not show the links that lead there.
    return [os.path.realpath(path), "-I", "-S", "-B", "-X", "utf8"]


def places() -> tuple[Path, ...]:
    """Returns what it reads when it starts, free of symbolic links, besides what every program does."""
    prefixes = (sys.base_prefix, sys.base_exec_prefix, os.path.dirname(command()[0]))
    return tuple(dict.fromkeys(Path(os.path.realpath(prefix)) for prefix in prefixes))


def environment() -> Mapping[str, str]:
    """Returns all of the environment that it needs."""
    return {name: value for name, value in os.environ.items() if name.upper() in _VARIABLES}
