"""Small executables, made here: system calls one after the other, and where to go on by what comes of them.

No program of a machine runs where a sandbox is half made: an interpreter or a dynamic loader would read files
of those who are to be confined, and take longer than the sandbox does. What is made here is an executable of
a few hundred bytes of code and its data. No I/O.
"""

from __future__ import annotations

import platform
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Final, NamedTuple, Self

_BASE: Final = 0x40_0000
_HEADERS: Final = 64 + 2 * 56
_LOADED: Final = 1
_STACK_SEGMENT: Final = 0x6474_E551
_READ_EXECUTE: Final = 5
_READ_WRITE: Final = 6

STEP_FAILED: Final = 2
"""The first of the three bytes that :meth:`Code.report_step` writes: then come the step and the errno."""


class Kept(NamedTuple):
    """A value that :meth:`Code.keep` has put aside, from 0 to 2."""

    number: int


class Slot(NamedTuple):
    """The address of 16 bytes on the stack that may be written to."""


SLOT: Final = Slot()
Argument = int | Kept | Slot


class Code(ABC):
    """An executable that grows: data first, then instructions.

    Arguments are of 32 bits, which is enough for descriptors, flags and the addresses of data.
    """

    elf: int
    """The number of the architecture in the header of an executable."""
    numbers: Mapping[str, int]
    """Of the system calls, by name."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def data(self, content: bytes) -> int:
        """Adds *content*, aligned to 8 bytes; returns its address."""
        self._data += bytes(-len(self._data) % 8)
        address = _BASE + _HEADERS + len(self._data)
        self._data += content
        return address

    def call(self, name: str, *arguments: Argument) -> None:
        """A system call, of which the result is at hand until the next one."""
        for place, argument in enumerate(arguments):
            self._load_argument(place, argument)
        self._make_call(self.numbers[name])

    def mark(self, label: str) -> None:
        self._labels[label] = len(self._code)

    def copy(self) -> Self:
        """Returns another one that begins as this one does."""
        self._link_known()
        other = copy(self)
        other._data, other._code = bytearray(self._data), bytearray(self._code)
        other._labels, other._jumps = dict(self._labels), list(self._jumps)
        return other

    def image(self) -> bytes:
        """Returns the whole executable.

        :raises KeyError: a jump leads to a label that is nowhere.
        """
        self._link_known()
        if self._jumps:
            raise KeyError(self._jumps[0][1])
        self._data += bytes(-len(self._data) % 8)
        start, size = len(self._data), len(self._data) + len(self._code)
        return b"".join((self._headers(start, _HEADERS + size), self._data, self._code))

    def _link_known(self) -> None:
        for place, label in self._jumps:
            if label in self._labels:
                self._link(self._code, place, self._labels[label] - place)
        self._jumps = [jump for jump in self._jumps if jump[1] not in self._labels]

    def _jump(self, instruction: bytes, label: str) -> None:
        self._code += instruction
        self._jumps.append((len(self._code) - 4, label))

    def _headers(self, start: int, size: int) -> bytes:
        """The header of a 64-bit executable: one part is loaded, and the stack is not executed."""
        header = struct.pack("<4sBBBB8x", b"\x7fELF", 2, 1, 1, 0)
        entry = _BASE + _HEADERS + start
        header += struct.pack("<HHIQQQIHHHHHH", 2, self.elf, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
        header += struct.pack("<IIQQQQQQ", _LOADED, _READ_EXECUTE, 0, _BASE, _BASE, size, size, 0x1_0000)
        return header + struct.pack("<IIQQQQQQ", _STACK_SEGMENT, _READ_WRITE, 0, 0, 0, 0, 0, 16)

    @abstractmethod
    def make_slot(self) -> None:
        """Makes room for :data:`SLOT`; to be the first instruction."""

    @abstractmethod
    def step(self, number: int) -> None:
        """What follows is step *number*, below 256, for :meth:`report_step`."""

    @abstractmethod
    def keep(self, number: int) -> None:
        """Puts the result of the last call aside."""

    @abstractmethod
    def jump(self, label: str) -> None: ...

    @abstractmethod
    def jump_if_negative(self, label: str) -> None:
        """Goes on at *label* if the last call has failed."""

    @abstractmethod
    def jump_if_zero(self, label: str) -> None: ...

    @abstractmethod
    def jump_if_kept(self, number: int, label: str) -> None:
        """Goes on at *label* if the last call's result is what was kept."""

    @abstractmethod
    def report_error(self, fd: int) -> None:
        """Writes the errno of the last call, one byte, to *fd*."""

    @abstractmethod
    def report_step(self, fd: int) -> None:
        """Writes three bytes to *fd*: :data:`STEP_FAILED`, the step, and the errno of the last call."""

    @abstractmethod
    def exit_as(self) -> None:
        """Ends as the process did of which SLOT holds the wait status: 128+n after a death by signal n."""

    @abstractmethod
    def _load_argument(self, place: int, argument: Argument) -> None: ...

    @abstractmethod
    def _make_call(self, number: int) -> None: ...

    @abstractmethod
    def _link(self, code: bytearray, place: int, distance: int) -> None:
        """Lets the jump whose last four bytes are at *place* lead *distance* bytes from there."""


