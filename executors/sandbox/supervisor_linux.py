"""Answers the system calls of confined programs that Landlock and a filter alone cannot judge.

Two kinds. What only the supervisor can keep a program from, metadata and connecting Unix sockets, it does
itself, on a pinned object: a call is never let go on after a look at memory or names, which could be changed
in between. What Landlock denies by itself is let go on, and noted before.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Final

from executors.process.tree_linux import mark_of
from executors.sandbox.answerer_linux import Answerer
from executors.sandbox.backend import Evidence
from executors.sandbox.denial import more_telling
from executors.sandbox.denials_linux import AccessTo, Judge
from executors.sandbox.metadata_linux import change
from executors.sandbox.notifications_linux import Listener, Notification
from executors.sandbox.policy import Access
from executors.sandbox.seccomp_linux import METADATA, TUNING
from executors.sandbox.tracee_linux import Tracee, acting_as, real_path, signed
from executors.sandbox.unix_connect_linux import UnixConnect, birth_ns, read_address

_MOST_LEADERS: Final = 4096
_MOST_CONNECTS: Final = 32
_MOST_ANCESTORS: Final = 64
_NO_FILES: Final = ("pipe:[", "socket:[", "anon_inode:")


class Supervisor(Answerer):
    """Serves one filter, for all that a thread starts.

    :param thread: number of the thread that starts programs: its own calls are not judged.
    :param writable: what the policy says of a real path, for metadata and Unix sockets.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: int,
        thread: int,
        writable: AccessTo,
        judge: Judge,
    ) -> None:
        with Tracee(threading.get_native_id()) as tracee:
            self._self = tracee.identity()
        super().__init__(loop, listener, judge)
        self._thread = thread
        self._writable = writable
        self._handlers |= dict.fromkeys(METADATA, self._change)
        self._handlers |= dict.fromkeys(TUNING, self._tune)
        self._handlers |= {"connect": self._connect, "kill": self._signal}
        self._leaders: OrderedDict[int, int | None] = OrderedDict()
        self._began_ns: dict[int, int] = {}
        self._evidence: dict[int, Evidence] = {}
        self._connects = 0
        # Who has no rights over others' files can lend none.
        self._lends = self._self.user == 0 or self._self.capabilities != 0

    def started(self, leader: int, began_ns: int) -> None:
        """A process has been started whose evidence will be asked for.

        :param began_ns: a time before that, by :func:`time.time_ns`.
        """
        self._leaders[leader] = None
        self._began_ns[leader] = began_ns
        while len(self._leaders) > _MOST_LEADERS:
            self._forget(next(iter(self._leaders)))

    def evidence(self, leader: int) -> Evidence | None:
        """Returns the last thing that *leader* and its descendants were kept from, and forgets it.

        What programs do without comes second to the rest.
        """
        # What it did just before its end may wait to be looked at.
        self.serve()
        return self._forget(leader)

    def _forget(self, leader: int) -> Evidence | None:
        self._leaders.pop(leader, None)
        self._began_ns.pop(leader, None)
        return self._evidence.pop(leader, None)

    def _answer(self, listener: Listener, notification: Notification) -> None:
        if notification.thread == self._thread:
            # This process itself, such as a finalizer that happens to run there.
            listener.let_go(notification)
        else:
            super()._answer(listener, notification)

    def _change(self, tracee: Tracee, notification: Notification, name: str) -> None:
        assert self._listener is not None

        def permit(fd: int) -> None:
            path = real_path(fd)
            if path.startswith(_NO_FILES) or self._writable(path) == Access.WRITE or _is_memory(fd, path):
                return
            status = os.fstat(fd)
            if self._self.user in (0, status.st_uid):
                self._note(notification, Evidence(name, path))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        self._lend(tracee)
        change(tracee, name, notification.arguments, permit)
        self._listener.succeed(notification)

    def _tune(self, tracee: Tracee, notification: Notification, name: str) -> None:
        assert self._listener is not None
        process = signed(notification.arguments[TUNING[name]])
        others = name in ("setpriority", "ioprio_set") and notification.arguments[0] != _ONE_PROCESS[name]
        if others or not (tracee.has_thread(process) or self._leader_of(process) is not None):
            self._note(notification, Evidence(name, str(process)))
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        self._listener.let_go(notification)

    def _signal(self, tracee: Tracee, notification: Notification, name: str) -> None:
        assert self._listener is not None
        process = signed(notification.arguments[0])
        if os.path.exists(f"/proc/{process}") and self._leader_of(process) is None:
            self._note(notification, Evidence(name, str(process)))
        self._listener.let_go(notification)

    def _connect(self, tracee: Tracee, notification: Notification, name: str) -> None:
        path = read_address(tracee, notification)
        if path.startswith(b"\0"):
            self._note(notification, Evidence(name, "@" + path[1:].decode("utf-8", "replace")))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if self._connects >= _MOST_CONNECTS:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        def permit(fd: int) -> None:
            where = real_path(fd)
            born = birth_ns(fd)
            began = self._began_ns.get(self._leader_of(notification.thread) or 0)
            # What was there before is none of the program's own: an agent, the daemon of a service. The clock
            # of files may be some ms behind, so a socket made at the very start counts as foreign too.
            is_own = born is not None and began is not None and born > began
            if not is_own or self._writable(where) != Access.WRITE:
                self._note(notification, Evidence(name, where))
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        self._lend(tracee)
        connect = UnixConnect(tracee, notification, path, permit)
        try:
            # Who listens may keep the caller waiting: not the event loop.
            threading.Thread(target=self._connect_apart, args=(connect,), name="connect", daemon=True).start()
        except BaseException:
            connect.close()
            raise
        self._connects += 1

    def _connect_apart(self, connect: UnixConnect) -> None:
        code = connect.run()
        try:
            self._loop.call_soon_threadsafe(self._connected, connect, code)
        except RuntimeError:
            # The event loop is closed, and so is the listener.
            connect.close()

    def _connected(self, connect: UnixConnect, code: int) -> None:
        self._connects -= 1
        try:
            if self._listener is not None:
                connect.answer(self._listener, code)
        finally:
            connect.close()

    def _lend(self, tracee: Tracee) -> None:
        """Lets *tracee* have no more rights than its own in what is done in its place."""
        if self._lends:
            tracee.acting = partial(acting_as, tracee.identity(), self._self)

    def _note(self, notification: Notification, evidence: Evidence) -> None:
        leader = self._leader_of(notification.thread)
        if leader is not None:
            self._evidence[leader] = more_telling(self._evidence.get(leader), evidence)

    def _leader_of(self, process: int) -> int | None:
        """Returns which of those that were started *process* descends from; None for a stranger."""
        own = os.getpid()
        current = process
        for _ in range(_MOST_ANCESTORS):
            if current in self._leaders:
                return current
            parent, session = _parent_and_session(current)
            if session in self._leaders:
                return session
            if parent in (0, 1, own):
                break
            current = parent
        marks = self._marks()
        return marks.get(mark_of(process))

    def _marks(self) -> dict[int | None, int]:
        """Returns the leaders by the marks that all of their descendants carry."""
        for leader, mark in self._leaders.items():
            if mark is None:
                self._leaders[leader] = mark_of(leader)
        found: dict[int | None, int] = {
            mark: leader for leader, mark in self._leaders.items() if mark is not None
        }
        found.pop(mark_of(os.getpid()), None)
        return found


_ONE_PROCESS: Final = {"setpriority": 0, "ioprio_set": 1}


def _is_memory(fd: int, path: str) -> bool:
    """Whether it is a file that memfd_create(2) made."""
    return path.startswith("/memfd:") and os.fstat(fd).st_nlink == 0


def _parent_and_session(process: int) -> Sequence[int]:
    """Returns the numbers of the parent and of the session leader; zeros for a process that is gone."""
    try:
        with open(f"/proc/{process}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[3])
