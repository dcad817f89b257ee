"""How a run of the matrix ended, for a terminal: a line for a cell, a table for all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from harness.matrix.model import Cell, CellStatus, Outcome
from harness.matrix.summary import Square, Table, counted, duration, outcome_words, printable

_REASON: Final = 400
STYLES: Final = {
    Outcome.PASSED: "green",
    Outcome.GAP: "cyan",
    Outcome.SKIPPED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.ERROR: "bold red",
    Outcome.FLAKY: "yellow",
}


def ending(cell: Cell) -> str:
    """Returns one line on how a cell ended, without its name."""
    counts = cell.counts()
    total = sum(counts.values())
    # What did not happen is worth a word only where it is the question.
    words = outcome_words(counts)
    if not counts[Outcome.FAILED]:
        words.append("0 failed")
    came = f"{counted(total, 'case')} in {duration(cell.seconds)}: {', '.join(words)}"
    why = f": {printable(cell.reason, _REASON)}" if cell.reason else ""
    match cell.status:
        case CellStatus.FINISHED:
            return came
        case CellStatus.INTERRUPTED:
            return (
                f"interrupted{why}; until then {came}" if total else f"interrupted before its first case{why}"
            )
        case CellStatus.BROKEN:
            return f"BROKEN{why}" + (f"; until then {came}" if total else "")
        case CellStatus.UNAVAILABLE:
            return f"unavailable{why}"


def final_table(cells: Sequence[Cell], width: int) -> RenderableType:
    """Returns suites against places, or the other way about where that does not fit *width*."""
    table = Table(cells)
    names = [table.places[column] for column in table.places]
    upright = _text_table(
        ["", *names],
        [
            [suite, *(_square(table.square(suite, column)) for column in table.places)]
            for suite in table.suites
        ],
    )
    if Console(width=10_000).measure(upright).maximum <= width:
        return upright
    return _text_table(
        ["", *table.suites],
        [
            [table.places[column], *(_square(table.square(suite, column)) for suite in table.suites)]
            for column in table.places
        ],
    )


def _text_table(head: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> RichTable:
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in head:
        table.add_column(Text(printable(heading)))
    for row in rows:
        table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    return table


def _square(square: Square | None) -> Text:
    if square is None:
        return Text("-", "dim")
    counts = square.counts
    parts: list[tuple[str, str]] = []
    for status, word, style in (
        (CellStatus.BROKEN, "BROKEN", "bold red"),
        (CellStatus.INTERRUPTED, "interrupted", "yellow"),
        (CellStatus.UNAVAILABLE, "unavailable", "yellow"),
    ):
        if square.statuses[status]:
            parts.append((word, style))
    for outcome in (Outcome.FAILED, Outcome.ERROR):
        if counts[outcome]:
            parts.append((f"{counts[outcome]} {outcome.upper()}", STYLES[outcome]))
    for outcome in (Outcome.FLAKY, Outcome.PASSED, Outcome.GAP):
        if counts[outcome]:
            (words,) = outcome_words(Counter({outcome: counts[outcome]}))
            parts.append((words, STYLES[outcome]))
    if not parts:
        parts.append(("all skipped" if counts else "no cases", "dim"))
    text = Text()
    for number, part in enumerate(parts):
        text.append(", " if number else "").append(*part)
    return text