class _X86(Code):
    elf = 62
    numbers: Mapping[str, int] = {
        "read": 0, "write": 1, "rt_sigprocmask": 14, "sendmsg": 46, "clone": 56, "execve": 59, "wait4": 61,
        "fcntl": 72, "chdir": 80, "capset": 126, "prctl": 157, "mount": 165, "exit_group": 231,
        "openat": 257, "pipe2": 293, "setns": 308, "seccomp": 317, "close_range": 436,
    }  # fmt: skip
    # rdi, rsi, rdx, r10, r8, r9
    _REGISTERS: Final = (7, 6, 2, 10, 8, 9)
    # r12 and those after it survive system calls; r15 holds the step.
    _FIRST_KEPT: Final = 12

    def make_slot(self) -> None:
        # push 0, twice: the stack stays aligned.
        self._code += b"\x6a\x00\x6a\x00"

    def step(self, number: int) -> None:
        # mov r15d, imm32
        self._code += b"\x41\xbf" + struct.pack("<I", number)

    def keep(self, number: int) -> None:
        # mov r12d.., eax
        self._code += bytes((0x41, 0x89, 0xC0 | (self._FIRST_KEPT + number) & 7))

    def jump(self, label: str) -> None:
        self._jump(b"\xe9" + bytes(4), label)

    def jump_if_negative(self, label: str) -> None:
        # test eax, eax; js
        self._jump(b"\x85\xc0\x0f\x88" + bytes(4), label)

    def jump_if_zero(self, label: str) -> None:
        # test eax, eax; jz
        self._jump(b"\x85\xc0\x0f\x84" + bytes(4), label)

    def jump_if_kept(self, number: int, label: str) -> None:
        # cmp eax, r12d..; je
        compare = bytes((0x44, 0x39, 0xC0 | ((self._FIRST_KEPT + number) & 7) << 3))
        self._jump(compare + b"\x0f\x84" + bytes(4), label)

    def report_error(self, fd: int) -> None:
        # neg eax; mov [rsp], eax
        self._code += b"\xf7\xd8\x89\x04\x24"
        self.call("write", fd, SLOT, 1)

    def report_step(self, fd: int) -> None:
        # neg eax; shl eax, 16; shl r15d, 8; or eax, r15d; or eax, STEP_FAILED; mov [rsp], eax
        self._code += b"\xf7\xd8\xc1\xe0\x10\x41\xc1\xe7\x08\x44\x09\xf8\x83\xc8"
        self._code += bytes((STEP_FAILED,)) + b"\x89\x04\x24"
        self.call("write", fd, SLOT, 3)

    def exit_as(self) -> None:
        # mov edi, [rsp]; mov ecx, edi; and ecx, 0x7f; jz +5; lea edi, [rcx + 128] and jump over the rest
        self._code += b"\x8b\x3c\x24\x89\xf9\x83\xe1\x7f\x74\x08\x8d\xb9\x80\x00\x00\x00\xeb\x09"
        # shr edi, 8; and edi, 0xff
        self._code += b"\xc1\xef\x08\x81\xe7\xff\x00\x00\x00"
        self._make_call(self.numbers["exit_group"])

    def _load_argument(self, place: int, argument: Argument) -> None:
        register = self._REGISTERS[place]
        high = register >> 3
        match argument:
            case Kept(number):
                # mov r32, r12d..
                source = self._FIRST_KEPT + number
                self._code += bytes((0x44 | high, 0x89, 0xC0 | (source & 7) << 3 | register & 7))
            case Slot():
                # mov r64, rsp
                self._code += bytes((0x48 | high, 0x89, 0xC0 | 4 << 3 | register & 7))
            case int():
                # mov r32, imm32, which clears the upper half
                self._code += (b"\x41" if high else b"") + bytes((0xB8 | register & 7,))
                self._code += struct.pack("<I", argument & 0xFFFF_FFFF)

    def _make_call(self, number: int) -> None:
        # mov eax, imm32; syscall
        self._code += b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"

    def _link(self, code: bytearray, place: int, distance: int) -> None:
        # It is counted from the end of the instruction.
        struct.pack_into("<i", code, place, distance - 4)


