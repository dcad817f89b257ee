"""When to ping a peer, and when it counts as dead. No I/O; the time is handed in."""

from __future__ import annotations

from enum import Enum


class Due(Enum):
    """What is to be done now."""

    NOTHING = "nothing"
    PING = "a ping"
    DROP = "the connection is dead"


class Keepalive:
    """Pings at regular intervals; a peer of which nothing at all comes for too long is dead.

    :param now: seconds of any monotonic clock, here and below.
    """

    def __init__(self, now: float, ping_seconds: float = 30.0, dead_seconds: float = 60.0) -> None:
        self._ping_seconds = ping_seconds
        self._dead_seconds = dead_seconds
        self._next_ping = now + ping_seconds
        self._heard_at = now

    def heard(self, now: float) -> None:
        """Something came."""
        self._heard_at = now

    @property
    def deadline(self) -> float:
        """When to look again."""
        return min(self._next_ping, self._heard_at + self._dead_seconds)

    def due(self, now: float) -> Due:
        if now >= self._heard_at + self._dead_seconds:
            return Due.DROP
        if now >= self._next_ping:
            self._next_ping = now + self._ping_seconds
            return Due.PING
        return Due.NOTHING
