"""A view of the file system that nobody else changes: what is mounted outside later does not get in there.

A mount that comes up below one that is only to be read would be as its maker made it: to be written.

The devices that every program gets are on mounts that are read-only: that keeps their modes, owners and times
from a super-user, who owns them, and nobody from writing to the devices. Mounts made from these are so too.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from io import FileIO
from typing import Final, Self

from executors.sandbox.seccomp_linux import require_architecture
from executors.sandbox.system_calls_linux import system_call
from executors.sandbox.thread_linux import ConfinedThread

_NEW_MOUNTS: Final = 0x0002_0000
_PRIVATE: Final = 0x4_0000 | 0x4000
"""Also what is mounted further in."""
_BIND: Final = 0x1000
_TO_READ_ONLY: Final = 0x20 | _BIND | 1 | 2 | 8
"""MS_REMOUNT, of this mount alone, with MS_RDONLY, MS_NOSUID and MS_NOEXEC."""
_DEVICES: Final = (*(b"/dev/" + name for name in (b"null", b"zero", b"full", b"random", b"urandom", b"tty")),)


class PrivateMounts:
    """A thread that starts programs, whose mounts are those that this process had at some moment.

    :raises OSError: the system refuses: it takes a super-user.
    """

    def __init__(self) -> None:
        self._changes = select.poll()
        self._table = FileIO("/proc/self/mountinfo")
        try:
            self._outside = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._changes.register(self._table, select.POLLPRI)
                self._changes.poll(0)
                self._mounted = self._look()
                self._thread = ConfinedThread(self._leave)
            except BaseException:
                os.close(self._outside)
                raise
        except BaseException:
            self._table.close()
            raise

    @classmethod
    def if_possible(cls) -> Self | None:
        """Returns one; None where the system refuses."""
        try:
            return cls()
        except PermissionError:
            return None

    def renew(self) -> bool:
        """Takes this process's mounts anew if they have changed; returns whether they had.

        What runs already keeps what it has.
        """
        if not self._changes.poll(0) or self._mounted == (mounted := self._look()):
            return False
        self._mounted = mounted
        self._thread.call(self._return)
        return True

    def start(self, spawn: Callable[[], int]) -> int:
        """Returns what *spawn* returns on the thread."""
        return self._thread.call(spawn)

    def close(self) -> None:
        self._thread.close()
        self._table.close()
        os.close(self._outside)

    def _look(self) -> frozenset[bytes]:
        """Returns where what is mounted, and how; not that of namespaces, where nothing can be read."""
        self._table.seek(0)
        lines = (line.split(b" ", 2)[2] for line in self._table.readall().splitlines())
        return frozenset(line for line in lines if b" - nsfs " not in line)

    def _return(self) -> int:
        system_call(require_architecture().numbers["setns"], self._outside, _NEW_MOUNTS)
        self._leave()
        return 0

    def _leave(self) -> None:
        numbers = require_architecture().numbers
        system_call(numbers["unshare"], _NEW_MOUNTS)
        system_call(numbers["mount"], None, b"/", None, _PRIVATE, None)
        for device in _DEVICES:
            if os.path.exists(device):
                system_call(numbers["mount"], device, device, None, _BIND, None)
                system_call(numbers["mount"], None, device, None, _TO_READ_ONLY, None)
