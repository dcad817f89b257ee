"""Which system calls a confined program may make, as a filter of seccomp(2), and how it is put into force.

Denied always: tracing and reading other processes, mounting, namespaces, kernel modules, keys, io_uring
(whose requests no filter sees), shared memory and message queues that are found by a number or name, typing
into a terminal, file flags. The capabilities that :mod:`executors.sandbox.capabilities_linux` takes cover the
rest.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final

from executors.sandbox import bpf_linux as bpf
from executors.sandbox.system_calls_linux import (
    LARGEST_KNOWN,
    Architecture,
    refuse_privileges,
    system_call,
    this_architecture,
)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


METADATA: Final = _names(
    "chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat utime utimes futimesat utimensat "
    "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"
)
"""Landlock has no say in these; the supervisor makes them itself."""
OPENS: Final = frozenset({"open", "openat", "openat2", "creat"})
CHANGES: Final = _names(
    "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat truncate "
    "mknod mknodat"
)
REFUSED: Final = _names(
    "ptrace process_vm_readv process_vm_writev pidfd_getfd mount umount2 pivot_root chroot move_mount "
    "open_tree fsopen fsconfig fsmount fspick mount_setattr setns kexec_load kexec_file_load init_module "
    "finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd"
)
"""Never done by chance: that one was tried is evidence."""
_PROBED: Final = {
    errno.EPERM: _names(
        "bpf keyctl add_key request_key perf_event_open userfaultfd name_to_handle_at open_by_handle_at"
    ),
    # Libraries try these and go on without.
    errno.ENOSYS: _names("io_uring_setup io_uring_enter io_uring_register clone3 setxattrat removexattrat"),
    errno.EACCES: _names(
        "shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semtimedop semctl "
        "mq_open mq_unlink"
    ),
}
_OWN_INTERPROCESS: Final = errno.EACCES
TUNING: Final = {
    "prlimit64": 0, "sched_setaffinity": 0, "sched_setscheduler": 0, "sched_setparam": 0, "sched_setattr": 0,
    "setpriority": 1, "ioprio_set": 1,
}  # fmt: skip
"""Calls that can change another process, and which argument is its number; 0 is the caller itself."""

_ALL_OF_A_USER: Final = {"setpriority": 2, "ioprio_set": 3}

_TO_THREADS: Final = {
    "kill": 0, "tkill": 0, "tgkill": 1, "rt_sigqueueinfo": 0, "rt_tgsigqueueinfo": 1, "pidfd_open": 0,
}  # fmt: skip
"""Calls that send signals, or lead to such, and which argument is the number of a thread."""
_SET_OWNER: Final = 8
_SET_OWNER_IN_MEMORY: Final = 15
_OWNER_REQUESTS: Final = (0x8901, 0x8902)
"""FIOSETOWN and SIOCSPGRP, of ioctl(2)."""

QUIET_OPEN: Final = os.O_SYNC & ~os.O_DSYNC
"""A flag that no program gives to open(2) by itself: nothing is told of what is opened with it.

What starts programs opens their standard streams so: it waits until they are there, and who would answer
waits for it.
"""

_NAMESPACES: Final = 0x7E02_0000
_NEW_TIME: Final = 0x80
_SOCKET_TYPE: Final = 0xF
_TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX."""
_FILE_REQUESTS: Final = {
    ord("f"): (0x8008_6601, 0x8004_6601, 0xC020_660B),
    ord("v"): (0x8008_7601, 0x8004_7601),
    ord("X"): (0x801C_581F,),
    0x94: (0x4004_9409, 0x4020_940D, 0xC018_9436),
}
"""Of ioctl(2): the types that change files opened for reading only, with what of each is harmless: getting
flags, extents, versions and attributes, and sharing data with a file that is open for writing."""

_SET_MODE_FILTER: Final = 1
_GET_ACTION_AVAILABLE: Final = 2
_GET_SIZES: Final = 3
_NEW_LISTENER: Final = 1 << 3
_WAIT_KILLABLE: Final = 1 << 5
LISTENER_FLAGS: Final = _NEW_LISTENER | _WAIT_KILLABLE
"""Of seccomp(2): it returns the descriptor to which a filter sends its notifications."""


@dataclass(frozen=True)
class Watched:
    """What a filter asks the supervisor about.

    :ivar sockets: making sockets that reach outside, and connecting Unix sockets.
    :ivar metadata: :data:`METADATA`, and that file flags are refused.
    :ivar changes: :data:`CHANGES` and opening for writing.
    :ivar reads: opening for reading.
    :ivar apart: whether programs have a file system, processes and System V IPC of their own, which keep what
        is watched: it is for evidence only, but for sockets and what is never allowed.
    """

    sockets: bool
    metadata: bool
    changes: bool
    reads: bool
    apart: bool = False


@cache
def supervised_filter(watched: Watched, architecture: Architecture) -> bytes:
    """Returns the filter of programs that a supervisor watches."""
    return _whole(architecture, _supervised_rules(watched, architecture))


