"""What a person sees of a run while it goes: as plain lines, and at a real terminal."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from harness.matrix.display import show_matrix
from harness.matrix.endings import final_table
from harness.matrix.events import Broken, Collected, Done
from harness.matrix.model import Case, Cell, CellStatus, Outcome
from harness.matrix.observer import Observer
from tests.matrix.samples import HOSTILE, case, cell, key, sample_results

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30


class Stream(io.StringIO):
    """Tells when a text has been written."""

    def __init__(self, awaited: str = "") -> None:
        super().__init__()
        self._awaited = awaited
        self.seen = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._awaited and self._awaited in self.getvalue():
            self.seen.set()
        return written

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.getvalue().splitlines()]


@contextmanager
def shown(stream: io.StringIO, *cells: Cell) -> Iterator[Observer]:
    with show_matrix(stream) as observer:
        observer.planned([each.key for each in cells], {})
        yield observer


def run(observer: Observer, what: Cell, cases: Sequence[Case] | None = None) -> None:
    observer.started(what.key, 2)
    cases = what.cases if cases is None else cases
    observer.event(what.key, Collected(len(cases)))
    for each in cases:
        observer.event(what.key, Done(each))
    observer.ended(what)


def test_a_cell_has_a_line_when_it_begins_and_when_it_ends() -> None:
    cases = [case("test_a"), case("test_b", Outcome.GAP), case("test_c", Outcome.SKIPPED)]
    whole = cell(key("wine-exec"), [*cases, case("test_d")], seconds=92.4)
    stream = Stream()
    with shown(stream, whole) as observer:
        observer.started(whole.key, 1)
        assert stream.lines() == ["wine-exec path: begins with 1 worker"]
        observer.ended(whole)
    assert stream.lines()[1] == "wine-exec path: 4 cases in 92 s: 2 passed, 1 gap, 1 skipped, 0 failed"


def test_a_failure_is_shown_at_once() -> None:
    failed = case("test_a[x]", Outcome.FAILED, reason="first\nsecond")
    stream = Stream()
    with shown(stream, cell(cases=[failed])) as observer:
        observer.event(key(), Done(case("test_b", Outcome.GAP, reason="known")))
        assert stream.lines() == []
        observer.event(key(), Done(failed))
        assert stream.lines() == [
            "FAILED local suites/path/test_names.py::test_a[x]",
            "  first second",
        ]


def test_what_is_wrong_outside_of_the_cases_is_shown_at_once() -> None:
    stream = Stream()
    with shown(stream, cell()) as observer:
        observer.event(key(), Broken("a module\ncannot be imported"))
        assert stream.lines() == ["BROKEN local path", "  a module cannot be imported"]


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (cell(status=CellStatus.BROKEN, reason="died"), "local path: BROKEN: died"),
        (
            cell(cases=[case("test_a")], status=CellStatus.BROKEN, reason="died", seconds=3.0),
            "local path: BROKEN: died; until then 1 case in 3.0 s: 1 passed, 0 failed",
        ),
        (cell(status=CellStatus.INTERRUPTED), "local path: interrupted before its first case"),
        (
            cell(cases=[case("test_a", Outcome.FAILED)], status=CellStatus.INTERRUPTED, seconds=3.0),
            "local path: interrupted; until then 1 case in 3.0 s: 1 failed",
        ),
        (cell(status=CellStatus.UNAVAILABLE, reason="no daemon"), "local path: unavailable: no daemon"),
    ],
)
def test_how_a_cell_ended_otherwise(ended: Cell, line: str) -> None:
    stream = Stream()
    with shown(stream, ended) as observer:
        observer.ended(ended)
        assert stream.lines() == [line]


def test_what_would_help_is_shown_with_what_is_unavailable() -> None:
    ended = cell(status=CellStatus.UNAVAILABLE, reason="no daemon", remedy="start it")
    stream = Stream()
    with shown(stream, ended) as observer:
        observer.ended(ended)
    assert stream.lines()[1] == "  start it"


def test_a_note_is_shown_at_once() -> None:
    stream = Stream()
    with shown(stream, cell()) as observer:
        observer.note("ending, because of Ctrl-C")
        assert stream.lines() == ["ending, because of Ctrl-C"]


def test_places_are_told_apart_by_what_differs() -> None:
    stream = Stream()
    with shown(stream, cell(key(python="3.11")), cell(key(python="3.13"))) as observer:
        observer.started(key(python="3.13", shard=""), 2)
        assert stream.lines() == ["local py3.13 path: begins with 2 workers"]


def test_shards_are_named() -> None:
    part = cell(key(shard="2/3"))
    stream = Stream()
    with shown(stream, part) as observer:
        observer.started(part.key, 2)
        assert stream.lines() == ["local path 2/3: begins with 2 workers"]


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([], "local path starting; 1 cell waits"),
        ([Collected(5)], "local path 0/5; 1 cell waits"),
        ([Collected(5), Done(case("test_a"))], "local path 1/5; 1 cell waits"),
    ],
)
def test_a_long_silence_is_broken_by_a_sign_of_life(events: list[Collected | Done], line: str) -> None:
    stream = Stream(line)
    with show_matrix(stream, alive_seconds=0.01) as observer:
        observer.planned([key(), key("docker")], {})
        observer.started(key(), 2)
        for event in events:
            observer.event(key(), event)
        assert stream.seen.wait(SECONDS)
    assert re.search(rf"^after \d\.\d s: {re.escape(line)}$", stream.getvalue(), re.MULTILINE)


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    with shown(Stream(), cell()):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_the_end_is_a_table_of_all() -> None:
    stream = Stream()
    cells = sample_results().cells
    with shown(stream, *cells) as observer:
        for each in cells:
            observer.ended(each)
    assert stream.lines()[-4:] == [
        "",
        "         local              docker       wine-exec",
        "path     2 passed           unavailable  1 FAILED, 1 ERROR, 2 gaps",
        "process  1 flaky, 1 passed  unavailable  BROKEN, 1 passed",
    ]


def test_a_run_of_which_nothing_has_ended_has_no_table() -> None:
    stream = Stream()
    with shown(stream, cell()):
        pass
    assert stream.getvalue() == ""


def plain(cells: Sequence[Cell], width: int) -> list[str]:
    from rich.console import Console

    stream = Stream()
    Console(file=stream, width=width).print(final_table(cells, width))
    return stream.lines()


def test_a_table_that_is_too_wide_is_turned() -> None:
    cells = [cell(key(f"env{n}", suite), [case("test_a")]) for n in range(9) for suite in ("path", "shell")]
    assert plain(cells, 120)[0].split() == [f"env{n}" for n in range(9)]
    turned = plain(cells, 80)
    assert turned[0].split() == ["path", "shell"]
    assert turned[1].split() == ["env0", "1", "passed", "1", "passed"]
    assert len(turned) == 10


def test_a_square_that_was_not_to_be_run_is_a_dash() -> None:
    cells = [cell(key("local", "path"), [case("test_a")]), cell(key("docker", "shell"))]
    assert [line.split() for line in plain(cells, 80)[1:]] == [
        ["path", "1", "passed", "-"],
        ["shell", "-", "no", "cases"],
    ]


def test_colours_are_for_terminals_unless_they_are_asked_for() -> None:
    for color, coloured in ((None, False), (False, False), (True, True)):
        stream = Stream()
        with show_matrix(stream, color=color) as observer:
            observer.planned([key()], {})
            observer.event(key(), Done(case("test_a", Outcome.FAILED)))
        assert ("\x1b[" in stream.getvalue()) == coloured


def test_nothing_that_is_shown_commands_a_terminal() -> None:
    hostile = cell(
        key(HOSTILE), [case(HOSTILE, Outcome.FAILED, reason=HOSTILE)], CellStatus.BROKEN, reason=HOSTILE
    )
    stream = Stream()
    with shown(stream, hostile) as observer:
        run(observer, hostile)
        observer.event(hostile.key, Broken(HOSTILE))
        observer.note(HOSTILE)
        observer.ended(cell(hostile.key, status=CellStatus.UNAVAILABLE, reason=HOSTILE, remedy=HOSTILE))
    shown_lines = stream.getvalue().splitlines()
    assert any("\\x1b" in line for line in shown_lines)
    assert all(line.isprintable() for line in shown_lines)


def test_a_reader_that_has_gone_ends_the_display_and_nothing_else() -> None:
    shown_to_its_end = False
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError), open(writing, "w", encoding="utf-8", buffering=1) as stream:
        with show_matrix(stream, alive_seconds=0.001) as observer:
            observer.planned([key()], {})
            for _ in range(3):
                run(observer, cell(cases=[case("test_a", Outcome.FAILED)]))
        shown_to_its_end = True
    assert shown_to_its_end


STEPS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from harness.matrix.display import show_matrix
from harness.matrix.events import *
from harness.matrix.model import *
from tests.matrix.samples import *

places = int(sys.argv[1])
keys = [key(f"place{{n}}", suite) for n in range(places) for suite in ("path", "shell")]
bad = case("test_bad", Outcome.FAILED, reason="it differs")
away = cell(key("away"), status=CellStatus.UNAVAILABLE, reason="no daemon", remedy="start it")
steps = [
    lambda: observer.started(keys[0], 2),
    lambda: observer.event(keys[0], Collected(3)),
    lambda: [observer.event(keys[0], Done(entry)) for entry in (case("test_a"), bad)],
    lambda: observer.ended(away),
    lambda: observer.ended(cell(keys[0], [case("test_a"), bad, case("test_c", Outcome.GAP)])),
]
with show_matrix(sys.stderr) as observer:
    observer.planned([*keys, away.key], {{}})
    for step in steps:
        sys.stdin.readline()
        step()
    sys.stdin.readline()
"""

