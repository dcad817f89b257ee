"""Libraries that only make things quicker: nothing but speed depends on them.

Each has a stand-in with the same behaviour, which is used where the library cannot be imported or where the
environment variable :data:`VARIABLE` switches all of them off.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Final

VARIABLE: Final = "CROSSEXEC_PLAIN"
"""Set to anything but nothing or ``0``, it switches all of them off, for a process and its executors."""


class Use(StrEnum):
    """Whether a library is used in this process."""

    IN_USE = "in use"
    OFF = "switched off"
    MISSING = "not installed"
    BROKEN = "broken"
    """It is installed and cannot be imported."""


@dataclass(frozen=True)
class SpeedUp:
    """One library, of the extra ``fast``.

    :ivar name: of the package and of its module.
    :ivar part: what it is used for.
    :ivar stand_in: what does that without it.
    """

    name: str
    part: str
    stand_in: str


PICOWS: Final = SpeedUp("picows", "WebSocket", "websockets")
PYBASE64: Final = SpeedUp("pybase64", "base64", "the standard library")
SPEED_UPS: Final = (PICOWS, PYBASE64)


def are_off() -> bool:
    """Whether :data:`VARIABLE` switches them off; it may change while the process runs."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def use_of(speed_up: SpeedUp) -> Use:
    return Use.OFF if are_off() else _found(speed_up.name)


def is_used(speed_up: SpeedUp) -> bool:
    return use_of(speed_up) is Use.IN_USE


def in_use() -> tuple[str, ...]:
    """Returns the names of those that are used in this process."""
    return tuple(each.name for each in SPEED_UPS if is_used(each))


@cache
def _found(name: str) -> Use:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        return Use.MISSING if error.name == name else Use.BROKEN
    except ImportError:
        # Such as one whose machine code is for another system.
        return Use.BROKEN
    return Use.IN_USE
