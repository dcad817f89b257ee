"""A program with all that it starts, to be ended as one, on POSIX: a process group."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Final

assert sys.platform != "win32"

CREATION_FLAGS: Final = 0
"""Of subprocess; the group comes of ``start_new_session``."""


def terminate(pid: int) -> None:
    """Asks all of the group that *pid* leads to end."""
    _send(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """Ends all of the group that *pid* leads."""
    _send(pid, signal.SIGKILL)


def sweep(pid: int) -> None:
    """Ends what is left of the group that *pid*, which has ended, led; nearly always that is nothing."""
    _send(pid, signal.SIGKILL)


def _send(pid: int, number: signal.Signals) -> None:
    # macOS refuses it where the only members are zombies.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