def thread_filter(watched: Watched, architecture: Architecture, thread: int) -> bytes:
    """As :func:`supervised_filter`, for a thread and what it starts.

    To Landlock the thread is one of them, and a signal to it is one to its whole process: none reaches it.

    :param thread: its number.
    """
    rules = _supervised_rules(watched, architecture)
    numbers = architecture.numbers
    refused = bpf.give(bpf.error(errno.EPERM))
    for name, index in _TO_THREADS.items():
        other = rules.get(numbers[name], bpf.give(bpf.ALLOW))
        rules[numbers[name]] = [*bpf.load_argument(index), *bpf.if_equal(thread, refused), *other]
    # A descriptor of a process does not tell whose it is. Programs that know these get along without.
    rules[numbers["pidfd_send_signal"]] = bpf.give(bpf.error(errno.ENOSYS))
    # Who gets the signals of a descriptor: by number, or in memory, which can change.
    own_is_thread = [*bpf.load_argument(2), *bpf.if_equal(thread, refused), *bpf.give(bpf.ALLOW)]
    rules[numbers["fcntl"]] = [
        *bpf.load_argument(1),
        *bpf.if_equal(_SET_OWNER_IN_MEMORY, refused),
        *bpf.if_equal(_SET_OWNER, own_is_thread),
        *bpf.give(bpf.ALLOW),
    ]
    rules[numbers["ioctl"]] = [
        *bpf.load_argument(1),
        *bpf.choose(_OWNER_REQUESTS, bpf.error(errno.EPERM)),
        *rules[numbers["ioctl"]],
    ]
    return _whole(architecture, rules)


def _supervised_rules(watched: Watched, architecture: Architecture) -> dict[int, bpf.Program]:
    rules = _common_rules(
        architecture, refused=bpf.NOTIFY, file_flags=watched.metadata and not watched.apart, ipc=watched.apart
    )
    numbers = architecture.numbers
    notify = bpf.give(bpf.NOTIFY)
    if watched.sockets:
        rules |= _socket_rules(architecture, refused=bpf.NOTIFY)
        rules[numbers["connect"]] = notify
    names: set[str] = {"openat2"} if watched.changes or watched.reads else set()
    names |= METADATA if watched.metadata else set()
    names |= CHANGES if watched.changes else set()
    names |= {"creat"} if watched.changes else set()
    rules |= {numbers[name]: notify for name in names if name in numbers}
    for name, flags in (("open", 1), ("openat", 2)):
        if name in numbers and (watched.changes or watched.reads):
            rules[numbers[name]] = _open_rule(flags, watched.reads)
    if not watched.apart:
        for name, index in TUNING.items():
            rules[numbers[name]] = _tuning_rule(name, index)
    # Signals are kept inside by other means: this is for evidence only.
    first = bpf.load_argument(0)
    rules[numbers["kill"]] = [
        *first,
        *bpf.if_at_least(0x8000_0000, bpf.give(bpf.ALLOW)),
        *bpf.load_argument(1),
        *bpf.if_equal(0, bpf.give(bpf.ALLOW)),
        *notify,
    ]
    return rules


def filter_bytes(*, network: bool) -> bytes:
    """Returns the filter of programs that have namespaces of their own, and no supervisor.

    :param network: whether sockets may reach outside; if not, no Unix socket can be connected by name, inside
        neither: a read-only mount does not stop that.
    :raises OSError: the architecture is not known here.
    """
    architecture = require_architecture()
    rules = _common_rules(architecture, refused=bpf.error(errno.EPERM), file_flags=False, ipc=True)
    if not network:
        rules |= _socket_rules(architecture, refused=bpf.error(errno.EACCES))
        rules[architecture.numbers["connect"]] = bpf.give(bpf.error(errno.EACCES))
    return _whole(architecture, rules)


def require_architecture() -> Architecture:
    """:raises OSError: the system calls of this architecture are not known here."""
    found = this_architecture()
    if found is None:
        raise OSError(errno.ENOSYS, "the system calls of this architecture are not known")
    return found


def _whole(architecture: Architecture, rules: dict[int, bpf.Program]) -> bytes:
    unknown = bpf.error(errno.ENOSYS)
    return bpf.assemble(bpf.call_filter(architecture.audit, LARGEST_KNOWN, unknown, rules))


def _common_rules(
    architecture: Architecture, *, refused: int, file_flags: bool, ipc: bool
) -> dict[int, bpf.Program]:
    numbers = architecture.numbers
    rules = {numbers[name]: bpf.give(refused) for name in REFUSED}
    for code, names in _PROBED.items():
        if not (ipc and code == _OWN_INTERPROCESS):
            rules |= {numbers[name]: bpf.give(bpf.error(code)) for name in names}
    # CLONE_NEWTIME has the bit of a signal number in clone(2), and no meaning there.
    rules[numbers["clone"]] = _flag_rule(_NAMESPACES, bpf.error(errno.EPERM))
    rules[numbers["unshare"]] = _flag_rule(_NAMESPACES | _NEW_TIME, refused)
    rules[numbers["ioctl"]] = _ioctl_rule(file_flags)
    return rules