class _Arm(Code):
    elf = 183
    numbers: Mapping[str, int] = {
        "fcntl": 25, "mount": 40, "chdir": 49, "openat": 56, "pipe2": 59, "read": 63, "write": 64,
        "capset": 91, "exit_group": 94, "rt_sigprocmask": 135, "prctl": 167, "sendmsg": 211, "clone": 220,
        "execve": 221, "wait4": 260, "setns": 268, "seccomp": 277, "close_range": 436,
    }  # fmt: skip
    # Arguments are in x0 to x5; x20 and those after it survive; w24 holds the step.
    _FIRST_KEPT: Final = 20
    _STEP: Final = 24

    def make_slot(self) -> None:
        # sub sp, sp, #16; str xzr, [sp]
        self._words(0xD100_43FF, 0xF900_03FF)

    def step(self, number: int) -> None:
        self._load(self._STEP, number)

    def keep(self, number: int) -> None:
        # mov w20.., w0
        self._words(0x2A00_03E0 | self._FIRST_KEPT + number)

    def jump(self, label: str) -> None:
        self._jump(struct.pack("<I", 0x1400_0000), label)

    def jump_if_negative(self, label: str) -> None:
        # tbnz w0, #31
        self._jump(struct.pack("<I", 0x37F8_0000), label)

    def jump_if_zero(self, label: str) -> None:
        # cbz w0
        self._jump(struct.pack("<I", 0x3400_0000), label)

    def jump_if_kept(self, number: int, label: str) -> None:
        # cmp w0, w20..; b.eq
        compare = 0x6B00_001F | (self._FIRST_KEPT + number) << 16
        self._jump(struct.pack("<II", compare, 0x5400_0000), label)

    def report_error(self, fd: int) -> None:
        # neg w0, w0; str x0, [sp]
        self._words(0x4B00_03E0, 0xF900_03E0)
        self.call("write", fd, SLOT, 1)

    def report_step(self, fd: int) -> None:
        # neg w0, w0; lsl w0, w0, #16; orr w0, w0, w24, lsl #8; orr w0, w0, #2; str x0, [sp]
        self._words(0x4B00_03E0, 0x5310_3C00, 0x2A00_2000 | self._STEP << 16, 0x321F_0000, 0xF900_03E0)
        self.call("write", fd, SLOT, 3)

    def exit_as(self) -> None:
        # ldr w0, [sp]; and w9, w0, #0x7f; cbz w9, +12; add w0, w9, #128; b +8; ubfx w0, w0, #8, #8
        self._words(0xB940_03E0, 0x1200_1809, 0x3400_0069, 0x1102_0120, 0x1400_0002, 0x5308_3C00)
        self._make_call(self.numbers["exit_group"])

    def _load_argument(self, place: int, argument: Argument) -> None:
        match argument:
            case Kept(number):
                # mov w, w20..
                self._words(0x2A00_03E0 | (self._FIRST_KEPT + number) << 16 | place)
            case Slot():
                # mov x, sp
                self._words(0x9100_03E0 | place)
            case int():
                self._load(place, argument)

    def _make_call(self, number: int) -> None:
        # The number in x8; svc 0.
        self._load(8, number)
        self._words(0xD400_0001)

    def _link(self, code: bytearray, place: int, distance: int) -> None:
        (instruction,) = struct.unpack_from("<I", code, place)
        words = distance >> 2
        if instruction >> 26 == 5:
            target = words & 0x3FF_FFFF
        elif instruction >> 24 == 0x37:
            target = (words & 0x3FFF) << 5
        else:
            target = (words & 0x7_FFFF) << 5
        struct.pack_into("<I", code, place, instruction | target)

    def _load(self, register: int, value: int) -> None:
        # movz x, low half; movk x, high half, lsl 16.
        low = 0xD280_0000 | (value & 0xFFFF) << 5 | register
        self._words(low, 0xF2A0_0000 | (value >> 16 & 0xFFFF) << 5 | register)

    def _words(self, *instructions: int) -> None:
        self._code += struct.pack(f"<{len(instructions)}I", *instructions)


_ARCHITECTURES: Final[Mapping[str, type[Code]]] = {"x86_64": _X86, "aarch64": _Arm}


def is_known(machine: str | None = None) -> bool:
    """Whether executables can be made for *machine*, as uname(1) calls it; None for this one."""
    return (machine or platform.machine()) in _ARCHITECTURES


def new_code(machine: str | None = None) -> Code:
    """:raises KeyError: the architecture is not known."""
    return _ARCHITECTURES[machine or platform.machine()]()
