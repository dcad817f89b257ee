"""What the pytest run of a cell tells the runner while it goes: one JSON object a line."""

from __future__ import annotations

import msgspec

from harness.matrix.model import Case


class Collected(msgspec.Struct, frozen=True, tag="collected"):
    """How many cases the cell has. May come more than once; the last one counts.

    :ivar cut: see :attr:`harness.matrix.model.Cell.cut`.
    """

    total: int
    cut: str = ""


class Facts(msgspec.Struct, frozen=True, tag="facts"):
    """The environment is up, and this is known of it; from each worker once."""

    versions: dict[str, str]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A case has its outcome; from each case once, when nothing more of it can follow."""

    case: Case


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """Something went wrong outside of the cases: a module that cannot be imported, a usage error, a worker
    that died."""

    text: str


class Unavailable(msgspec.Struct, frozen=True, tag="unavailable"):
    """An executor that is not of this package cannot be had or run, or has died; nothing else follows.

    :ivar remedy: what would help.
    """

    reason: str
    remedy: str = ""


Event = Collected | Facts | Done | Broken | Unavailable


def encode(event: Event) -> bytes:
    """Returns the line, its end included."""
    return msgspec.json.encode(event) + b"\n"


def decode(line: bytes) -> Event:
    """:raises msgspec.DecodeError: it is no event."""
    return msgspec.json.decode(line, type=Event)  # type: ignore[no-any-return]
