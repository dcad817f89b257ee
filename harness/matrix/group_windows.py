"""A program with all that it starts, to be ended as one, on Windows: a process and its descendants."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

assert sys.platform == "win32"

CREATION_FLAGS: Final = subprocess.CREATE_NEW_PROCESS_GROUP
"""Of subprocess: Ctrl-C at the console is not for it."""


def terminate(pid: int) -> None:
    """As :func:`kill`: a console program can be asked to end only by Ctrl-Break, which kills Python."""
    kill(pid)


def kill(pid: int) -> None:
    """Ends *pid* and its descendants."""
    subprocess.run(
        ["taskkill", "/T", "/F", "/PID", str(pid)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def sweep(pid: int) -> None:
    """Nothing: what outlives its parent cannot be found by it."""
