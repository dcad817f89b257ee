"""Shows a run of the matrix while it goes: a live grid at a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from harness.matrix.endings import STYLES, ending, final_table
from harness.matrix.events import Broken, Done, Event
from harness.matrix.model import Case, Cell, CellKey, CellStatus, Outcome
from harness.matrix.observer import Observer
from harness.matrix.progress import CellProgress, PlaceProgress
from harness.matrix.summary import (
    cell_name,
    counted,
    duration,
    place_names,
    printable,
)

_REASON: Final = 400
_FRAMES: Final = 5  # a second
_PLAIN_WIDTH: Final = 160


@contextmanager
def show_matrix(
    stream: TextIO, *, color: bool | None = None, alive_seconds: float = 60.0
) -> Iterator[Observer]:
    """Shows on *stream* what the observer that it gives is told, and at its end a table of all.

    :param color: whether colours are used; by default at a terminal, unless ``NO_COLOR`` is set.
    :param alive_seconds: how often a plain line says what is going on; a terminal shows it all the time.
    """
    terminal = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    no_color = None if color is None else not color
    if terminal:
        console = _Console(file=stream, no_color=no_color, highlight=False)
        shown: _Display = _Grid(console, 1 / _FRAMES)
    else:
        console = _Console(
            file=stream,
            no_color=no_color,
            highlight=False,
            width=_PLAIN_WIDTH,
            force_terminal=bool(color),
            legacy_windows=False,
        )
        shown = _Lines(console, alive_seconds)
    shown.open()
    try:
        yield shown
    finally:
        shown.close()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to the display; rich would end the whole process."""
        self.quiet = True
        raise


class _Display:
    """What both displays do: they count, and they print failures as they come.

    A thread of its own draws the grid or tells that the run is alive, so all is done under one lock. A
    stream that takes nothing any more ends the display, not the run.
    """

    def __init__(self, console: Console, tick_seconds: float) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._ticks = _Every(tick_seconds, self._locked_tick)
        self._gone = False
        self._cells: dict[CellKey, CellProgress] = {}
        self._places: dict[str, str] = {}
        self._ended: dict[CellKey, Cell] = {}
        self._told: set[tuple[CellKey, str]] = set()
        self._begun = time.monotonic()

    def open(self) -> None:
        self._ticks.start()

    def close(self) -> None:
        self._ticks.stop()
        with self._lock:
            if self._ended:
                cells = [self._ended[key] for key in self._cells if key in self._ended]
                self._print(Text(), final_table(cells, self._console.width))

    def _locked_tick(self) -> None:
        with self._lock, self._ending_quietly():
            self._tick()

    def _tick(self) -> None:
        raise NotImplementedError

    # The observer.

    def planned(self, keys: Sequence[CellKey], expected: Mapping[CellKey, float]) -> None:
        with self._lock:
            self._begun = time.monotonic()
            known = [seconds for seconds in expected.values() if seconds > 0]
            usual = sum(known) / len(known) if known else 1.0
            self._places = place_names(keys)
            self._cells = {key: CellProgress(weight=expected.get(key, 0.0) or usual) for key in keys}

    def started(self, key: CellKey, workers: int) -> None:
        with self._lock:
            self._cell(key).start(workers)

    def event(self, key: CellKey, event: Event) -> None:
        with self._lock:
            self._cell(key).hear(event)
            match event:
                case Done(case) if case.outcome.is_bad:
                    self._print_failure(key, case)
                case Broken(text):
                    self._told.add((key, text))
                    self._print_bad("BROKEN", self._name(key), text)

    def ended(self, cell: Cell) -> None:
        with self._lock:
            self._cell(cell.key).end(cell)
            self._ended[cell.key] = cell

    def note(self, text: str) -> None:
        with self._lock:
            self._print(Text(printable(text), "bold"))

    # For the two of them.

    def _cell(self, key: CellKey) -> CellProgress:
        if key not in self._cells:
            self._places = place_names([*self._cells, key])
            self._cells[key] = CellProgress(weight=1.0)
        return self._cells[key]

    def _name(self, key: CellKey) -> str:
        return printable(cell_name(key, self._places))

    def _print_failure(self, key: CellKey, case: Case) -> None:
        self._print_bad(case.outcome.upper(), f"{self._places[key.column]} {case.test}", case.reason)

    def _print_bad(self, word: str, where: str, why: str) -> None:
        self._print(Text.assemble((word, "bold red"), " ", printable(where)))
        if why.strip():
            self._print(Text(f"  {printable(why, _REASON)}"))

    def _print(self, *what: RenderableType) -> None:
        if not self._gone:
            with self._ending_quietly():
                self._console.print(*what, sep="\n", soft_wrap=isinstance(what[0], Text) and len(what) == 1)

    @contextmanager
    def _ending_quietly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # a pipe that nobody reads, a file that is closed
            self._gone = True


