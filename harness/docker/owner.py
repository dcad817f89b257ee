"""Who a container or folder belongs to: one process of one machine, alive or not."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Owner:
    """A process, never taken for another with the same number. Linux.

    :ivar machine: of its host name and machine-id(5).
    :ivar boot: of /proc/sys/kernel/random/boot_id.
    :ivar namespace: of processes, for the number means nothing in another: the inode of pid_namespaces(7).
    :ivar started: field 22 of /proc/PID/stat, clock ticks since the boot.
    """

    machine: str
    boot: str
    namespace: int
    pid: int
    started: int

    @classmethod
    def current(cls) -> Self:
        """This process."""
        try:
            machine_id = Path("/etc/machine-id").read_text()
        except OSError:
            machine_id = ""
        pid = os.getpid()
        started = _started(pid)
        assert started is not None
        return cls(
            hashlib.sha256(f"{socket.gethostname()}\0{machine_id}".encode()).hexdigest()[:8],
            Path("/proc/sys/kernel/random/boot_id").read_text()[:8],
            os.stat("/proc/self/ns/pid").st_ino,
            pid,
            started,
        )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Returns the owner that *text* names; None if it names none."""
        parts = text.split("-")
        if len(parts) != 5 or not all(part.isdigit() for part in parts[2:]):
            return None
        return cls(parts[0], parts[1], *map(int, parts[2:]))

    def __str__(self) -> str:
        return f"{self.machine}-{self.boot}-{self.namespace}-{self.pid}-{self.started}"

    def is_known_dead(self) -> bool:
        """Whether it has certainly ended; what cannot be known from here counts as alive."""
        here = Owner.current()
        if self.machine != here.machine:
            return False
        if self.boot != here.boot:
            return True
        return self.namespace == here.namespace and _started(self.pid) != self.started


def _started(pid: int) -> int | None:
    """Returns when the process was started; None if it is gone, or has ended and nobody has waited for it."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
