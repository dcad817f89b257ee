"""Who hears how a run of the matrix goes while it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.matrix.events import Event
from harness.matrix.model import Cell, CellKey


class Observer(Protocol):
    """Hears what goes on. Nothing of the results depends on it: all methods are called from one thread,
    return at once and never raise."""

    def planned(self, keys: Sequence[CellKey], expected: Mapping[CellKey, float]) -> None:
        """These cells will be run. Called once, before any other.

        :param expected: seconds that a cell took before, or is guessed to take; cells may be missing.
        """

    def started(self, key: CellKey, workers: int) -> None:
        """The run of a cell begins; its environment is not up yet.

        :param workers: processes that share its cases.
        """

    def event(self, key: CellKey, event: Event) -> None:
        """Something happened in a cell that has been started."""

    def ended(self, cell: Cell) -> None:
        """A cell is over, or will not be run at all."""

    def note(self, text: str) -> None:
        """One line that a person should read now, such as that an interrupt is being followed."""
