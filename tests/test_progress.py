"""Progress reaches a person, at a terminal and in a log."""

from __future__ import annotations

import io
import os
import pty
import threading

import pytest

from harness.progress import SILENT, Progress, show_progress


def prepare(progress: Progress, fails: bool = False) -> None:
    with progress.stage("fetching"):
        pass
    with progress.stage("compiling", total=3) as stage:
        threads = [threading.Thread(target=stage.advance) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if fails:
            raise RuntimeError("no compiler")


def test_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with show_progress(stream, "crossexec") as progress:
        prepare(progress)
    lines = stream.getvalue().splitlines()
    assert [line.rpartition(" in ")[0] or line for line in lines] == [
        "crossexec: fetching",
        "crossexec: fetching: done",
        "crossexec: compiling",
        "crossexec: compiling: done",
    ]


def test_nothing_is_said_where_nothing_is_done() -> None:
    stream = io.StringIO()
    with show_progress(stream, "crossexec"):
        pass
    assert stream.getvalue() == ""


def test_a_failed_stage_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), show_progress(stream, "crossexec") as progress:
        prepare(progress, fails=True)
    assert stream.getvalue().splitlines()[-1] == "crossexec: compiling"


def test_bars_at_a_terminal() -> None:
    master, slave = pty.openpty()
    shown = bytearray()

    def read() -> None:
        # A terminal that nobody holds any more reads as an error on Linux.
        try:
            while data := os.read(master, 4096):
                shown.extend(data)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(slave, "w") as stream, show_progress(stream, "crossexec") as progress:
        prepare(progress)
    reader.join()
    os.close(master)
    assert b"compiling" in shown
    assert b"3/3" in shown


def test_silence() -> None:
    prepare(SILENT)
    with SILENT.stage("compiling") as stage:
        stage.advance()
