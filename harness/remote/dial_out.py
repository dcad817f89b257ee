"""What an executor is told that dials out instead of listening."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DialOut:
    """What an executor is told that dials out instead of listening.

    :ivar registry: URL of the registry; on this machine.
    :ivar environment_id: the environment to be.
    :ivar credential: for the registry.
    """

    registry: str
    environment_id: str
    credential: str = field(repr=False)

    @property
    def arguments(self) -> list[str]:
        """Of the executor's command line, instead of ``--listen`` and its URL."""
        return ["--remote", self.registry, "--environment-id", self.environment_id, "--credential-stdin"]

    @property
    def input(self) -> bytes:
        """What its standard input begins with."""
        return self.credential.encode() + b"\n"
