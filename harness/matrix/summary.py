"""The figures and words that every view of results shares: the table of suites and places, one sentence of
it all, the command that runs something again."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome, Results

WORST_FIRST: Final = (
    Outcome.FAILED,
    Outcome.ERROR,
    Outcome.FLAKY,
    Outcome.PASSED,
    Outcome.GAP,
    Outcome.SKIPPED,
    Outcome.UNAVAILABLE,
)
"""What is to be read first."""


@dataclass
class Square:
    """What came of one suite in one place, all its shards together.

    :ivar seconds: of its cells, added up.
    """

    counts: Counter[Outcome] = field(default_factory=Counter)
    statuses: Counter[CellStatus] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, cell: Cell) -> None:
        self.counts += cell.counts()
        self.statuses[cell.status] += 1
        self.seconds += cell.seconds

    @property
    def bad(self) -> int:
        return sum(count for outcome, count in self.counts.items() if outcome.is_bad)

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong in it."""
        return bool(self.bad) or CellStatus.BROKEN in self.statuses


class Table:
    """Suites against places.

    :ivar suites: in the order in which they were run.
    :ivar places: name of each place, by :attr:`CellKey.column`.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.suites = list(dict.fromkeys(cell.key.suite for cell in cells))
        self.places = place_names(cell.key for cell in cells)
        self._squares: dict[tuple[str, str], Square] = {}
        for cell in cells:
            self._squares.setdefault((cell.key.suite, cell.key.column), Square()).add(cell)

    def square(self, suite: str, column: str) -> Square | None:
        """Returns what came of the suite in the place, or None where it was not to be run."""
        return self._squares.get((suite, column))

    def total(self, column: str) -> Square:
        """Returns all suites of a place together."""
        total = Square()
        for suite in self.suites:
            if square := self.square(suite, column):
                total.counts += square.counts
                total.statuses += square.statuses
                total.seconds += square.seconds
        return total


def place_names(keys: Iterable[CellKey]) -> dict[str, str]:
    """Returns a short name of each place, by :attr:`CellKey.column`: the environment, and with it the
    executor and the Python where there is more than one of them."""
    columns = {key.column: key for key in keys}
    executors = len({key.executor for key in columns.values()}) > 1
    pythons = len({key.python for key in columns.values()}) > 1
    return {
        column: " ".join(
            [key.environment, *[key.executor] * executors, *[f"py{key.python}"] * pythons],
        )
        for column, key in columns.items()
    }


def cell_name(key: CellKey, places: Mapping[str, str]) -> str:
    """Returns place, suite and shard."""
    return " ".join(filter(None, (places[key.column], key.suite, key.shard)))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Returns ``1 case``, ``2 cases``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def outcome_words(counts: Counter[Outcome]) -> list[str]:
    """Returns ``2 failed``, ``37 gaps`` and so on, of those that there are, the worst first."""
    return [
        counted(counts[outcome], *_NOUNS[outcome]) if outcome in _NOUNS else f"{counts[outcome]} {outcome}"
        for outcome in WORST_FIRST
        if counts[outcome]
    ]


_NOUNS: Final = {Outcome.GAP: ("gap",), Outcome.ERROR: ("error",)}


def rerun_words(cell: Cell) -> str:
    """Returns the line for a POSIX shell that runs the cell again, but for its last argument, the path of the
    suite; empty where the cell knows none."""
    words = [f"{name}={shlex.quote(value)}" for name, value in cell.variables.items() if _is_name(name)]
    strange = [f"{name}={value}" for name, value in cell.variables.items() if not _is_name(name)]
    if strange:  # a name that no shell would take before a command, as Windows has some
        words += ["env", *map(shlex.quote, strange)]
    return " ".join([*words, *map(shlex.quote, cell.rerun[:-1])]) if cell.rerun else ""


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier()


def rerun_command(cell: Cell, case: Case | None = None) -> str:
    """Returns the line for a POSIX shell that runs the cell again, or one case of it; empty where the cell
    knows none."""
    if not cell.rerun:
        return ""
    return f"{rerun_words(cell)} {shlex.quote(case.test if case else cell.rerun[-1])}".lstrip()


def bad_cases(results: Results) -> Iterator[tuple[Cell, Case]]:
    return ((cell, case) for cell, case in results.cases() if case.outcome.is_bad)


def duration(seconds: float) -> str:
    """Returns ``0.4 s``, ``92 s``, ``12 min 5 s`` or ``2 h 3 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def printable(text: str, limit: int = 0) -> str:
    """Returns *text* as one line in which nothing commands a terminal or turns the direction of writing.
    The lines that it has are joined by spaces.

    :param limit: how many characters it may have; what is over is cut from its end. 0 for any number.
    """
    line = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in " ".join(map(str.strip, text.splitlines()))
    )
    return line if not limit or len(line) <= limit else f"{line[: limit - 1]}…"
