"""Sees what a program is kept from that has a file system and processes of its own.

Those keep it from what its policy denies, whatever is seen here; but for sockets, which are refused here, and
what no program may ever do.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable
from typing import Final

from executors.sandbox.answerer_linux import Answerer
from executors.sandbox.backend import Evidence
from executors.sandbox.denial import more_telling
from executors.sandbox.denials_linux import AccessTo, Judge, access_of, innermost
from executors.sandbox.mounts_linux import FRESH_DEVICES, Mount, Show
from executors.sandbox.notifications_linux import Notification
from executors.sandbox.policy import Access, Policy
from executors.sandbox.seccomp_linux import METADATA, Watched
from executors.sandbox.tracee_linux import AT_FDCWD, Resident, Tracee, signed
from executors.sandbox.unix_connect_linux import read_address

_PROC: Final = "/proc/"
_SETTINGS: Final = "/proc/sys"
_DEV: Final = "/dev/"
_RECENT: Final = 1000
"""Processes inside are numbered from 1 on; who asks for one far above its own number means one outside."""


class Witness(Answerer):
    """Serves the filter of one program, and of all that descends from it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: int, judge: Judge) -> None:
        self._evidence: Evidence | None = None
        super().__init__(loop, listener, judge)
        self._handlers |= dict.fromkeys(METADATA, self._look)
        self._handlers |= {"connect": self._connect, "kill": self._signal}

    def evidence(self) -> Evidence | None:
        """Returns the last thing that they were kept from; what programs do without comes second."""
        self.serve()
        return self._evidence

    def _tracee(self, thread: int) -> Tracee:
        return Resident(thread)

    def _note(self, notification: Notification, evidence: Evidence) -> None:
        self._evidence = more_telling(self._evidence, evidence)

    def _connect(self, tracee: Tracee, notification: Notification, name: str) -> None:
        path = read_address(tracee, notification)
        if path.startswith(b"\0"):
            self._note(notification, Evidence(name, "@" + path[1:].decode("utf-8", "replace")))
        else:
            try:
                os.close(tracee.object(AT_FDCWD, path, follow=True))
                self._note(notification, Evidence(name, os.fsdecode(path)))
            except OSError:
                # Nobody is there, with or without a sandbox.
                pass
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _signal(self, tracee: Tracee, notification: Notification, name: str) -> None:
        assert self._listener is not None
        process = signed(notification.arguments[0])
        try:
            if process > int(tracee.status()[b"NSpid"].split()[-1]) + _RECENT:
                os.kill(process, 0)
                self._note(notification, Evidence(name, str(process)))
        except OSError:
            # There is no such process, or it would not have been allowed anyway.
            pass
        finally:
            self._listener.let_go(notification)


def watched(policy: Policy) -> Watched:
    """Returns what a filter has to tell of, for evidence of all that *policy* denies."""
    least = min((rule.access for rule in policy.rules), default=Access.NONE)
    if policy.denied_patterns or any(policy.access(root) == Access.NONE for root in policy.roots):
        least = Access.NONE
    return Watched(
        sockets=not policy.network,
        metadata=least < Access.WRITE,
        changes=least < Access.WRITE,
        reads=least < Access.READ,
        apart=True,
    )


def make_judge(policy: Policy, mounts: Iterable[Mount], hidden: Iterable[str]) -> Judge:
    """Returns what tells evidence from the rest.

    :param mounts: what *policy* took.
    :param hidden: paths that match a pattern.
    """
    shown = {str(mount.path): str(mount.path) for mount in mounts if isinstance(mount, Show)}
    return Judge(
        _access_inside(policy, hidden),
        reads=watched(policy).reads,
        mount_of=lambda path: innermost(shown, path, "/"),
    )


def _access_inside(policy: Policy, hidden: Iterable[str]) -> AccessTo:
    ruled = access_of(policy)
    named = {str(rule.path) for rule in policy.rules}
    denied = dict.fromkeys(hidden, Access.NONE)

    def access(path: str) -> Access:
        if path.startswith(_PROC):
            # The numbers there are other processes inside.
            return Access.READ if path == _SETTINGS or path.startswith(_SETTINGS + "/") else Access.WRITE
        if path.startswith(_DEV) and path not in named and path.split("/", 3)[2] in FRESH_DEVICES:
            return Access.WRITE
        if denied and innermost(denied, path, Access.WRITE) == Access.NONE:
            return Access.NONE
        return ruled(path) if path != _DEV[:-1] else Access.READ

    return access
