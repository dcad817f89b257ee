"""Choices about an environment, as command lines and environment variables spell them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One choice.

    :ivar environment: what it is for; begins its flag and its variable.
    :ivar name: without that, with dashes between words.
    """

    environment: str
    name: str
    metavar: str
    help: str

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
