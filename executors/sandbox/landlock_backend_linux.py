"""The sandbox backend of Landlock and seccomp: a thread a policy, no program in between.

Landlock keeps files from being opened, made, moved and removed, TCP, signals, tracing and abstract Unix
sockets; it reports nothing. A filter of system calls refuses what it has no say in, and lets a supervisor
in this process judge the rest: changing metadata, connecting Unix sockets. What Landlock denies passes the
supervisor first, as evidence.

Watched, so that its denial is evidence: opening files for writing, and for reading where the policy does not
let everything be read; making, moving and removing files, directories and links; mode, owner, times and
extended attributes; sockets other than of the family AF_UNIX (and AF_NETLINK, which libraries try by chance);
connecting Unix sockets; ``kill``; mounting, tracing and the like. Not watched: executing a program that may
not be read, signals by other calls than ``kill``, and calls that a filter around this process refuses first.

From the first confinement on, this process can neither be traced nor leave a core: for the thread is one of
the confined.

Stricter than the policy asks for: no device nodes, namespaces or tracing inside; no shared memory, semaphores
or queues of System V; no datagrams between Unix sockets and no abstract ones with the network restricted. A
program that makes itself unreadable to its peers, as one does that changes its user, cannot change metadata
where this process lacks CAP_SYS_PTRACE. With the network restricted a Unix socket can be connected in every
place that may be written, whoever listens there, if it is younger than the program. A
watched call fails with EINTR where a handler without SA_RESTART runs before the supervisor has seen the call.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from executors.process.base import SpawnRequest
from executors.sandbox import landlock_linux as landlock
from executors.sandbox import seccomp_linux as seccomp
from executors.sandbox.backend import Evidence
from executors.sandbox.capabilities_linux import give_up_capabilities
from executors.sandbox.denials_linux import AccessTo, Judge, access_of
from executors.sandbox.policy import Access, Policy
from executors.sandbox.supervisor_linux import Supervisor
from executors.sandbox.system_calls_linux import refuse_to_be_looked_into
from executors.sandbox.thread_linux import ConfinedThread

OLDEST: Final = 6
"""The oldest version of Landlock's interface that keeps signals and abstract sockets inside."""
_TERMINALS: Final = "/dev/pts"
DEVICES: Final = (*("/dev/" + name for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx")),)
"""What every program may write to, besides terminals: no data is there to be kept. Not their metadata."""


class LandlockBackend:
    """See :class:`executors.sandbox.backend.SandboxBackend`."""

    name = "landlock"
    sees_denials = True
    ways = 1

    def missing(self) -> str | None:
        found = landlock.version()
        if found >= OLDEST:
            return seccomp.missing()
        if found == 0:
            return "the kernel has no Landlock, or it is switched off: Linux 6.12 or newer is needed"
        return f"the kernel has version {found} of Landlock, and {OLDEST} is needed: Linux 6.12 or newer"

    def lacks(self, policy: Policy) -> str | None:
        if policy.denied_patterns:
            return "it cannot deny what matches a pattern"
        for rule in policy.carved():
            return f"it cannot take {rule.path} out of a place that allows more"
        return None

    def confine(self, policy: Policy) -> LandlockConfinement:
        """See :meth:`executors.sandbox.backend.SandboxBackend.confine`; to be called on an event loop."""
        lacks = self.lacks(policy)
        if lacks is not None:
            raise ValueError(f"landlock: {lacks}")
        return LandlockConfinement(policy)


class LandlockConfinement:
    """See :class:`executors.sandbox.backend.Confinement`.

    :raises OSError, ValueError: as :meth:`LandlockBackend.confine`.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._listener = -1
        access = access_of(policy)
        everything = access("/")
        self._watched = seccomp.Watched(
            sockets=not policy.network,
            metadata=everything < Access.WRITE,
            changes=everything < Access.WRITE,
            reads=everything < Access.READ,
        )
        # The thread is confined, but its memory and descriptors are those of this process.
        refuse_to_be_looked_into()
        self._thread = ConfinedThread(self._confine)
        try:
            self._supervisor = Supervisor(
                asyncio.get_running_loop(),
                self._listener,
                self._thread.native_id,
                _without_ourselves(access),
                Judge(_with_devices(access), reads=self._watched.reads),
            )
        except BaseException:
            os.close(self._listener)
            self._thread.close()
            raise

    @property
    def thread(self) -> int:
        """The number of the thread that starts programs."""
        return self._thread.native_id

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        return request

    def start(self, spawn: Callable[[], int]) -> int:
        began_ns = time.time_ns()
        pid = self._thread.call(spawn, (self._supervisor.descriptor, self._supervisor.serve))
        self._supervisor.started(pid, began_ns)
        return pid

    def evidence(self, pid: int) -> Evidence | None:
        return self._supervisor.evidence(pid)

    def abandon(self) -> None:
        """Watches no more: what is watched fails in programs that still run, and nothing is allowed by it."""
        self._supervisor.close()

    def close(self) -> None:
        # First the supervisor: the thread must not wait for an answer when it ends.
        self.abandon()
        self._thread.close()

    def _confine(self) -> None:
        with landlock.Ruleset(network=self._policy.network) as rules:
            for rule in self._policy.rules:
                self._allow(rules, rule.path.__fspath__(), rule.access)
            for device in (*DEVICES, _TERMINALS):
                if os.path.exists(device):
                    rules.allow(os.path.realpath(device), Access.WRITE)
            rules.restrict_this_thread()
        give_up_capabilities(network=self._policy.network)
        # Last, since it could stand in the way of the others.
        architecture = seccomp.require_architecture()
        instructions = seccomp.thread_filter(self._watched, architecture, threading.get_native_id())
        self._listener = seccomp.install(instructions)

    @staticmethod
    def _allow(rules: landlock.Ruleset, path: str, access: Access) -> None:
        if access == Access.NONE:
            return
        try:
            rules.allow(path, access)
        except FileNotFoundError:
            # What comes to be there later cannot be read: less is allowed than was asked for, not more.
            if access == Access.WRITE:
                raise ValueError(f"{path} may be written, and is not there: make it first") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ValueError(f"{path} has become a symbolic link, or lies behind one") from None
            raise


def _without_ourselves(access: AccessTo) -> AccessTo:
    """A link below /proc/self leads a supervisor to itself, which is nobody else's."""
    own = f"/proc/{os.getpid()}"

    def judge(path: str) -> Access:
        return Access.NONE if path == own or path.startswith(own + "/") else access(path)

    return judge


def _with_devices(access: AccessTo) -> AccessTo:
    devices = frozenset(os.path.realpath(device) for device in DEVICES)
    terminals = _TERMINALS + "/"

    def judge(path: str) -> Access:
        return Access.WRITE if path in devices or path.startswith(terminals) else access(path)

    return judge
