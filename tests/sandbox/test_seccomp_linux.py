"""The filter of system calls: what it answers, for every architecture, and that the kernel takes it."""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("seccomp is of Linux", allow_module_level=True)

from executors.sandbox import bpf_linux as bpf
from executors.sandbox import seccomp_linux as seccomp
from executors.sandbox.seccomp_linux import Watched
from executors.sandbox.system_calls_linux import (
    ARCHITECTURES,
    LARGEST_KNOWN,
    Architecture,
    system_call,
    this_architecture,
)

EVERYTHING = Watched(sockets=True, metadata=True, changes=True, reads=False)
NOTHING = Watched(sockets=False, metadata=False, changes=False, reads=False)
READS = Watched(sockets=True, metadata=True, changes=True, reads=True)
EACCES = bpf.error(errno.EACCES)
EPERM = bpf.error(errno.EPERM)
ENOSYS = bpf.error(errno.ENOSYS)


def run(filter_bytes: bytes, number: int, *arguments: int, audit: int) -> int:
    """What the kernel does with a filter, for the instructions that are used here."""
    six = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", number if number < 1 << 31 else number - (1 << 32), audit, 0, *six)
    program = list(struct.iter_unpack("=HBBI", filter_bytes))
    accumulator = position = 0
    while True:
        code, if_true, if_false, operand = program[position]
        position += 1
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[code]
            position += if_true if holds else if_false


class Machine:
    """A filter on an architecture."""

    def __init__(self, architecture: Architecture, watched: Watched) -> None:
        self.architecture = architecture
        self.filter = seccomp.supervised_filter(watched, architecture)

    def call(self, name: str, *arguments: int) -> int:
        return run(self.filter, self.architecture.numbers[name], *arguments, audit=self.architecture.audit)


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


THREAD = 4711


def test_no_signal_comes_to_the_thread_that_starts_programs(architecture: Architecture) -> None:
    instructions = seccomp.thread_filter(EVERYTHING, architecture, THREAD)

    def call(name: str, *arguments: int) -> int:
        return run(instructions, architecture.numbers[name], *arguments, audit=architecture.audit)

    for signal in (0, 9):
        assert call("kill", THREAD, signal) == EPERM
        assert call("kill", THREAD | 1 << 32, signal) == EPERM, "the upper half counts for nothing"
        assert call("tkill", THREAD, signal) == EPERM
        assert call("tgkill", 1, THREAD, signal) == EPERM
        assert call("rt_sigqueueinfo", THREAD, signal) == EPERM
        assert call("rt_tgsigqueueinfo", 1, THREAD, signal) == EPERM
    assert call("pidfd_open", THREAD, 0) == EPERM
    assert call("pidfd_send_signal", 3, 0) == ENOSYS
    assert call("fcntl", 3, 8, THREAD) == EPERM
    assert call("fcntl", 3, 15, 1) == EPERM
    for request in (0x8901, 0x8902):
        assert call("ioctl", 3, request, 1) == EPERM
    other = THREAD + 1
    assert call("kill", other, 9) == bpf.NOTIFY
    assert call("kill", other, 0) == bpf.ALLOW
    assert call("tkill", other, 9) == bpf.ALLOW
    assert call("tgkill", other, other, 9) == bpf.ALLOW
    assert call("rt_sigqueueinfo", other, 9) == bpf.ALLOW
    assert call("rt_tgsigqueueinfo", THREAD, other, 9) == bpf.ALLOW
    assert call("pidfd_open", other, 0) == bpf.ALLOW
    assert call("fcntl", 3, 8, other) == bpf.ALLOW
    assert call("fcntl", 3, 2, THREAD) == bpf.ALLOW


@pytest.fixture
def machine(architecture: Architecture) -> Machine:
    return Machine(architecture, EVERYTHING)


def test_no_two_calls_have_the_same_number(architecture: Architecture) -> None:
    numbers = list(architecture.numbers.values())
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= LARGEST_KNOWN


def test_names_that_only_some_architectures_have_are_the_old_ones() -> None:
    x86_64, aarch64 = ARCHITECTURES["x86_64"].numbers, ARCHITECTURES["aarch64"].numbers
    assert set(aarch64) < set(x86_64)
    old = "open mkdir rmdir unlink rename link symlink mknod creat chmod chown lchown utime utimes futimesat"
    assert " ".join(sorted(set(x86_64) - set(aarch64))) == " ".join(sorted(old.split(" ")))


