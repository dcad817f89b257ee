"""How far a run of the matrix has come: what a display of it counts."""

from __future__ import annotations

import time
from collections import Counter

from harness.matrix.events import Collected, Done, Event
from harness.matrix.model import Cell, CellKey, CellStatus, Outcome


class CellProgress:
    """How far one cell has come.

    :ivar weight: its share in the whole, such as the seconds that it is expected to take.
    :ivar total: how many cases it has; None until that is known.
    :ivar status: how it ended; None until it did.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.counts: Counter[Outcome] = Counter()
        self.total: int | None = None
        self.status: CellStatus | None = None
        self.begun: float | None = None
        self.over: float | None = None

    def start(self, workers: int) -> None:
        # Again, where it has been lost with the machine that ran it.
        self.counts.clear()
        self.begun = time.monotonic()

    def hear(self, event: Event) -> None:
        match event:
            case Collected(total):
                self.total = total
            case Done(case):
                self.counts[case.outcome] += 1

    def end(self, cell: Cell) -> None:
        """The cell itself knows best: what was heard of it may lack the end."""
        self.counts = cell.counts()
        self.total = max(self.done, self.total or 0) if cell.status != CellStatus.FINISHED else self.done
        self.status = cell.status
        self.over = time.monotonic()

    @property
    def done(self) -> int:
        return self.counts.total()

    @property
    def waiting(self) -> bool:
        return self.begun is None and self.status is None

    @property
    def running(self) -> bool:
        return self.begun is not None and self.status is None

    @property
    def fraction(self) -> float:
        """From 0.0 to 1.0."""
        if self.status is not None:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def state(self) -> str:
        """Where a running one stands, in words."""
        if self.total is None and not self.done:
            return "starting"
        return f"{self.done}/{'?' if self.total is None else self.total}"


class PlaceProgress:
    """How far all cells of one place have come.

    :ivar now: what runs there, or how it ended, in words.
    """

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._cells: list[tuple[CellKey, CellProgress]] = []

    def add(self, key: CellKey, cell: CellProgress) -> None:
        self.counts += cell.counts
        self._cells.append((key, cell))

    @property
    def running(self) -> bool:
        return any(cell.running for _, cell in self._cells)

    @property
    def over(self) -> bool:
        return all(cell.status is not None for _, cell in self._cells)

    @property
    def broken(self) -> bool:
        return any(cell.status == CellStatus.BROKEN for _, cell in self._cells)

    @property
    def fraction(self) -> float:
        """From 0.0 to 1.0, by the weights of the cells."""
        weight = sum(cell.weight for _, cell in self._cells)
        return sum(cell.weight * cell.fraction for _, cell in self._cells) / weight if weight else 0.0

    @property
    def done_text(self) -> str:
        """``123/456``; with a ``+`` while cells may add to the total; empty before anything is known."""
        totals = [cell.total for _, cell in self._cells if cell.total is not None]
        if not totals:
            return ""
        open_end = "" if len(totals) == len(self._cells) else "+"
        return f"{self.counts.total()}/{sum(totals)}{open_end}"

    @property
    def clock(self) -> str:
        """Time from the start of its first cell, as ``M:SS``."""
        begun = [cell.begun for _, cell in self._cells if cell.begun is not None]
        if not begun:
            return ""
        ends = [cell.over for _, cell in self._cells if cell.over is not None]
        end = max(ends) if self.over and ends else time.monotonic()
        minutes, seconds = divmod(int(end - min(begun)), 60)
        return f"{minutes}:{seconds:02}"

    @property
    def now(self) -> str:
        running = [
            " ".join(filter(None, (key.suite, key.shard))) + (" starting" if cell.total is None else "")
            for key, cell in self._cells
            if cell.running
        ]
        if running:
            return ", ".join(running)
        if not self.over:
            return "waiting"
        statuses = {cell.status for _, cell in self._cells}
        worst = (CellStatus.BROKEN, CellStatus.INTERRUPTED, CellStatus.UNAVAILABLE)
        return next((str(status) for status in worst if status in statuses), "done")
