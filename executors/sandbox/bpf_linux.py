"""Programs of the classic Berkeley Packet Filter, as seccomp(2) runs them: assembled here, no I/O.

A program is a list of instructions. Every piece made here ends by returning, so that pieces follow one
another and the first whose condition holds decides.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Instruction = tuple[int, int, int, int]
"""Code, how far to jump if true, if false, and the operand."""
Program = list[Instruction]

KILL_PROCESS: Final = 0x80000000
ERRNO: Final = 0x00050000
NOTIFY: Final = 0x7FC00000
ALLOW: Final = 0x7FFF0000

_LOAD: Final = 0x20
_AND: Final = 0x54
_EQUAL: Final = 0x15
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16
_LONGEST_JUMP: Final = 255


def error(code: int) -> int:
    """The action that fails a call with the errno *code*."""
    return ERRNO | code


def give(action: int) -> Program:
    return [(_RETURN, 0, 0, action)]


def load_number() -> Program:
    return [(_LOAD, 0, 0, _NUMBER)]


def load_architecture() -> Program:
    return [(_LOAD, 0, 0, _ARCHITECTURE)]


def load_argument(index: int, mask: int | None = None) -> Program:
    """Loads the lower 32 bits of an argument, on a machine with the lower half first."""
    load: Program = [(_LOAD, 0, 0, _ARGUMENTS + 8 * index)]
    return load if mask is None else [*load, (_AND, 0, 0, mask)]


def load_upper(index: int) -> Program:
    """Loads the upper 32 bits of an argument."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4)]


def if_equal(value: int, then: Program) -> Program:
    """*then*, which returns, if what was loaded last is *value*."""
    return [(_EQUAL, 0, _reach(then), value), *then]


def unless_equal(value: int, then: Program) -> Program:
    return [(_EQUAL, _reach(then), 0, value), *then]


def if_at_least(value: int, then: Program) -> Program:
    return [(_AT_LEAST, 0, _reach(then), value), *then]


def if_any_bit(bits: int, then: Program) -> Program:
    return [(_ANY_BIT, 0, _reach(then), bits), *then]


def choose(values: Iterable[int], action: int) -> Program:
    """Returns *action* if what was loaded last is one of *values*."""
    return [instruction for value in values for instruction in if_equal(value, give(action))]


def _reach(program: Sequence[Instruction]) -> int:
    if len(program) > _LONGEST_JUMP:
        raise ValueError(f"{len(program)} instructions cannot be jumped over, {_LONGEST_JUMP} can")
    return len(program)


def call_filter(audit: int, largest: int, unknown: int, rules: Mapping[int, Program]) -> Program:
    """Returns a whole filter.

    :param audit: the architecture that it is for; calls of any other end the process.
    :param largest: calls with higher numbers (those of x32 on x86-64, too) come to *unknown*, an action.
    :param rules: by number of the call; each ends by returning. Other calls are allowed.
    """
    program = [*load_architecture(), *unless_equal(audit, give(KILL_PROCESS)), *load_number()]
    program += if_at_least(largest + 1, give(unknown))
    for number, rule in sorted(rules.items()):
        program += if_equal(number, rule)
    return program + give(ALLOW)


def assemble(program: Iterable[Instruction]) -> bytes:
    """Returns *program* as an array of ``struct sock_filter``."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