def test_another_architecture_ends_the_process(machine: Machine) -> None:
    assert run(machine.filter, 20, audit=0x4000_0003) == bpf.KILL_PROCESS


@pytest.mark.parametrize("number", [0x4000_0000 + 39, 0x4000_0000 + 520, LARGEST_KNOWN + 1, 469, 0xFFFF_FFFF])
def test_calls_that_are_not_known_do_not_exist(machine: Machine, number: int) -> None:
    assert run(machine.filter, number, audit=machine.architecture.audit) == ENOSYS


@pytest.mark.parametrize("name", sorted(seccomp.REFUSED))
@pytest.mark.parametrize("watched", [EVERYTHING, NOTHING], ids=["everything", "nothing"])
def test_what_is_refused_always(architecture: Architecture, watched: Watched, name: str) -> None:
    assert Machine(architecture, watched).call(name) == bpf.NOTIFY


@pytest.mark.parametrize(
    "name", ["io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "setxattrat"]
)
def test_what_libraries_try_is_not_there(machine: Machine, name: str) -> None:
    assert machine.call(name) == ENOSYS


@pytest.mark.parametrize("name", ["keyctl", "bpf", "open_by_handle_at", "userfaultfd", "perf_event_open"])
def test_what_programs_probe_is_refused(machine: Machine, name: str) -> None:
    assert machine.call(name) == EPERM


@pytest.mark.parametrize("name", ["shmget", "shmat", "msgget", "msgsnd", "semget", "mq_open"])
def test_memory_of_others_cannot_be_shared(machine: Machine, name: str) -> None:
    assert machine.call(name) == EACCES


@pytest.mark.parametrize(
    ("family", "kind", "answer"),
    [
        (socket.AF_UNIX, socket.SOCK_STREAM, bpf.ALLOW),
        (socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, bpf.ALLOW),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, bpf.ALLOW),
        (socket.AF_UNIX, socket.SOCK_DGRAM, EACCES),
        (socket.AF_UNIX | 1 << 32, socket.SOCK_DGRAM, EACCES),
        (socket.AF_INET, socket.SOCK_STREAM, bpf.NOTIFY),
        (socket.AF_INET6, socket.SOCK_DGRAM, bpf.NOTIFY),
        (17, socket.SOCK_RAW, bpf.NOTIFY),
        (40, socket.SOCK_STREAM, bpf.NOTIFY),
        (16, socket.SOCK_RAW, EACCES),
        (socket.AF_INET | 1 << 32, socket.SOCK_STREAM, bpf.NOTIFY),
    ],
)
def test_sockets_with_the_network_restricted(machine: Machine, family: int, kind: int, answer: int) -> None:
    assert machine.call("socket", family, kind) == answer
    pair = EACCES if answer == bpf.NOTIFY else answer
    assert machine.call("socketpair", family, kind) == pair


def test_sockets_with_the_network_enabled(architecture: Architecture) -> None:
    machine = Machine(architecture, NOTHING)
    assert machine.call("socket", socket.AF_INET, socket.SOCK_DGRAM) == bpf.ALLOW
    assert machine.call("connect", 3) == bpf.ALLOW


@pytest.mark.parametrize(
    "flag", [0x1000_0000, 0x0002_0000, 0x4000_0000, 0x2000_0000, 0x0800_0000, 0x0400_0000]
)
def test_new_namespaces(machine: Machine, flag: int) -> None:
    assert machine.call("clone", flag | 17) == EPERM
    assert machine.call("unshare", flag) == bpf.NOTIFY
    assert machine.call("unshare", 0x200) == bpf.ALLOW
    # A thread, and vfork.
    assert machine.call("clone", 0x3D0F00) == bpf.ALLOW
    assert machine.call("clone", 0x4100 | 17) == bpf.ALLOW


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (0x5412, EPERM),
        (0x541C, EPERM),
        (0x5412 | 1 << 32, EPERM),
        (0x5401, bpf.ALLOW),
        (0x4008_6602, bpf.NOTIFY),
        (0x8008_6601, bpf.ALLOW),
        (0x401C_5820, bpf.NOTIFY),
        (0x4004_9409, bpf.ALLOW),
        (0x5000_940F, bpf.NOTIFY),
    ],
)
def test_requests_to_devices_and_files(machine: Machine, request_: int, answer: int) -> None:
    assert machine.call("ioctl", 1, request_) == answer


