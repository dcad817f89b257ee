"""When a named environment is connected, and whose word about it still counts: no I/O, no clock.

Each attempt has a number, and whoever makes it tells by this number what came of it. So a late word of
an earlier attempt changes nothing.
"""

from __future__ import annotations

from enum import Enum


class EnvironmentState(Enum):
    """How it stands with an environment."""

    IDLE = "idle"
    """Nobody has asked for it yet."""
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    """It was connected; the next use connects afresh."""
    FAILED = "failed"
    """Its first attempt failed. That is final."""
    REMOVED = "removed"
    """It was dropped or replaced. That is final too."""


class Lifecycle:
    """The rules for one environment.

    :param connect_timeout: seconds that an attempt may take.
    :ivar attempt: the number of the latest attempt; 0 before the first.
    :ivar deadline: when the attempt that is under way has failed, on the clock of :meth:`ask`.
    """

    def __init__(self, connect_timeout: float) -> None:
        self.connect_timeout = connect_timeout
        self.state = EnvironmentState.IDLE
        self.attempt = 0
        self.deadline: float | None = None
        self._was_connected = False

    def ask(self, now: float) -> bool:
        """Somebody wants to use it; returns whether an attempt is to be begun, the one of ``attempt``."""
        if self.state not in (EnvironmentState.IDLE, EnvironmentState.LOST):
            return False
        self.state = EnvironmentState.CONNECTING
        self.attempt += 1
        self.deadline = now + self.connect_timeout
        return True

    def connected(self, attempt: int) -> bool:
        """*attempt* has a connection; returns whether it is wanted, or else to be closed at once."""
        if not self._is_under_way(attempt):
            return False
        self._settle(EnvironmentState.CONNECTED)
        self._was_connected = True
        return True

    def failed(self, attempt: int) -> bool:
        """*attempt* has failed; returns whether that was not known yet."""
        if not self._is_under_way(attempt):
            return False
        self._settle(EnvironmentState.LOST if self._was_connected else EnvironmentState.FAILED)
        return True

    def expired(self, now: float) -> bool:
        """Returns whether the time of the attempt that is under way is over; it has failed then."""
        if self.deadline is None or now < self.deadline:
            return False
        return self.failed(self.attempt)

    def lost(self, attempt: int) -> bool:
        """The connection of *attempt* is lost for good; returns whether that was not known yet."""
        if self.state is not EnvironmentState.CONNECTED or attempt != self.attempt:
            return False
        self.state = EnvironmentState.LOST
        return True

    def remove(self) -> None:
        """Nobody is to use it any more."""
        self._settle(EnvironmentState.REMOVED)

    def _is_under_way(self, attempt: int) -> bool:
        return self.state is EnvironmentState.CONNECTING and attempt == self.attempt

    def _settle(self, state: EnvironmentState) -> None:
        self.state = state
        self.deadline = None
