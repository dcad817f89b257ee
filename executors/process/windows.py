"""Processes on Windows: not there yet, and it says so.

The names are those of :mod:`executors.process.base`.
"""

from __future__ import annotations

import asyncio

from executors.process.base import ChildProcess, ProcessObserver, SpawnRequest


class WindowsBackend:
    """Stands where the Windows backend will; every spawn is refused."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> ChildProcess:
        """
        :raises OSError: always.
        """
        raise OSError("this executor cannot start processes on Windows yet; its files can be used")

    def has_orphans(self) -> bool:
        return False

    async def close(self) -> None:
        """Holds nothing."""