def test_only_opening_for_writing_is_watched(machine: Machine) -> None:
    assert machine.call("openat", 3, 0, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY) == bpf.ALLOW
    assert machine.call("openat", 3, 0, os.O_PATH) == bpf.ALLOW
    for flags in (
        os.O_WRONLY,
        os.O_RDWR,
        os.O_RDONLY | os.O_CREAT,
        os.O_RDONLY | os.O_TRUNC,
        os.O_WRONLY | os.O_SYNC,
    ):
        assert machine.call("openat", 3, 0, flags) == bpf.NOTIFY
    # What starts a program waits for its streams to be opened.
    assert machine.call("openat", 3, 0, os.O_RDWR | seccomp.QUIET_OPEN) == bpf.ALLOW


def test_reading_is_watched_where_it_is_restricted(architecture: Architecture) -> None:
    machine = Machine(architecture, READS)
    assert machine.call("openat", 3, 0, os.O_RDONLY) == bpf.NOTIFY
    assert machine.call("openat", 3, 0, os.O_RDONLY | seccomp.QUIET_OPEN) == bpf.ALLOW


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("prlimit64", (0, 7, 1), bpf.ALLOW),
        ("prlimit64", (1, 7, 0), bpf.ALLOW),
        ("prlimit64", (1, 7, 1 << 32), bpf.NOTIFY),
        ("prlimit64", (1, 7, 8), bpf.NOTIFY),
        ("sched_setaffinity", (0,), bpf.ALLOW),
        ("sched_setaffinity", (1,), bpf.NOTIFY),
        ("setpriority", (0, 0), bpf.ALLOW),
        ("setpriority", (0, 1), bpf.NOTIFY),
        ("setpriority", (2, 0), EPERM),
        ("ioprio_set", (3, 0), EPERM),
        ("kill", (1, 0), bpf.ALLOW),
        ("kill", (1, 9), bpf.NOTIFY),
        ("kill", (-5, 9), bpf.ALLOW),
    ],
)
def test_calls_about_other_processes(
    machine: Machine, name: str, arguments: tuple[int, ...], answer: int
) -> None:
    assert machine.call(name, *arguments) == answer


def test_metadata_and_changes_are_watched_where_not_everything_is_writable(
    architecture: Architecture,
) -> None:
    watching, not_watching = Machine(architecture, EVERYTHING), Machine(architecture, NOTHING)
    for name in (seccomp.METADATA | seccomp.CHANGES) & set(architecture.numbers):
        assert watching.call(name) == bpf.NOTIFY, name
        assert not_watching.call(name) == bpf.ALLOW, name


def test_without_a_supervisor_nothing_is_asked() -> None:
    architecture = this_architecture()
    if architecture is None:
        pytest.skip("the system calls of this architecture are not known")
    for network in (True, False):
        instructions = seccomp.filter_bytes(network=network)
        answers = {
            operand for code, _, _, operand in struct.iter_unpack("=HBBI", instructions) if code == 0x06
        }
        assert bpf.NOTIFY not in answers
        number = architecture.numbers["connect"]
        answer = run(instructions, number, audit=architecture.audit)
        assert answer == (bpf.ALLOW if network else EACCES)


def test_a_jump_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="256 instructions"):
        bpf.if_equal(1, bpf.give(bpf.ALLOW) * 256)


@pytest.mark.skipif(platform.machine() not in ARCHITECTURES, reason="an architecture that is not known here")
def test_the_tables_have_the_numbers_of_this_machine() -> None:
    # Asked of the kernel: what is called with a bad descriptor says so.
    architecture = this_architecture()
    assert architecture is not None
    bad = {"fchmod": (-1, 0), "fchown": (-1, 0, 0), "connect": (-1, None, 0), "ioctl": (-1, 0, 0)}
    for name, arguments in bad.items():
        with pytest.raises(OSError, match="Bad file descriptor"):
            system_call(architecture.numbers[name], *arguments)
