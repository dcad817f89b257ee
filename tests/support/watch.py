"""Sees when processes end, and what a process holds, through /proc and pidfds (Linux)."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 60.0
"""How long a test waits for an event before it calls it missing; no test passes by it."""


class Watched:
    """A process seen by pidfd, so that its number cannot be mistaken after its end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid)

    def has_ended(self, within: float = 0.0) -> bool:
        """Whether it has ended or ends *within* so many seconds; a zombie has ended."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(within * 1000))

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class Holdings:
    """What a process holds at one time."""

    fds: int
    threads: int
    children: tuple[int, ...]
    links: tuple[str, ...] = field(default=(), compare=False)
    """What the descriptors lead to; only to be read."""


def holdings(pid: int | None = None) -> Holdings:
    """Returns what process *pid* holds, by default this one."""
    proc = Path("/proc", "self" if pid is None else str(pid))
    links = []
    for fd in os.listdir(proc / "fd"):
        try:
            links.append(os.readlink(proc / "fd" / fd))
        except FileNotFoundError:
            continue
    # Listing our own directory takes a descriptor, which is gone by the time its link is read.
    return Holdings(len(links), len(os.listdir(proc / "task")), tuple(children(pid)), tuple(links))


def children(pid: int | None = None) -> list[int]:
    """Returns the children of *pid*, zombies too."""
    found: list[int] = []
    for task in Path("/proc", "self" if pid is None else str(pid), "task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except FileNotFoundError:
            continue
    return sorted(found)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes(pid: int) -> int:
    """Returns the most that *pid* has had resident since it started or :func:`forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"/proc/{pid}/status has no VmHWM")


def forget_peak(pid: int) -> None:
    """Sets the peak of :func:`peak_resident_bytes` to what is resident now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Returns once *condition* holds, where the system offers no event to wait for.

    :param what: what the error says.
    :raises AssertionError: it does not come to hold.
    """
    deadline = time.monotonic() + SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"after {SECONDS:g} s: {what()}"
        pause.wait(0.002)
