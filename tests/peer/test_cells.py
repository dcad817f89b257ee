"""An executor that is missing, of another version or dies: unavailable, and no failed case."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.matrix.events import Unavailable
from harness.matrix.model import Outcome
from tests.peer.conftest import Make
from tests.support.cell import Told, run_cell

_TWO_CASES = """
    def test_runs(shell): assert shell.run("echo hello").text == "hello\\n"
    def test_runs_too(shell): assert shell.run("echo hello").text == "hello\\n"
"""
_KILLS = """
    import os, signal
    import pytest

    {mark}
    def test_kills(python):
        os.kill(int(python.run("import os; print(os.getppid())").text), signal.SIGKILL)
        python.run("")

    def test_after(python): python.run("")
"""
_STOPS = """
    import os, signal
    import pytest

    @pytest.mark.known_gap("it stops", executor="codex", version="0.169.0")
    def test_stops(client, python, workspace):
        os.kill(int(python.run("import os; print(os.getppid())").text), signal.SIGSTOP)
        raise AssertionError("it stopped")

    def test_after(python): python.run("")
"""
_GAP = '@pytest.mark.known_gap("it dies", executor="codex", version="0.169.0")'


def run(folder: Path, source: str, file: Path, *arguments: str) -> Told:
    return run_cell(folder, source, "--executor=codex", f"--codex-binary={file}", *arguments)


def unavailable(told: Told) -> Unavailable:
    (event,) = [event for event in told.events if isinstance(event, Unavailable)]
    assert not told.broken
    assert not any(case.outcome.is_bad for case in told.cases.values())
    return event


@pytest.fixture(params=["-n0", "-n1"])
def workers(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_one_that_serves_is_used(tmp_path: Path, make_program: Make, workers: str) -> None:
    told = run(tmp_path / "cell", _TWO_CASES, make_program(), workers)
    assert [case.outcome for case in told.cases.values()] == [Outcome.PASSED] * 2, told.log
    assert told.facts[0].versions["executor"] == "codex 0.169.0"


def test_one_that_ends_at_once(tmp_path: Path, make_program: Make, workers: str) -> None:
    event = unavailable(
        run(tmp_path / "cell", _TWO_CASES, make_program("raise SystemExit('no luck')"), workers)
    )
    assert "no luck" in event.reason and "try it by hand" in event.remedy


def test_one_of_another_version(tmp_path: Path, make_program: Make, workers: str) -> None:
    event = unavailable(run(tmp_path / "cell", _TWO_CASES, make_program(told="9.9"), workers))
    assert "it says that it is version 9.9" in event.reason and event.remedy


def test_one_that_dies(tmp_path: Path, make_program: Make, workers: str) -> None:
    event = unavailable(run(tmp_path / "cell", _KILLS.format(mark=""), make_program(), workers))
    assert "has died while it served a test" in event.reason and "known_gap" in event.remedy


def test_one_that_is_known_to_die_is_brought_up_again(
    tmp_path: Path, make_program: Make, workers: str
) -> None:
    told = run(tmp_path / "cell", _KILLS.format(mark=_GAP), make_program(), workers)
    outcomes = {name: case.outcome for name, case in told.cases.items()}
    assert outcomes == {"test_kills": Outcome.GAP, "test_after": Outcome.PASSED}, told.log


def test_one_that_is_known_to_answer_no_more_is_brought_up_again(tmp_path: Path, make_program: Make) -> None:
    told = run(tmp_path / "cell", _STOPS, make_program(), "-n0")
    outcomes = {name: case.outcome for name, case in told.cases.items()}
    assert outcomes == {"test_stops": Outcome.GAP, "test_after": Outcome.PASSED}, told.log
