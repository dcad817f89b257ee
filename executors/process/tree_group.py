"""Who descends from a process, on POSIX systems other than Linux: its process group.

Descendants that have left the group are not found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class TreeKeeper:
    """See :class:`executors.process.tree_linux.TreeKeeper`; nothing is marked or held here."""

    @contextmanager
    def marking(self) -> Iterator[ProcessTree]:
        yield ProcessTree()

    def has_orphans(self, is_live: Callable[[int], bool]) -> bool:
        """They cannot be seen here."""
        return True

    def share_scan(self, is_live: Callable[[int], bool]) -> None: ...

    def forget_scan(self) -> None: ...

    def close(self) -> None: ...


class ProcessTree:
    """A process and its process group, which it leads."""

    def __init__(self) -> None:
        self.leader: int | None = None
        self._group: int | None = None

    def members(self, is_live: Callable[[int], bool]) -> list[int]:
        """Returns the leader if it is not reaped."""
        return [] if self.leader is None else [self.leader]

    def has_members(self, is_live: Callable[[int], bool]) -> bool:
        """Whether the leader is not reaped; of others nothing is known here."""
        return self.leader is not None

    def kill(self, is_live: Callable[[int], bool]) -> bool:
        """Kills the group.

        :returns: whether the leader is reaped; the others were killed with it.
        """
        self._group = self.leader or self._group
        if self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        return self.leader is None
