"""What :mod:`canary_program` tries on Linux besides; it is imported there, on its own.

What would change the machine, should it come through, is done by a child in namespaces of its own where that
is possible, and undone.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import termios
from collections.abc import Callable
from typing import Any

DONE = "done"
Facts = dict[str, Any]

_SEIZE = 0x4206
_NEW_MOUNTS = 0x0002_0000
_NEW_USERS = 0x1000_0000
_REMOUNT_BIND = 0x20 | 0x1000
_PRIVATE_RECURSIVE = 0x4_0000 | 0x4000
_DETACH = 2
_IO_URING_SETUP = 425
_PROCESS_READ = {"x86_64": 310, "aarch64": 270}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.ptrace.restype = ctypes.c_long


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _in_child(function: Callable[[], None]) -> str:
    """Calls *function* in a child; the number of its error comes back by the exit code."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            function()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))
    return DONE


def change_attributes(facts: Facts) -> str:
    path = os.path.join(facts["outside"], facts["attempt"], "file")
    os.setxattr(path, "user.canary", b"changed")
    return DONE


def connect_abstract(facts: Facts) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect("\0" + facts["abstract"])
    return DONE


def _trace(pid: int) -> None:
    # Unlike PTRACE_ATTACH it stops nobody, and it ends with this process.
    arguments = [ctypes.c_void_p(number) for number in (pid, 0, 0)]
    _check(_libc.ptrace(_SEIZE, *arguments))


def trace_victim(facts: Facts) -> str:
    return _in_child(lambda: _trace(facts["victim"]))


def trace_executor(facts: Facts) -> str:
    return _in_child(lambda: _trace(facts["executor"]))


def _threads_of_executor(facts: Facts) -> list[int]:
    """Returns their numbers; none where the number of the executor means somebody else."""
    with open(f"/proc/{facts['executor']}/stat", "rb") as file:
        began = int(file.read().rpartition(b")")[2].split()[19])
    if began != facts["executor_began"]:
        return []
    return [int(name) for name in os.listdir(f"/proc/{facts['executor']}/task")]


def _of_executor(facts: Facts, attempt: Callable[[int], object]) -> str:
    refused = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
    for thread in _threads_of_executor(facts):
        try:
            attempt(thread)
        except OSError as error:
            refused = error
        else:
            return DONE
    raise refused


def look_into_executor(facts: Facts) -> str:
    return _of_executor(facts, lambda thread: os.close(os.open(f"/proc/{thread}/mem", os.O_RDONLY)))


def signal_executor(facts: Facts) -> str:
    # That none is sent does not matter to who may send one.
    return _of_executor(facts, lambda thread: os.kill(thread, 0))


def read_memory(facts: Facts) -> str:
    fd = os.open(f"/proc/{facts['victim']}/mem", os.O_RDONLY)
    try:
        found = os.pread(fd, 256, facts["address"])
    finally:
        os.close(fd)
    return DONE if facts["token"].encode() in found else ""


def read_memory_by_call(facts: Facts) -> str:
    buffer = ctypes.create_string_buffer(256)
    ours = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), len(buffer))
    theirs = (ctypes.c_uint64 * 2)(facts["address"], len(buffer))
    number = ctypes.c_long(_PROCESS_READ[platform.machine()])
    one, zero = ctypes.c_long(1), ctypes.c_long(0)
    _check(_libc.syscall(number, ctypes.c_long(facts["victim"]), ours, one, theirs, one, zero))
    return DONE if facts["token"].encode() in buffer.raw else ""


def read_by_root(facts: Facts) -> str:
    with open(f"/proc/{facts['victim']}/root{facts['hidden']}", "rb") as file:
        return DONE if facts["token"].encode() in file.read(4096) else ""


def write_by_root(facts: Facts) -> str:
    path = os.path.join(facts["outside"], facts["attempt"], "file")
    with open(f"/proc/{facts['victim']}/root{path}", "r+b") as file:
        file.write(b"changed")
    return DONE


def read_by_descriptor(facts: Facts) -> str:
    with open(f"/proc/{facts['victim']}/fd/{facts['descriptor']}", "rb") as file:
        return DONE if facts["token"].encode() in file.read(4096) else ""


def mount(facts: Facts) -> str:
    place = os.path.join(facts["inside"], "mount")
    os.makedirs(place, exist_ok=True)

    def attempt() -> None:
        _check(_libc.mount(b"none", place.encode(), b"tmpfs", 0, None))
        _libc.umount2(place.encode(), _DETACH)

    return _in_child(attempt)


def remount(facts: Facts) -> str:
    """Makes what is read-only writable, as a super-user within a sandbox of mounts could."""
    path = os.path.join(facts["outside"], facts["attempt"], "file")

    def attempt() -> None:
        # Elsewhere nothing may be changed: it would be the machine's own.
        _check(_libc.unshare(_NEW_MOUNTS))
        _check(_libc.mount(None, b"/", None, _PRIVATE_RECURSIVE, None))
        _check(_libc.mount(None, b"/", None, _REMOUNT_BIND, None))
        with open(path, "r+b") as file:
            file.write(b"changed")

    return _in_child(attempt)


def make_user_namespace(facts: Facts) -> str:
    def attempt() -> None:
        _check(_libc.unshare(_NEW_USERS))

    return _in_child(attempt)


def set_up_io_uring(facts: Facts) -> str:
    parameters = ctypes.create_string_buffer(120)
    fd = _check(_libc.syscall(ctypes.c_long(_IO_URING_SETUP), ctypes.c_long(1), parameters))
    os.close(fd)
    return DONE


def type_into_terminal(facts: Facts) -> str:
    _, slave = os.openpty()

    def attempt() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        fcntl.ioctl(slave, termios.TIOCSTI, struct.pack("B", ord("x")))

    return _in_child(attempt)


ATTEMPTS: dict[str, Callable[[Facts], str]] = {
    "change attributes": change_attributes,
    "connect an abstract Unix socket": connect_abstract,
    "trace a process": trace_victim,
    "trace the executor": trace_executor,
    "look into the executor": look_into_executor,
    "signal the executor": signal_executor,
    "read memory of a process": read_memory,
    "read memory of a process by call": read_memory_by_call,
    "read by the root of a process": read_by_root,
    "write by the root of a process": write_by_root,
    "read by a descriptor of a process": read_by_descriptor,
    "mount": mount,
    "remount": remount,
    "make a user namespace": make_user_namespace,
    "set up io_uring": set_up_io_uring,
    "type into a terminal": type_into_terminal,
}
