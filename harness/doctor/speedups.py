"""The libraries that make the client and its executors here quicker, and that they do without."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from executors.speedups import SPEED_UPS, VARIABLE, SpeedUp, Use, use_of
from harness.doctor.model import Fact, State

_GROUP: Final = "speed-ups"


def facts() -> list[Fact]:
    return [_fact(speed_up) for speed_up in SPEED_UPS]


def _fact(speed_up: SpeedUp) -> Fact:
    use = use_of(speed_up)
    instead = f"{speed_up.part} goes by {speed_up.stand_in}"
    if use is Use.IN_USE:
        return Fact(_GROUP, speed_up.name, State.OK, f"{use}: {_version(speed_up)}, for {speed_up.part}")
    if use is Use.OFF:
        return Fact(
            _GROUP, speed_up.name, State.NOT_NEEDED, f"{use}: {instead}", f"to use it, unset {VARIABLE}"
        )
    remedy = "pip install 'crossexec[fast]'"
    if use is Use.MISSING:
        return Fact(_GROUP, speed_up.name, State.MISSING, f"{use}: {instead}", remedy)
    found = f"{use}: {_version(speed_up)} cannot be imported, and {instead}"
    return Fact(_GROUP, speed_up.name, State.BROKEN, found, f"pip install --force-reinstall {speed_up.name}")


def _version(speed_up: SpeedUp) -> str:
    try:
        return version(speed_up.name)
    except PackageNotFoundError:
        return "of unknown version"
