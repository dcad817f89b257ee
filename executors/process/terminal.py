"""Pseudoterminals of POSIX systems."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from executors.process.base import DEFAULT_COLS, DEFAULT_ROWS


def open_terminal() -> tuple[int, str, int]:
    """Opens a pseudoterminal of 24 rows and 80 columns.

    :returns: the master's descriptor, the slave's path and its descriptor. The slave must stay
        open until the child has it, since the master reads an error while nobody does.
    """
    master, slave = os.openpty()
    try:
        set_size(master, DEFAULT_ROWS, DEFAULT_COLS)
        return master, os.ttyname(slave), slave
    except BaseException:
        os.close(master)
        os.close(slave)
        raise


def set_size(fd: int, rows: int, cols: int) -> None:
    """Sets the size; the kernel sends SIGWINCH to the foreground process group (tty_ioctl(4))."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
