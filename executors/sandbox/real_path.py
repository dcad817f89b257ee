"""Where a path leads, links resolved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RealPath:
    """Where a path leads now.

    :ivar path: absolute, without links. Names below what is not there stay as they are.
    :ivar links: where the links are that were followed, without links on the way to them.
    :ivar exists: whether anything is there.
    :ivar blocked: the directory that the executor may not look into; nothing below it was looked at.
    """

    path: str
    links: tuple[str, ...] = ()
    exists: bool = True
    blocked: str | None = None
