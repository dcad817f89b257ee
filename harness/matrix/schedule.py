"""Which cell is begun when, and with how many workers. It does nothing itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from harness.matrix.model import CellKey

_UNKNOWN_SECONDS: Final = 30.0
"""What a cell counts for while no cell's time is known."""


class Start(NamedTuple):
    """A cell to begin now.

    :ivar workers: processes for it.
    """

    key: CellKey
    workers: int


class Schedule:
    """Deals a number of workers out to cells: those that take longest first.

    A cell gets workers in proportion to its share of the whole, at least one, and waits until so many are
    free. No cell overtakes another, so that none waits for ever; what a cell leaves idle by waiting is less
    than it gets in the end.

    :param keys: the cells, in the order in which equal ones are begun.
    :param expected: seconds that a cell takes; a cell without any counts as much as the others do on average.
    :param total: workers at once.
    """

    def __init__(self, keys: Sequence[CellKey], expected: Mapping[CellKey, float], total: int) -> None:
        if total < 1:
            raise ValueError(f"a matrix needs a worker at least, not {total}")
        known = [expected[key] for key in keys if expected.get(key, 0.0) > 0.0]
        usual = sum(known) / len(known) if known else _UNKNOWN_SECONDS
        seconds = {key: expected.get(key) or usual for key in keys}
        whole = sum(seconds.values())
        self._total = total
        self._free = total
        # Sorting keeps the order of equals.
        self._waiting = deque(sorted(seconds, key=lambda key: -seconds[key]))
        self._shares = {key: max(1, min(total, round(total * seconds[key] / whole))) for key in seconds}
        self._running: dict[CellKey, int] = {}

    @property
    def waiting(self) -> tuple[CellKey, ...]:
        """Those that have not begun, in the order in which they will."""
        return tuple(self._waiting)

    def start(self) -> list[Start]:
        """Returns the cells that begin now; they count as running from here on."""
        begun = []
        while self._waiting and self._shares[self._waiting[0]] <= self._free:
            key = self._waiting.popleft()
            workers = self._running[key] = self._shares[key]
            self._free -= workers
            begun.append(Start(key, workers))
        return begun

    def ended(self, key: CellKey) -> None:
        """A cell that was begun is over: its workers are free.

        :raises KeyError: it is not running.
        """
        self._free += self._running.pop(key)
