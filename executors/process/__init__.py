"""Starts and watches processes; the backend of this operating system is chosen here, once."""

from __future__ import annotations

import asyncio
import sys

from executors.process.base import Backend


def open_backend(loop: asyncio.AbstractEventLoop) -> Backend:
    """Returns the backend of this operating system, bound to the running *loop*.

    POSIX: must be called on the main thread, since the backend handles SIGCHLD.
    """
    if sys.platform == "win32":
        from executors.process.windows import WindowsBackend

        return WindowsBackend(loop)
    from executors.process.posix import PosixBackend

    return PosixBackend(loop)
