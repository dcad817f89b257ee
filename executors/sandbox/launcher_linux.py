"""A program that becomes another one: it ends what a wrapper made of a start, and says that it came so far.

A wrapper such as bubblewrap waits for what runs in it. It shares its process group, so it has to block the
signals that are meant for its program; and it obeys its environment, as far as the dynamic loader goes,
outside of the sandbox. So it is started with every signal blocked and with no environment, and runs this
launcher, which holds in itself what the program is to be given: path, arguments and environment.

The launcher is machine code, made for each start: an executable of some 250 bytes and its data. No program of
the machine does this: shells cannot unblock signals, and an interpreter would take longer than the sandbox.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STATUS_FD: Final = 3
"""The descriptor that it writes to: one byte before it becomes the program, and the errno if it cannot."""
STARTED: Final = b"\1"

_BASE: Final = 0x40_0000
_HEADERS: Final = 64 + 2 * 56
_LOADED: Final = 1
_STACK: Final = 0x6474_E551
_READ_EXECUTE: Final = 5
_READ_WRITE: Final = 6
_SIG_SETMASK: Final = 2
_MASK_BYTES: Final = 8
_F_SETFD: Final = 2
_FD_CLOEXEC: Final = 1
_LAST_DESCRIPTOR: Final = 0xFFFF_FFFF
_CANNOT_EXECUTE: Final = 126


@dataclass(frozen=True)
class _Machine:
    """The instructions that are needed, for one architecture.

    :ivar elf: its number in the header of an executable.
    :ivar call: code that makes a system call, given the number and up to four arguments of 32 bits.
    :ivar keep_error: code that negates the result and leaves it where the stack begins.
    :ivar write_stack: code that makes the system call *number* with a descriptor, where the stack begins,
        and 1.
    """

    elf: int
    numbers: Mapping[str, int]
    call: Callable[..., bytes]
    keep_error: bytes
    write_stack: Callable[[int, int], bytes]


def _x86_call(number: int, *arguments: int) -> bytes:
    # mov r32, imm32 into edi, esi, edx, r10d, which clears the upper half; mov eax, number; syscall.
    loads = zip((b"\xbf", b"\xbe", b"\xba", b"\x41\xba"), arguments, strict=False)
    code = b"".join(operation + struct.pack("<I", value) for operation, value in loads)
    return code + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"


def _x86_write_stack(number: int, fd: int) -> bytes:
    # As above, but mov rsi, rsp.
    code = b"\xbf" + struct.pack("<I", fd) + b"\x48\x89\xe6" + b"\xba" + struct.pack("<I", 1)
    return code + b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"


def _arm_load(register: int, value: int) -> bytes:
    # movz x, low half; movk x, high half, lsl 16.
    low = 0xD280_0000 | (value & 0xFFFF) << 5 | register
    return struct.pack("<II", low, 0xF2A0_0000 | (value >> 16) << 5 | register)


def _arm_call(number: int, *arguments: int) -> bytes:
    code = b"".join(_arm_load(register, value) for register, value in enumerate(arguments))
    # The number in x8; svc 0.
    return code + _arm_load(8, number) + struct.pack("<I", 0xD400_0001)


def _arm_write_stack(number: int, fd: int) -> bytes:
    # mov x1, sp
    code = _arm_load(0, fd) + struct.pack("<I", 0x9100_03E1) + _arm_load(2, 1)
    return code + _arm_load(8, number) + struct.pack("<I", 0xD400_0001)


_MACHINES: Final[Mapping[str, _Machine]] = {
    "x86_64": _Machine(
        elf=62,
        numbers={"write": 1, "rt_sigprocmask": 14, "execve": 59, "fcntl": 72, "exit_group": 231},
        call=_x86_call,
        # neg eax; push rax
        keep_error=b"\xf7\xd8\x50",
        write_stack=_x86_write_stack,
    ),
    "aarch64": _Machine(
        elf=183,
        numbers={"fcntl": 25, "write": 64, "exit_group": 94, "rt_sigprocmask": 135, "execve": 221},
        call=_arm_call,
        # neg x0, x0; str x0, [sp, #-16]!
        keep_error=struct.pack("<II", 0xCB00_03E0, 0xF81F_0FE0),
        write_stack=_arm_write_stack,
    ),
}
_CLOSE_RANGE: Final = 436


def is_known(machine: str | None = None) -> bool:
    """Whether launchers can be made for *machine*, as uname(1) calls it; None for this one."""
    return (machine or platform.machine()) in _MACHINES


def make_launcher(
    path: str, argv: Sequence[str], env: Mapping[str, str], machine: str | None = None
) -> bytes:
    """Returns the executable that becomes *path* with no signal blocked and no descriptor above 2.

    Before kernel 5.9 it leaves the descriptors as they are.

    :param argv: what the program sees, from ``argv[0]`` on.
    :param machine: as uname(1) calls it; None for this one.
    :raises ValueError: *path*, *argv* or *env* holds what no program can be given.
    """
    made = _MACHINES[machine or platform.machine()]
    texts = [_text(path), *map(_text, argv)]
    for name, value in env.items():
        if not name or "=" in name:
            raise ValueError(f"illegal environment variable name {name!r}")
        texts.append(_text(f"{name}={value}"))
    # What has no address yet takes as much room as what has one.
    code_size = len(_code(made, 0, 0, 0, 0, 0))
    mask = _BASE + _HEADERS + code_size + -code_size % 8
    started = mask + _MASK_BYTES
    arguments = started + 8
    environment = arguments + 8 * (len(argv) + 1)
    address = environment + 8 * (len(env) + 1)
    addresses = []
    for text in texts:
        addresses.append(address)
        address += len(text)
    first = 1 + len(argv)
    data = bytes(_MASK_BYTES) + STARTED.ljust(8, b"\0")
    data += struct.pack(f"<{len(argv) + 1}Q", *addresses[1:first], 0)
    data += struct.pack(f"<{len(env) + 1}Q", *addresses[first:], 0)
    code = _code(made, mask, started, addresses[0], arguments, environment)
    body = code + bytes(-code_size % 8) + data + b"".join(texts)
    return _headers(made, _HEADERS + len(body)) + body


def _text(text: str) -> bytes:
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded + b"\0"


def _code(made: _Machine, mask: int, started: int, path: int, argv: int, env: int) -> bytes:
    numbers = made.numbers
    return b"".join(
        (
            made.call(numbers["rt_sigprocmask"], _SIG_SETMASK, mask, 0, _MASK_BYTES),
            made.call(_CLOSE_RANGE, STATUS_FD + 1, _LAST_DESCRIPTOR, 0),
            made.call(numbers["fcntl"], STATUS_FD, _F_SETFD, _FD_CLOEXEC),
            made.call(numbers["write"], STATUS_FD, started, 1),
            made.call(numbers["execve"], path, argv, env),
            made.keep_error,
            made.write_stack(numbers["write"], STATUS_FD),
            made.call(numbers["exit_group"], _CANNOT_EXECUTE),
        )
    )


def _headers(made: _Machine, size: int) -> bytes:
    """The header of a 64-bit executable, of one part that is loaded and of a stack that is not executed."""
    header = struct.pack("<4sBBBB8x", b"\x7fELF", 2, 1, 1, 0)
    header += struct.pack("<HHIQQQIHHHHHH", 2, made.elf, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", _LOADED, _READ_EXECUTE, 0, _BASE, _BASE, size, size, 0x1_0000)
    return header + struct.pack("<IIQQQQQQ", _STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16)
