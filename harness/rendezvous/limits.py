"""How often somebody may ask: a bucket of tokens each, refilled as time goes by. The clock is handed in."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, Self

_MOST_KEPT: Final = 10_000


@dataclass(frozen=True)
class Rate:
    """:ivar per_second: in the long run.
    :ivar burst: at once, after a time of silence; at least 1.
    """

    per_second: float
    burst: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``PER_SECOND``, ``PER_SECOND:BURST`` or ``unlimited``; a burst that is not told is that of
        ten seconds.

        :raises ValueError: it is something else.
        """
        if text == "unlimited":
            return cls(math.inf, math.inf)
        first, colon, second = text.partition(":")
        per_second = float(first)
        burst = float(second) if colon else max(1.0, 10 * per_second)
        if not (0 < per_second < math.inf and 1 <= burst < math.inf):
            raise ValueError(text)
        return cls(per_second, burst)

    def __str__(self) -> str:
        return "unlimited" if math.isinf(self.burst) else f"{self.per_second:g}:{self.burst:g}"


@dataclass(frozen=True)
class Rates:
    """Who may do what how often.

    :ivar register: an executor's token.
    :ivar dial: an executor's token, too.
    :ivar connect: a harness' token.
    :ivar validate: an environment: its executor asks of each harness that connects, and cannot help it.
    :ivar handshake: handshakes that an executor refuses, by the token of the harness; who has too many gets
        no bundle. An executor bears eight on a connection before it takes none for 10 s, whoever they are of.
    :ivar failure: requests of an address that says not who it is.
    """

    register: Rate = Rate(1.0, 30.0)
    dial: Rate = Rate(5.0, 100.0)
    connect: Rate = Rate(200.0, 1000.0)
    validate: Rate = Rate(400.0, 2000.0)
    handshake: Rate = Rate(0.02, 7.0)
    failure: Rate = Rate(0.5, 20.0)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Reads ``NAME=RATE``; those that are not named are as they are without.

        :raises ValueError: one is something else; the text says which.
        """
        told = {}
        for text in texts:
            name, _, rate = text.partition("=")
            try:
                told[name] = Rate.parse(rate)
            except ValueError:
                raise ValueError(
                    f"{text}: give NAME=PER_SECOND, NAME=PER_SECOND:BURST or NAME=unlimited"
                ) from None
            if name not in cls.names():
                raise ValueError(f"{text}: {name} is none of {', '.join(cls.names())}")
        return replace(cls(), **told)


class Limiter:
    """Tells who asks too often. It knows 10,000 askers; the one that was silent longest is forgotten first.

    :param rate: of each.
    """

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str, now: float) -> float:
        """Counts one more; returns 0, or, if it is too many, the seconds after which one may be taken."""
        wait = self.ahead(who, now)
        if not wait and who in self._buckets:
            left, _ = self._buckets[who]
            self._buckets[who] = left - 1, now
        return wait

    def ahead(self, who: str, now: float) -> float:
        """What :meth:`wait` would return, without counting."""
        if math.isinf(self._rate.burst):
            return 0.0
        left, since = self._buckets.pop(who, (self._rate.burst, now))
        left = min(self._rate.burst, left + max(0.0, now - since) * self._rate.per_second)
        self._buckets[who] = left, now
        if len(self._buckets) > _MOST_KEPT:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate.per_second
