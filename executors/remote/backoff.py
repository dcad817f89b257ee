"""How long to wait before the next attempt."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.5
MOST_SECONDS = 2.0
"""So few that an executor is back, after an outage of 20 s, before a harness gives up its session at 25 s."""
STABLE_SECONDS = 5.0
"""A connection that was up for less than this does not count as a success."""


class Backoff:
    """Gaps from 0.5 s on, doubling up to 2 s, all of them 1 to 1.5 times as long by one factor.

    The factor is drawn once, so that many executors which were cut off together come back apart, and stay
    apart.
    """

    def __init__(self, factor: float | None = None) -> None:
        self._factor = random.uniform(1.0, 1.5) if factor is None else factor
        self._attempts = 0

    def next(self) -> float:
        """Seconds."""
        delay = min(MOST_SECONDS, FIRST_SECONDS * 2.0**self._attempts) * self._factor
        self._attempts += 1
        return delay

    def connected_for(self, seconds: float) -> None:
        """A connection has ended after so long."""
        if seconds >= STABLE_SECONDS:
            self._attempts = 0
