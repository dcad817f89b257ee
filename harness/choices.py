"""Choices about an environment, as command lines and environment variables spell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_YES: Final = ("1", "yes", "true", "on")
_NO: Final = ("", "0", "no", "false", "off")


@dataclass(frozen=True)
class Option:
    """One choice.

    :ivar environment: what it is for; begins its flag and its variable.
    :ivar name: without that, with dashes between words.
    :ivar where: how ``--env`` names it; empty if that is *environment*.
    """

    environment: str
    name: str
    metavar: str
    help: str
    where: str = ""

    @property
    def flag(self) -> str:
        return f"--{self.environment}-{self.name}"

    @property
    def destination(self) -> str:
        """Where argparse puts it."""
        return f"{self.environment}-{self.name}".replace("-", "_")

    @property
    def variable(self) -> str:
        return f"CROSSEXEC_{self.destination.upper()}"


def yes_or_no(flag: str, text: str) -> bool:
    """What *text* says; no if it says nothing.

    :param flag: for the error.
    :raises ValueError: it says neither.
    """
    said = text.lower()
    if said not in (*_YES, *_NO):
        raise ValueError(f"{flag} {said}: give yes or no")
    return said in _YES
