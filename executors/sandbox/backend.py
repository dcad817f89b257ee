"""What a sandbox backend offers, whatever the operating system. Callers never ask which one they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from executors.process.base import SpawnRequest
from executors.sandbox.policy import Policy


class Attempt(msgspec.Struct, frozen=True):
    """One thing that a canary tried inside of a sandbox.

    :ivar name: what it was, such as ``write outside``.
    :ivar held: whether the sandbox kept it from happening.
    :ivar found: what came of it, such as the name of an error.
    """

    name: str
    held: bool
    found: str


class Proof(msgspec.Struct, frozen=True):
    """What came of putting a backend to the test.

    :ivar backend: its name.
    :ivar attempts: all that was tried; empty where the backend cannot work here at all.
    :ivar reason: why it cannot work here, or what came of it if it could not be tried.
    """

    backend: str
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the backend may be offered: something was tried, and nothing came through."""
        return bool(self.attempts) and not self.reason and all(attempt.held for attempt in self.attempts)

    def __str__(self) -> str:
        if self.holds:
            return f"{self.backend}: proved by {len(self.attempts)} attempts"
        escaped = ", ".join(f"{one.name} ({one.found})" for one in self.attempts if not one.held)
        return f"{self.backend}: {self.reason or f'does not hold here: {escaped}'}"


class Evidence(msgspec.Struct, frozen=True):
    """The sandbox itself has seen that it kept a program from something.

    :ivar operation: what the program asked for, such as ``openat`` or ``connect``.
    :ivar target: the path or address that it was about, if known.
    :ivar crosses: it was to move or link a file from one place that may be written to another, which takes a
        copy in a sandbox of mounts: programs know what to do then.
    """

    operation: str
    target: str = ""
    crosses: bool = False


class Confinement(Protocol):
    """One policy, put into force. What is started through it is confined, with all that descends from it.

    Everything runs on the thread of the event loop and takes less than a millisecond.
    """

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        """Returns what has to be started for *request*; often the same.

        :raises ValueError: the request holds what cannot be done in this sandbox.
        :raises OSError: the sandbox cannot be made.
        """

    def start(self, spawn: Callable[[], int]) -> int:
        """Calls *spawn*, which starts a process and returns its id, where what it starts is confined.

        :raises OSError: as *spawn*, or the sandbox cannot be made; then nothing was started.
        """

    def evidence(self, pid: int) -> Evidence | None:
        """Returns what this sandbox has kept the process *pid* or its descendants from; None for nothing
        that it has seen.

        To be asked once the process has ended; asking forgets it.
        """

    def close(self) -> None:
        """Gives up what the confinement holds. Processes in it must have ended."""


class SandboxBackend(Protocol):
    """One way to confine programs.

    :ivar name: such as ``landlock``.
    :ivar ways: in how many ways it starts programs: that many starts of a confinement are put to the test.
    """

    name: str
    ways: int

    @property
    def sees_denials(self) -> bool:
        """Whether a process without evidence was kept from nothing that the backend watches; if not, the
        absence of evidence says nothing.
        """

    def missing(self) -> str | None:
        """Returns why it cannot work on this machine, without trying much; None if it may."""

    def lacks(self, policy: Policy) -> str | None:
        """Returns what of *policy* it cannot enforce, in words; None if it enforces all of it."""

    def confine(self, policy: Policy) -> Confinement:
        """Puts *policy* into force.

        :raises OSError: the system refuses.
        :raises ValueError: a place of the policy is gone, or it does not express it.
        """
