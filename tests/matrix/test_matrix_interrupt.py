"""Ending a run of the matrix before its time leaves whole results and nothing running."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.model import CellStatus
from tests.matrix.folder import SECONDS, MatrixFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and named pipes are those of POSIX")

# It holds one pipe open itself, and has a program in the environment hold another one.
BLOCKS = """
import pathlib, signal, time
import pytest

@pytest.fixture
def tears_down():
    yield
    pathlib.Path("torn down").touch()

def test_first():
    pass

def test_blocks(python, tears_down):
    signal.signal(signal.SIGINT, {handler})
    holder = python.start("import sys, time; f = open(sys.argv[1], 'w'); time.sleep(1000)", {program!r})
    # Another worker may run the first one, and what it tells comes late.
    while not pathlib.Path("told").exists():
        time.sleep(0.01)
    with open({test!r}, "w"):
        time.sleep(1000)
"""
TELLS = """
import os, pathlib
import pytest

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "teardown" and "PYTEST_XDIST_WORKER" not in os.environ:
        pathlib.Path("told").touch()
"""
WAITS = "def test_never():\n    assert False, 'it was begun'\n"
# An orderly end is given so long that whatever ends before has been killed.
PATIENT = """
import sys
from harness.matrix import cell
cell._INTERRUPT_SECONDS = 1000.0
from harness.cli import main
sys.exit(main())
"""
ORDERLY = "signal.getsignal(signal.SIGINT)"


class Blocked:
    """A run of the matrix of which one test has begun and blocks.

    :ivar process: the runner.
    """

    def __init__(
        self, matrix: MatrixFolder, fifo: Callable[[str], Path], handler: str, *arguments: str, **how: Any
    ):
        test, program = fifo("test"), fifo("program")
        source = BLOCKS.format(test=str(test), program=str(program), handler=handler)
        matrix.suite("blocks", source)
        (matrix.folder / "blocks" / "conftest.py").write_text(TELLS)
        matrix.suite("waits", WAITS)
        matrix.define("blocks", "waits")
        self.process = matrix.start(*arguments, **how)
        # Each opens once its other end is held: by then the test blocks.
        self._pipes = [program.open(), test.open()]

    def until_nothing_holds_on(self) -> None:
        """Returns once the test and the program that it started in the environment are gone."""
        for pipe in self._pipes:
            assert pipe.read() == ""
            pipe.close()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_an_interrupt_keeps_what_had_ended(
    matrix: MatrixFolder, fifo: Callable[[str], Path], number: signal.Signals, workers: int
) -> None:
    (matrix.cache / "matrix").mkdir(parents=True)
    # It is known to take nearly all of the time, and so gets all workers.
    (matrix.cache / "matrix" / "timings.json").write_text(
        '{"schema": 1, "seconds": {"local": {"blocks/test_blocks.py::test_blocks": 99.0,'
        ' "waits/test_waits.py::test_never": 0.5}}}'
    )
    run = Blocked(matrix, fifo, ORDERLY, f"-n{workers}")
    run.process.send_signal(number)
    stdout, stderr = run.process.communicate(timeout=SECONDS)
    assert run.process.returncode == 128 + number
    run.until_nothing_holds_on()
    assert (matrix.folder / "torn down").exists()
    assert "Interrupted: ending in order" in stderr
    assert "Traceback" not in stderr
    results = matrix.results()
    assert results.interrupted
    begun, waiting = results.cells
    assert (begun.status, begun.workers) == (CellStatus.INTERRUPTED, workers)
    assert [case.test for case in begun.cases] == ["blocks/test_blocks.py::test_first"]
    assert (waiting.status, waiting.cases, waiting.seconds) == (CellStatus.INTERRUPTED, (), 0.0)
    report = Path("matrix-results", "index.html")
    assert f"report: {report}" in stdout
    assert (matrix.folder / report).exists()


def test_a_second_interrupt_kills_what_ignores_the_first(
    matrix: MatrixFolder, fifo: Callable[[str], Path]
) -> None:
    run = Blocked(matrix, fifo, "signal.SIG_IGN", "-n1", program=("-c", PATIENT))
    assert run.process.stderr is not None
    run.process.send_signal(signal.SIGINT)
    lines = iter(run.process.stderr.readline, "")
    assert any("once more kills what runs" in line for line in lines)
    run.process.send_signal(signal.SIGINT)
    run.process.communicate(timeout=SECONDS)
    assert run.process.returncode == 130
    run.until_nothing_holds_on()
    assert [case.test for _, case in matrix.results().cases()] == ["blocks/test_blocks.py::test_first"]


def test_cells_end_with_a_runner_that_is_killed(matrix: MatrixFolder, fifo: Callable[[str], Path]) -> None:
    run = Blocked(matrix, fifo, ORDERLY, "-n1")
    run.process.kill()
    run.process.wait()
    run.until_nothing_holds_on()
    assert not (matrix.folder / "matrix-results" / "results.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_anything_ran_leaves_the_old_report(
    matrix: MatrixFolder, fifo: Callable[[str], Path], number: signal.Signals
) -> None:
    """Here it comes while an environment is asked whether it is available."""
    asked, release = fifo("asked"), fifo("release")
    wine = matrix.folder / "wine"
    wine.write_text(f"#!/bin/sh\n: >{asked}\nread line <{release}\n")
    wine.chmod(0o755)
    matrix.suite("waits", WAITS)
    matrix.define("waits")
    old = matrix.folder / "matrix-results"
    old.mkdir()
    (old / "results.json").write_text("the old ones")
    held = os.open(release, os.O_RDWR)
    try:
        process = matrix.start("--env=wine-exec", f"--wine={wine}")
        assert asked.read_text() == ""
        process.send_signal(number)
        _, stderr = process.communicate(timeout=SECONDS)
    finally:
        os.close(held)
    assert process.returncode == 128 + number
    assert stderr.splitlines() == [
        "crossexec matrix: interrupted before anything was run; nothing is written"
    ]
    assert (old / "results.json").read_text() == "the old ones"
