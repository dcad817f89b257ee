"""Tells a person how far a long preparation has come: a live bar at a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress

_LINE_SECONDS = 20.0


class Stage(Protocol):
    """One part of a preparation."""

    def advance(self, steps: int = 1) -> None:
        """So many more steps are done. May be called from any thread."""


class Progress(Protocol):
    """Hears what goes on. Nothing of a result depends on it."""

    def stage(self, text: str, total: int | None = None) -> AbstractContextManager[Stage]:
        """A part that lasts as long as the context.

        :param text: what is done, such as ``compiling CPython``.
        :param total: how many steps it takes, if that is known.
        """


class _Silent:
    def advance(self, steps: int = 1) -> None:
        pass

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Stage]:
        yield self


SILENT: Progress = _Silent()
"""Shows nothing."""


@contextmanager
def show_progress(stream: TextIO, title: str) -> Iterator[Progress]:
    """Shows progress on *stream*; nothing is printed before the first stage.

    :param title: stands before every plain line.
    """
    if stream.isatty():
        display = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=stream),
        )
        shown = _Bars(display)
        try:
            yield shown
        finally:
            display.stop()
    else:
        yield _Lines(stream, title)


class _Bar:
    def __init__(self, display: RichProgress, task: TaskID) -> None:
        self._display = display
        self._task = task

    def advance(self, steps: int = 1) -> None:
        self._display.advance(self._task, steps)


class _Bars:
    def __init__(self, display: RichProgress) -> None:
        self._display = display

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Stage]:
        self._display.start()
        task = self._display.add_task(text, total=total)
        yield _Bar(self._display, task)
        # Without a total the end is the only step there is.
        known = total if total is not None else 1
        self._display.update(task, total=known, completed=known)
        self._display.stop_task(task)


class _LineStage:
    def __init__(self, print_line: TextIO, start: str, total: int | None) -> None:
        self._stream = print_line
        self._start = start
        self._total = total
        self._done = 0
        self._told = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if self._total and now - self._told >= _LINE_SECONDS:
            self._told = now
            print(f"{self._start}: {self._done} of {self._total}", file=self._stream, flush=True)


class _Lines:
    def __init__(self, stream: TextIO, title: str) -> None:
        self._stream = stream
        self._title = title

    @contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[Stage]:
        start = f"{self._title}: {text}"
        print(start, file=self._stream, flush=True)
        begun = time.monotonic()
        yield _LineStage(self._stream, start, total)
        print(f"{start}: done in {time.monotonic() - begun:.0f} s", file=self._stream, flush=True)
