"""How often somebody may ask: a bucket of tokens each, refilled as time goes by. The clock is handed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

_MOST_KEPT: Final = 10_000


@dataclass(frozen=True)
class Rate:
    """:ivar per_second: in the long run.
    :ivar burst: at once, after a time of silence.
    """

    per_second: float
    burst: float


class Limiter:
    """Tells who asks too often. It knows 10,000 askers; the one that was silent longest is forgotten first.

    :param rate: of each.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str, now: float) -> float:
        """Counts one more; returns 0, or, if it is too many, the seconds after which one may be taken."""
        left, since = self._buckets.pop(who, (self._rate.burst, now))
        left = min(self._rate.burst, left + max(0.0, now - since) * self._rate.per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate.per_second
        self._buckets[who] = (left if wait else left - 1, now)
        if len(self._buckets) > _MOST_KEPT:
            self._buckets.popitem(last=False)
        return wait
