"""The process that runs a cell: its streams, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.matrix.events import Collected, Done, Event
from harness.matrix.model import Outcome
from tests.support.cell import CellProcess, Told, run_cell
from tests.support.watch import SECONDS, Watched, children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_FIFO = "began"
_HANGS = """
    import os

    def test_first(shell): pass

    def test_hangs(python, workspace):
        pid = python.run("import os; print(os.getppid())").text.strip()
        with open("began", "w") as fifo:
            fifo.write(pid + "\\n" + workspace.path)
        python.run("import signal; signal.pause()")

    def test_after(): pass
"""


def _until_hanging(folder: Path) -> tuple[Watched, Path]:
    """Waits until a test hangs; returns the executor that it uses, and its workspace."""
    executor, _, workspace = (folder / _FIFO).read_text().partition("\n")
    return Watched(int(executor)), Path(workspace)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / _FIFO)
    return tmp_path


@pytest.fixture(params=["-n0", "-n1"])
def hanging(folder: Path, request: pytest.FixtureRequest) -> Iterator[CellProcess]:
    with CellProcess(folder, _HANGS, "--env=local", request.param) as cell:
        yield cell


def _is_taken_down(executor: Watched, workspace: Path) -> bool:
    try:
        return executor.has_ended(SECONDS) and not workspace.parent.exists()
    finally:
        executor.close()


def test_end_of_input_ends_the_run_in_order(hanging: CellProcess, folder: Path) -> None:
    executor, workspace = _until_hanging(folder)
    workers = [Watched(pid) for pid in children(hanging.pid)]
    coming = hanging.events()
    events: list[Event] = []
    # What a worker has told of it may come late.
    while not any(isinstance(event, Done) for event in events):
        events.append(next(coming))
    hanging.interrupt()
    events += coming
    assert hanging.wait() == pytest.ExitCode.INTERRUPTED
    told = Told(events, 2, hanging.log)
    assert (list(told.cases), told.broken) == (["test_first"], [])
    assert _is_taken_down(executor, workspace)
    assert all(worker.has_ended() for worker in workers)
    for worker in workers:
        worker.close()


def test_end_of_the_reader_ends_the_run_in_order(folder: Path) -> None:
    source = """
        import pytest, signal

        @pytest.fixture(scope="session")
        def whole_session():
            yield
            open("ended", "x").close()

        def test_first(whole_session):
            open("began", "w").close()

        def test_hangs(whole_session):
            signal.pause()
    """
    with CellProcess(folder, source) as cell:
        assert isinstance(next(cell.events()), Collected)
        cell.stop_reading()
        (folder / _FIFO).read_text()
        assert cell.wait() == pytest.ExitCode.INTERRUPTED
    assert (folder / "ended").exists()


def test_a_killed_cell_leaves_nothing(hanging: CellProcess, folder: Path) -> None:
    executor, _ = _until_hanging(folder)
    workers = [Watched(pid) for pid in children(hanging.pid)]
    os.kill(hanging.pid, 9)
    assert executor.has_ended(SECONDS)
    assert all(worker.has_ended(SECONDS) for worker in workers)
    for watched in (executor, *workers):
        watched.close()


def test_it_is_interrupted_where_interrupts_were_ignored(folder: Path) -> None:
    # As in a shell's background job.
    program = ("sh", "-c", 'trap \'\' INT; exec "$0" "$@"', sys.executable)
    with CellProcess(folder, _HANGS, "--env=local", program=program) as cell:
        executor, workspace = _until_hanging(folder)
        cell.interrupt()
        assert cell.wait() == pytest.ExitCode.INTERRUPTED
        assert _is_taken_down(executor, workspace)


def test_a_swallowed_interrupt_ends_the_run_after_the_test(folder: Path) -> None:
    source = """
        import time

        def test_swallows():
            try:
                open("began", "w").close()
                while True:
                    time.sleep(60)
            except KeyboardInterrupt:
                pass

        def test_after(): pass
    """
    with CellProcess(folder, source) as cell:
        (folder / _FIFO).read_text()
        cell.interrupt()
        cases = [event.case.test for event in cell.events() if isinstance(event, Done)]
        assert cases == ["test_it.py::test_swallows"]
        assert cell.wait() == pytest.ExitCode.INTERRUPTED


def test_two_that_tidy_up_at_once_do_no_harm(folder: Path) -> None:
    """pytest warns where another one removes the same old directory, here where one comes back at once."""
    source = """
        import errno, os, pytest
        from _pytest.pathlib import rm_rf

        def test_tidies_up(tmp_path, monkeypatch):
            def rmdir(*args, **options):
                raise OSError(errno.ENOTEMPTY, "another one was made meanwhile")
            old = tmp_path / "old"
            old.mkdir()
            monkeypatch.setattr(os, "rmdir", rmdir)
            rm_rf(old)
            assert old.exists()
    """
    told = run_cell(folder, source, "-o", "filterwarnings=error")
    assert told.cases["test_tidies_up"].outcome == Outcome.PASSED, told.log
    assert told.status == pytest.ExitCode.OK


def test_a_further_interrupt_does_not_cut_the_end_short(folder: Path) -> None:
    source = """
        import os, pytest, signal

        @pytest.fixture(scope="session")
        def slow_to_end():
            yield
            os.kill(os.getpid(), signal.SIGINT)
            open("ended", "x").close()

        def test_hangs(slow_to_end):
            open("began", "w").close()
            signal.pause()
    """
    with CellProcess(folder, source) as cell:
        (folder / _FIFO).read_text()
        cell.interrupt()
        assert cell.wait() == pytest.ExitCode.INTERRUPTED
    assert (folder / "ended").exists()


def test_an_end_of_input_before_pytest_is_ready_ends_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import os, signal\nos.read(0, 1)\nsignal.pause()\n")
    with CellProcess(tmp_path, "def test_it(): pass\n") as cell:
        cell.interrupt()
        assert list(cell.events()) == []
        assert cell.wait() == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_nothing_but_events_gets_into_the_events(tmp_path: Path, workers: str) -> None:
    source = """
        import os, subprocess
        os.write(1, b"at import")

        def test_it(capfd):
            with capfd.disabled():
                print("by print")
                os.write(1, b"by descriptor")
                subprocess.run(["sh", "-c", "echo by child"], check=True)
            assert os.readlink("/proc/self/fd/0") == "/dev/null"
            held = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True).stdout
            # Its own output and errors, and none of the cell's.
            assert held.count("pipe:") == 2, held
    """
    told = run_cell(tmp_path, source, workers)
    assert [case.outcome for case in told.cases.values()] == ["passed"], told.cases
    assert told.status == 0
    if workers == "-n0":  # what workers print goes nowhere
        assert all(text in told.log for text in ("by print", "by descriptor", "by child"))