class _Lines(_Display):
    def started(self, key: CellKey, workers: int) -> None:
        with self._lock:
            super().started(key, workers)
            self._print(Text(f"{self._name(key)}: begins with {counted(workers, 'worker')}"))

    def ended(self, cell: Cell) -> None:
        with self._lock:
            super().ended(cell)
            self._print(Text(f"{self._name(cell.key)}: {ending(cell)}"))
            if cell.remedy:
                self._print(Text(f"  {printable(cell.remedy, _REASON)}"))

    def _tick(self) -> None:
        if not self._cells:
            return
        parts = [f"{self._name(key)} {cell.state}" for key, cell in self._cells.items() if cell.running]
        waiting = sum(cell.waiting for cell in self._cells.values())
        if waiting:
            parts.append(counted(waiting, "cell waits", "cells wait"))
        passed = duration(time.monotonic() - self._begun)
        self._print(Text(f"after {passed}: {'; '.join(parts) or 'nothing runs'}"))


class _Grid(_Display):
    def __init__(self, console: Console, tick_seconds: float) -> None:
        super().__init__(console, tick_seconds)
        # Its own thread would take the lock of rich first and then that of the display.
        self._live = Live(
            console=console,
            get_renderable=self._render,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def started(self, key: CellKey, workers: int) -> None:
        with self._lock:
            super().started(key, workers)
            # Not before: what prepares the environments has a display of its own.
            if not self._live.is_started:
                with self._ending_quietly():
                    self._live.start(refresh=True)

    def _tick(self) -> None:
        if self._live.is_started and not self._gone:
            self._live.refresh()

    def ended(self, cell: Cell) -> None:
        with self._lock:
            super().ended(cell)
            if cell.status in (CellStatus.BROKEN, CellStatus.UNAVAILABLE):
                name = self._name(cell.key)
                if cell.status == CellStatus.BROKEN and (cell.key, cell.reason) not in self._told:
                    self._print_bad("BROKEN", name, cell.reason)
                elif cell.status == CellStatus.UNAVAILABLE:
                    self._tell_unavailable(cell)

    def close(self) -> None:
        with self._lock, self._ending_quietly():
            self._live.stop()
        super().close()

    def _tell_unavailable(self, cell: Cell) -> None:
        place = printable(self._places[cell.key.column])
        if (cell.key, place) not in self._told:
            self._told |= {(key, place) for key in self._cells if key.column == cell.key.column}
            self._print(Text(f"{place} is unavailable: {printable(cell.reason, _REASON)}", "yellow"))
            if cell.remedy:
                self._print(Text(f"  {printable(cell.remedy, _REASON)}"))

    def _render(self) -> RenderableType:
        places: dict[str, PlaceProgress] = {}
        for key, cell in self._cells.items():
            places.setdefault(key.column, PlaceProgress()).add(key, cell)
        room = max(self._console.height - 4, 1)
        shown = places
        if len(places) > room:
            shown = {column: place for column, place in places.items() if place.running}
            shown = dict(list(shown.items())[: room - 1])
        wide = self._console.width >= 100
        grid = RichTable(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        grid.add_column("", no_wrap=True, overflow="ellipsis", max_width=30 if wide else 16)
        grid.add_column("", width=20 if wide else 8)
        for heading in ("done", "pass", "gap", "skip", "fail", "time"):
            grid.add_column(heading, justify="right", no_wrap=True)
        grid.add_column("now", no_wrap=True, overflow="ellipsis", ratio=1)
        for column, place in shown.items():
            grid.add_row(*self._row(printable(self._places[column]), place))
        if len(shown) == len(places):
            return grid
        over = sum(place.over for place in places.values())
        running = sum(place.running for place in places.values()) - len(shown)
        waiting = len(places) - over - running - len(shown)
        more = f"{running} more running, " if running else ""
        return Group(grid, Text(f"{len(places)} places: {more}{over} done, {waiting} waiting", "dim"))

    def _row(self, name: str, place: PlaceProgress) -> list[RenderableType]:
        counts = place.counts
        failed = counts[Outcome.FAILED] + counts[Outcome.ERROR]
        passed = counts[Outcome.PASSED] + counts[Outcome.FLAKY]
        style = "red" if failed or place.broken else "green"
        figures = [
            (passed, STYLES[Outcome.PASSED]),
            (counts[Outcome.GAP], STYLES[Outcome.GAP]),
            (counts[Outcome.SKIPPED], STYLES[Outcome.SKIPPED]),
            (failed, STYLES[Outcome.FAILED]),
        ]
        return [
            Text(name, "bold red" if failed or place.broken else "bold" if place.running else ""),
            ProgressBar(total=1.0, completed=place.fraction, complete_style=style, finished_style=style),
            Text(place.done_text),
            *(Text(str(number) if number else "", style) for number, style in figures),
            Text(place.clock),
            Text(place.now, "" if place.running else "dim"),
        ]


class _Every:
    """Calls something in a thread of its own, again and again, until it is stopped."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._seconds = seconds
        self._call = call
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crossexec-alive", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._call()
