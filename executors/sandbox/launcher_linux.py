"""Programs that become another one: they end what a wrapper made of a start, and say that they came so far.

A wrapper such as bubblewrap waits for what runs in it. It shares its process group, so it has to block the
signals that are meant for its program; and it obeys its environment, as far as the dynamic loader goes,
outside of the sandbox. So it is started with every signal blocked and with no environment, and runs a
launcher, which holds in itself what the program is to be given: path, arguments and environment; and the
filter of system calls that it puts into force before.

A launcher is machine code, made for each start: no program of the machine does this, since shells cannot
unblock signals.

What a wrapper has made can serve other starts. A joiner enters the namespaces that a launcher has given away,
makes anew what no two starts may share (processes, their /proc, System V IPC, terminals, /dev/shm), drops all
capabilities and ends as a launcher does. It stays as two processes: one outside, which ends as the program
did, and the first one inside, with whom all others end.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

from executors.sandbox.machine_code_linux import (
    SLOT,
    STEP_FAILED,
    Argument,
    Code,
    Kept,
    is_known,
    new_code,
)
from executors.sandbox.seccomp_linux import QUIET_OPEN

__all__ = ["STEP_FAILED", "is_known"]

STATUS_FD: Final = 3
"""The descriptor that is written to: one byte before the program is there, and the errno if it cannot be."""
CHANNEL_FD: Final = 4
"""A Unix socket that keeps messages apart, for what a :class:`Fence` gives away; not for the program."""
FIRST_NAMESPACE_FD: Final = 5
"""A joiner gets its namespaces here and after this."""
# The ends of a pipe, of those two that a joiner stays as.
_READ_FD: Final = 5
_WRITE_FD: Final = 6
_STATUS_BYTES: Final = 4
STARTED: Final = b"\1"
FAILED: Final = 125
"""The exit code where a step before the program has failed: STEP_FAILED, the step and the errno say which."""

NAMESPACES: Final[Mapping[str, int]] = {
    "cgroup": 0x0200_0000, "uts": 0x0400_0000, "net": 0x4000_0000, "mnt": 0x0002_0000,
}  # fmt: skip
"""Those that starts may share, by their names in /proc/PID/ns, with their flags; entered in this order."""

_NEW_PROCESSES: Final = 0x2000_0000
_NEW_IPC: Final = 0x0800_0000
_SIG_SETMASK: Final = 2
_MASK_BYTES: Final = 8
_F_SETFD: Final = 2
_FD_CLOEXEC: Final = 1
_AT_FDCWD: Final = -100
_LAST_DESCRIPTOR: Final = 0xFFFF_FFFF
_CANNOT_EXECUTE: Final = 126
_SET_MODE_FILTER: Final = 1
_NO_SIGNAL: Final = 0x4000
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x2008_0522
_READ_ONLY: Final = 1
_NO_SET_ID: Final = 2
_NO_DEVICES: Final = 4
_NO_PROGRAMS: Final = 8
_REMOUNT: Final = 32
_BIND: Final = 4096

# Where, what, flags and options.
_FRESH: Final = (
    ("/proc", "proc", _NO_SET_ID | _NO_DEVICES | _NO_PROGRAMS, ""),
    ("/dev/shm", "tmpfs", _NO_SET_ID | _NO_DEVICES, "mode=1777"),
    ("/dev/pts", "devpts", _NO_SET_ID | _NO_PROGRAMS, "newinstance,ptmxmode=0666,mode=620"),
)


@dataclass(frozen=True)
class Fence:
    """The filter of system calls that a program gets, and what is given away to whoever has the other end of
    :data:`CHANNEL_FD`.

    :ivar instructions: see :mod:`executors.sandbox.bpf_linux`.
    :ivar flags: of seccomp(2); with SECCOMP_FILTER_FLAG_NEW_LISTENER the listener is given away, last.
    :ivar namespaces: of :data:`NAMESPACES`, those given away before it.
    """

    instructions: bytes
    flags: int = 0
    namespaces: tuple[str, ...] = ()

    @property
    def gives(self) -> int:
        """How many descriptors come in the one message."""
        return len(self.namespaces) + (self.flags != 0)


@dataclass(frozen=True)
class Goal:
    """The program in the end.

    :ivar argv: what it sees, from ``argv[0]`` on.
    :ivar cwd: where it begins, for a joiner.
    """

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str = "/"


def make_launcher(goal: Goal, fence: Fence | None = None, machine: str | None = None) -> bytes:
    """Returns the executable that becomes *goal* with no signal blocked and no descriptor above 2.

    Before kernel 5.9 it leaves the descriptors as they are, and *fence* can give nothing away.

    :param machine: as uname(1) calls it; None for this one.
    :raises ValueError: *goal* holds what no program can be given.
    """
    maker = _Maker(new_code(machine))
    if fence is not None:
        maker.fence(fence, CHANNEL_FD + 1)
    maker.become(goal)
    return maker.image()


class Joiner:
    """Makes executables that become a program in namespaces that were made by somebody else.

    :param namespaces: of :data:`NAMESPACES`, with a descriptor of each from :data:`FIRST_NAMESPACE_FD` on.
    :param settings: what is in /proc and concerns everybody, and is read-only therefore.
    :param capabilities: how many the kernel has; all are dropped.
    :param machine: as for :func:`make_launcher`.
    """

    def __init__(
        self,
        fence: Fence,
        *,
        namespaces: Sequence[str],
        settings: Sequence[str],
        capabilities: int,
        machine: str | None = None,
    ) -> None:
        self._begun = _Maker(new_code(machine))
        self._begun.join(namespaces)
        self._begun.mount_fresh(settings)
        self._begun.drop(capabilities)
        # One more than the pipe that it has by then.
        self._begun.fence(fence, _WRITE_FD + 1)
        self._begun.be_first()

    def make(self, goal: Goal) -> bytes:
        """:raises ValueError: as :func:`make_launcher`."""
        maker = self._begun.copy()
        maker.become(goal, at=goal.cwd)
        return maker.image()


class _Maker:
    def __init__(self, code: Code) -> None:
        self._code = code
        self._steps = 0
        code.make_slot()
        code.jump("begin")
        code.mark("failed")
        code.report_step(STATUS_FD)
        code.mark("lost")
        code.call("exit_group", FAILED)
        code.mark("begin")

    def copy(self) -> _Maker:
        other = copy(self)
        other._code = self._code.copy()
        return other

    def fence(self, fence: Fence, first: int) -> None:
        """:param first: the lowest descriptor that is not needed."""
        code = self._code
        if fence.gives:
            # So that those opened next have these numbers.
            self._must("close_range", first, _LAST_DESCRIPTOR, 0)
        flags = os.O_RDONLY | os.O_CLOEXEC | QUIET_OPEN
        for name in fence.namespaces:
            self._must("openat", _AT_FDCWD, self._text(f"/proc/self/ns/{name}"), flags, 0)
        length = len(fence.instructions) // 8
        program = code.data(struct.pack("<H6xQ", length, code.data(fence.instructions)))
        self._must("seccomp", _SET_MODE_FILTER, fence.flags, program)
        if fence.gives:
            self._must("sendmsg", CHANNEL_FD, self._message(range(first, first + fence.gives)), _NO_SIGNAL)

    def join(self, namespaces: Sequence[str]) -> None:
        for number, name in enumerate(namespaces, FIRST_NAMESPACE_FD):
            self._must("setns", number, NAMESPACES[name])
        self._must("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        self._must("close_range", FIRST_NAMESPACE_FD, _LAST_DESCRIPTOR, 0)
        self._must("pipe2", SLOT, os.O_CLOEXEC)
        flags = _NEW_PROCESSES | _NEW_IPC | NAMESPACES["mnt"] | signal.SIGCHLD
        self._must("clone", flags, 0, 0, 0, 0)
        code = self._code
        code.jump_if_zero("inside")
        code.keep(0)
        # Who reads what the program writes is not to wait for this one.
        code.call("close_range", 0, _READ_FD - 1, 0)
        code.call("close_range", _WRITE_FD, _LAST_DESCRIPTOR, 0)
        # The end of the first one inside, with its namespaces, takes longer than that of the program.
        code.call("read", _READ_FD, SLOT, _STATUS_BYTES)
        code.jump_if_negative("first")
        code.jump_if_zero("first")
        code.exit_as()
        code.mark("first")
        code.call("wait4", Kept(0), SLOT, 0, 0)
        code.jump_if_negative("lost")
        code.exit_as()
        code.mark("inside")
        self._must("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def mount_fresh(self, settings: Sequence[str]) -> None:
        for place, kind, flags, options in _FRESH:
            kind_text = self._text(kind)
            self._must("mount", kind_text, self._text(place), kind_text, flags, self._text(options))
        flags = _BIND | _REMOUNT | _READ_ONLY | _NO_SET_ID | _NO_DEVICES | _NO_PROGRAMS
        for path in map(self._text, settings):
            self._must("mount", path, path, 0, _BIND, 0)
            self._must("mount", 0, path, 0, flags, 0)

    def drop(self, capabilities: int) -> None:
        self._must("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for number in range(capabilities):
            self._must("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)
        self._must("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        header = self._code.data(struct.pack("<Ii", _CAPABILITY_VERSION, 0))
        self._must("capset", header, self._code.data(bytes(24)))

    def be_first(self) -> None:
        """Lets another process go on, and waits for its end, as the first one of a namespace does."""
        code = self._code
        # By its memory the other could make it say anything, and outlive it. A program begins without this.
        self._must("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
        self._must("clone", signal.SIGCHLD, 0, 0, 0, 0)
        code.jump_if_zero("program")
        code.keep(1)
        code.call("close_range", 0, _READ_FD, 0)
        code.call("close_range", _WRITE_FD + 1, _LAST_DESCRIPTOR, 0)
        code.mark("next")
        code.call("wait4", -1, SLOT, 0, 0)
        code.jump_if_negative("lost")
        code.jump_if_kept(1, "over")
        code.jump("next")
        code.mark("over")
        code.call("write", _WRITE_FD, SLOT, _STATUS_BYTES)
        code.exit_as()
        code.mark("program")

    def become(self, goal: Goal, at: str | None = None) -> None:
        code = self._code
        path = self._text(goal.path)
        argv = self._pointers(list(goal.argv))
        environment = []
        for name, value in goal.env.items():
            if not name or "=" in name:
                raise ValueError(f"illegal environment variable name {name!r}")
            environment.append(f"{name}={value}")
        env = self._pointers(environment)
        started, mask = code.data(STARTED), code.data(bytes(_MASK_BYTES))
        if at is not None:
            self._must("chdir", self._text(at))
        code.call("rt_sigprocmask", _SIG_SETMASK, mask, 0, _MASK_BYTES)
        code.call("close_range", STATUS_FD + 1, _LAST_DESCRIPTOR, 0)
        code.call("fcntl", STATUS_FD, _F_SETFD, _FD_CLOEXEC)
        code.call("write", STATUS_FD, started, 1)
        code.call("execve", path, argv, env)
        code.report_error(STATUS_FD)
        code.call("exit_group", _CANNOT_EXECUTE)

    def image(self) -> bytes:
        return self._code.image()

    def _must(self, name: str, *arguments: Argument) -> None:
        """A call without which nothing goes on."""
        self._steps += 1
        self._code.step(self._steps)
        self._code.call(name, *arguments)
        self._code.jump_if_negative("failed")

    def _text(self, text: str) -> int:
        encoded = os.fsencode(text)
        if b"\0" in encoded:
            raise ValueError("embedded null byte")
        return self._code.data(encoded + b"\0")

    def _pointers(self, texts: Sequence[str]) -> int:
        addresses = [self._text(text) for text in texts]
        return self._code.data(struct.pack(f"<{len(addresses) + 1}Q", *addresses, 0))

    def _message(self, numbers: Sequence[int]) -> int:
        """A struct msghdr with these descriptors."""
        code, count = self._code, len(numbers)
        control = struct.pack("<Qii", 16 + 4 * count, socket.SOL_SOCKET, socket.SCM_RIGHTS)
        control += struct.pack(f"<{count}i", *numbers) + bytes(-4 * count % 8)
        piece = code.data(struct.pack("<QQ", code.data(b"\0"), 1))
        return code.data(struct.pack("<QI4xQQQQI4x", 0, 0, piece, 1, code.data(control), len(control), 0))