at_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="terminals here are those of POSIX")


TIME = r"\d+:\d\d"
"""What a cell has taken so far."""


@contextmanager
def terminal(places: int, rows: int, columns: int, **environ: str) -> Iterator[pexpect.spawn[str]]:
    with pexpect.spawn(
        sys.executable,
        ["-c", STEPS, str(places)],
        env={**os.environ, "TERM": "xterm-256color", **environ},
        dimensions=(rows, columns),
        timeout=SECONDS,
        encoding="utf-8",
        echo=False,
    ) as child:
        yield child


def see(child: pexpect.spawn[str], *words: str) -> None:
    """Waits until these stand in one line, whatever colours, bars and spaces are between them."""
    between = r"(?:\x1b\[[0-9;?]*[A-Za-z]|[ ━╸╺])*"
    child.expect(between.join(TIME if word == TIME else re.escape(word) for word in words))


@at_a_terminal
@pytest.mark.parametrize("columns", [80, 120])
def test_the_grid_at_a_terminal(columns: int) -> None:
    with terminal(3, 24, columns) as child:
        child.sendline()
        see(child, "place0", TIME, "path starting")
        see(child, "place1", "waiting")
        child.sendline()
        see(child, "place0", "0/3+", TIME)
        child.sendline()
        see(child, "FAILED", "place0", "suites/path/test_names.py::test_bad")
        see(child, "it differs")
        see(child, "place0", "2/3+", "1", "1", TIME)
        child.sendline()
        see(child, "away is unavailable: no daemon")
        see(child, "start it")
        child.sendline()
        see(child, "place0", "3/3+", "1", "1", "1", TIME)
        child.sendline()
        see(child, "path", "1 FAILED", ", ", "1 passed", ", ", "1 gap")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0


@at_a_terminal
def test_more_places_than_fit_are_counted() -> None:
    with terminal(30, 20, 80) as child:
        child.sendline()
        see(child, "place0", TIME, "path starting")
        see(child, "31 places: 0 done, 30 waiting")
        for _ in range(3):
            child.sendline()
        see(child, "31 places: 1 done, 29 waiting")


@at_a_terminal
def test_a_terminal_that_knows_no_movements_gets_plain_lines() -> None:
    with terminal(1, 24, 80, TERM="dumb") as child:
        for _ in range(6):
            child.sendline()
        child.expect(pexpect.EOF)
        text = str(child.before)
    assert "place0 path: begins with 2 workers" in text
    assert "\x1b" not in text


def test_nobody_has_to_look() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, "1"], input="\n" * 6, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("place0 path: begins with 2 workers\n")
    assert done.stdout == ""
