"""Who descends from a process, on Linux, even after daemonizing.

A descendant can leave its process group and session, lose its parent and clear its
environment. Two things stay with it. While its ancestors live, /proc lists it below them.
When one dies, the kernel hands its children to the nearest subreaper, which is this process
(PR_SET_CHILD_SUBREAPER, prctl(2)); and each carries a resource limit that fork(2) and
execve(2) pass on: a soft RLIMIT_RTTIME with a value of its own per process started. The
values are astronomically high, and the limit concerns real-time scheduling only, so that
nothing changes but the number shown by ``ulimit -R``. It needs no privilege and no cgroup.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

_PR_SET_CHILD_SUBREAPER = 36
_FIRST_MARK = 1 << 60
# The kernel rounds this limit up in 64-bit arithmetic: values near the maximum would wrap.
_LAST_MARK = 1 << 62
_LIMIT_NAME = b"Max realtime timeout"


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process.

    :raises OSError: the kernel refused (it is older than 3.4).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class TreeKeeper:
    """Marks what is started, so that it is known again; one for each backend."""

    def __init__(self) -> None:
        become_subreaper()
        # A random start keeps executors apart that run below one another.
        self._next = _FIRST_MARK + int.from_bytes(os.urandom(6), "little")
        self._own = resource.getrlimit(resource.RLIMIT_RTTIME)
        self.spare = SpareDescriptor()
        self._scan: dict[int | None, list[int]] | None = None

    @contextmanager
    def marking(self) -> Iterator[ProcessTree]:
        """What this thread starts in the block carries the mark of the tree that is yielded."""
        soft, hard = self._next, self._own[1]
        if hard != resource.RLIM_INFINITY:
            soft = hard - (soft - _FIRST_MARK) % max(1, hard)
        self._next += 1
        resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))
        try:
            yield ProcessTree(soft, self)
        finally:
            resource.setrlimit(resource.RLIMIT_RTTIME, self._own)

    def has_orphans(self, is_live: Callable[[int], bool]) -> bool:
        """Whether any child is no leader: an orphan that was handed to this process."""
        return bool(self.orphans(is_live))

    def orphans(self, is_live: Callable[[int], bool]) -> dict[int | None, list[int]]:
        """Returns the orphans that were handed to this process, zombies too, by their marks."""
        if self._scan is not None:
            return self._scan
        found: dict[int | None, list[int]] = {}
        with self.spare.lent():
            for pid in own_children():
                if not is_live(pid):
                    found.setdefault(mark_of(pid), []).append(pid)
        return found

    def share_scan(self, is_live: Callable[[int], bool]) -> None:
        """Looks for orphans now, for all trees, until :meth:`forget_scan`.

        In between nothing may be reaped, so that no number can come to mean another process.
        """
        self._scan = None
        self._scan = self.orphans(is_live)

    def forget_scan(self) -> None:
        self._scan = None

    def close(self) -> None:
        self.spare.close()


class SpareDescriptor:
    """One descriptor kept back: /proc must be readable where processes have used up all others."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within the block one file can be opened."""
        self.close()
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take(self) -> None:
        # Another thread may have got it meanwhile; the next time is another chance.
        with suppress(OSError):
            self._fd = os.open(os.devnull, os.O_RDONLY)


class ProcessTree:
    """A process and its descendants.

    :ivar leader: the process while it is not reaped, else None.
    """

    def __init__(self, mark: int, keeper: TreeKeeper) -> None:
        self.leader: int | None = None
        self._mark = mark
        self._keeper = keeper

    def members(self, is_live: Callable[[int], bool]) -> list[int]:
        """Returns those that have not ended, parents before children.

        :param is_live: tells the leaders of this and other trees from orphans.
        """
        roots = self._roots(is_live)
        with self._keeper.spare.lent():
            return [pid for pid in descendants(roots) if not is_zombie(pid)]

    def has_members(self, is_live: Callable[[int], bool]) -> bool:
        """Whether any may be left; those that wait to be reaped count."""
        return bool(self._roots(is_live))

    def kill(self, is_live: Callable[[int], bool]) -> bool:
        """Kills all members there are now.

        :returns: whether none was left, and none is left to reap. If not, the death of each
            ends in a SIGCHLD to this process, which is the time to call again: what was forked
            meanwhile is found then, and so are the children of one that ended while it was
            looked at, which the kernel hands over before its parent can be reaped.
        """
        roots = self._roots(is_live)
        with self._keeper.spare.lent():
            for pid in descendants(roots):
                kill(pid)
        return not roots

    def _roots(self, is_live: Callable[[int], bool]) -> list[int]:
        """Returns those of the tree that are children of this process, zombies too."""
        leader = [] if self.leader is None else [self.leader]
        return leader + self._keeper.orphans(is_live).get(self._mark, [])


def mark_of(pid: int) -> int | None:
    """Returns the mark of *pid*, or None for a process that is gone or has none."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    at = text.find(_LIMIT_NAME)
    words = text[at + len(_LIMIT_NAME) :].split(None, 1) if at >= 0 else []
    return int(words[0]) if words and words[0].isdigit() else None


def own_children() -> Iterator[int]:
    """Yields the children of this process, if called on the thread that starts all of them."""
    return children(os.getpid(), threading.get_native_id())


def children(pid: int, *threads: int) -> Iterator[int]:
    """Yields the children of *pid*; nothing for a process that is gone.

    :param threads: only those of these threads. The kernel gives orphans to the first live
        thread of a subreaper, and children to the thread that started them.
    """
    try:
        names: Iterable[object] = threads or os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in names:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                listed = file.read()
        except OSError:
            continue
        yield from map(int, listed.split())


def descendants(roots: list[int]) -> list[int]:
    """Returns *roots* and all below them, parents before children."""
    found = dict.fromkeys(roots)
    queue = list(found)
    for pid in queue:
        for child in children(pid):
            if child not in found:
                found[child] = None
                queue.append(child)
    return queue


def is_zombie(pid: int) -> bool:
    """Whether *pid* has ended and waits to be reaped, or is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].split(None, 1)[0] in (b"Z", b"X")
    except OSError:
        return True


def kill(pid: int) -> None:
    """Kills *pid*; one that is gone or beyond our rights is left to the caller's next look."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