def _flag_rule(flags: int, refused: int) -> bpf.Program:
    return [*bpf.load_argument(0), *bpf.if_any_bit(flags, bpf.give(refused)), *bpf.give(bpf.ALLOW)]


def _ioctl_rule(file_flags: bool) -> bpf.Program:
    refused = bpf.error(errno.EPERM)
    rule = [*bpf.load_argument(1), *bpf.choose(_TERMINAL_INPUT, refused)]
    if file_flags:
        for requests in _FILE_REQUESTS.values():
            rule += bpf.choose(requests, bpf.ALLOW)
        rule += [*bpf.load_argument(1, 0xFF00)]
        rule += bpf.choose((kind << 8 for kind in _FILE_REQUESTS), bpf.NOTIFY)
    return rule + bpf.give(bpf.ALLOW)


def _socket_rules(architecture: Architecture, *, refused: int) -> dict[int, bpf.Program]:
    def local_only(action: int) -> Iterable[bpf.Instruction]:
        # Datagrams can be sent to any address without a connect that could be looked at.
        local = [
            *bpf.load_argument(1, _SOCKET_TYPE),
            *bpf.choose((socket.SOCK_STREAM, socket.SOCK_SEQPACKET), bpf.ALLOW),
            *bpf.give(bpf.error(errno.EACCES)),
        ]
        yield from bpf.load_argument(0)
        yield from bpf.if_equal(socket.AF_UNIX, local)
        # The C library asks the kernel for addresses by chance; to be refused that is no denial.
        yield from bpf.choose([16], bpf.error(errno.EACCES))
        yield from bpf.give(action)

    numbers = architecture.numbers
    return {
        numbers["socket"]: list(local_only(refused)),
        numbers["socketpair"]: list(local_only(bpf.error(errno.EACCES))),
    }


def _open_rule(index: int, reads: bool) -> bpf.Program:
    rule = [
        *bpf.load_argument(index, os.O_SYNC),
        *bpf.if_equal(QUIET_OPEN, bpf.give(bpf.ALLOW)),
    ]
    if not reads:
        writes = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
        rule += bpf.load_argument(index)
        rule += bpf.if_any_bit(writes, bpf.give(bpf.NOTIFY))
        return rule + bpf.give(bpf.ALLOW)
    return rule + bpf.give(bpf.NOTIFY)


def _tuning_rule(name: str, index: int) -> bpf.Program:
    rule: bpf.Program = []
    if index:
        # All processes of a user: the first argument says so.
        rule += bpf.load_argument(0)
        rule += bpf.if_equal(_ALL_OF_A_USER[name], bpf.give(bpf.error(errno.EPERM)))
    rule += [*bpf.load_argument(index), *bpf.if_equal(0, bpf.give(bpf.ALLOW))]
    if name == "prlimit64":
        # Without new limits it only asks.
        for load in (bpf.load_argument(2), bpf.load_upper(2)):
            rule += [*load, *bpf.unless_equal(0, bpf.give(bpf.NOTIFY))]
        return rule + bpf.give(bpf.ALLOW)
    return rule + bpf.give(bpf.NOTIFY)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(instructions: bytes) -> int:
    """Puts a filter into force, for this thread and all that it starts, for ever.

    :returns: the descriptor to which it sends notifications.
    :raises OSError: the kernel refuses: EBUSY where this process is under such a filter itself.
    """
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = _FilterProgram(len(instructions) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    number = require_architecture().numbers["seccomp"]
    return system_call(number, _SET_MODE_FILTER, LISTENER_FLAGS, ctypes.byref(program))


@cache
def missing() -> str | None:
    """Returns why no supervised filter can be had here; None if it may."""
    try:
        number = require_architecture().numbers["seccomp"]
        sizes = ctypes.create_string_buffer(6)
        system_call(number, _GET_SIZES, 0, sizes)
        system_call(number, _GET_ACTION_AVAILABLE, 0, struct.pack("=I", bpf.NOTIFY))
    except OSError as error:
        return f"the kernel does not tell a supervisor of system calls (seccomp: {error.strerror})"
    if struct.unpack("=HHH", sizes.raw)[:2] != (80, 24):
        return f"the kernel's seccomp notifications have unknown sizes: {struct.unpack('=HHH', sizes.raw)}"
    with ThreadPoolExecutor(1, "seccomp") as thread:
        return thread.submit(_try).result()


def _try() -> str | None:
    """Installs a filter that allows everything, on a thread that ends with it."""
    try:
        refuse_privileges()
        os.close(install(bpf.assemble(bpf.give(bpf.ALLOW))))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return (
                "this process is itself under a filter of system calls with a supervisor, and one is the most"
            )
        return f"the kernel refuses a filter of system calls (seccomp: {error.strerror})"
    return None
