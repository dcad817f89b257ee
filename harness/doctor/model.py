"""What is found out about a machine."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """How something is here."""

    OK = "ok"
    LATER = "not yet"
    """Not there, and made when it is needed."""
    MISSING = "missing"
    BROKEN = "broken"
    """There, and of no use as it is."""
    NOT_NEEDED = "not needed"
    """Nothing here would be better with it."""

    @property
    def is_bad(self) -> bool:
        return self in (State.MISSING, State.BROKEN)


class Fact(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    :ivar group: which things it belongs to, such as ``kernel``.
    :ivar found: what there is, or what is wrong with it; one or several sentences, without a full stop.
    :ivar remedy: what would help; empty if nothing needs help.
    :ivar needed_by: the environments that cannot be given without it.
    """

    group: str
    name: str
    state: State
    found: str
    remedy: str = ""
    needed_by: tuple[str, ...] = ()


class Given(msgspec.Struct, frozen=True):
    """Whether this machine can give an environment.

    :ivar reason: why not.
    :ivar remedy: what would help.
    """

    name: str
    ok: bool
    reason: str = ""
    remedy: str = ""


class Report(msgspec.Struct, frozen=True):
    """All that is known about this machine; the document of ``crossexec doctor --json``."""

    facts: tuple[Fact, ...]
    environments: tuple[Given, ...]
