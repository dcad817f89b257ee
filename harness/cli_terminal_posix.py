"""The terminal that ``crossexec run`` itself runs in, on POSIX."""

from __future__ import annotations

import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

assert sys.platform != "win32"

RESIZED = signal.SIGWINCH
"""Sent when the terminal has a new size; None where there is no such signal."""

ENDINGS = (signal.SIGTERM, signal.SIGHUP)
"""Signals besides SIGINT that ask this process to end."""


@contextmanager
def raw() -> Iterator[None]:
    """Hands every key on as it is, Ctrl-C too, while the block runs."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
