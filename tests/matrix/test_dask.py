"""Cells on a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from distributed import Client, Worker

from executors import __version__
from harness.matrix import dask_cluster
from harness.matrix.dask import DaskFailed, run_on_dask
from harness.matrix.dask_messages import TOPIC, Begun, Heard, Message
from harness.matrix.events import Done
from harness.matrix.model import Cell, CellStatus, Results
from tests.matrix.cluster import DaskFolder, Recorder, spec
from tests.matrix.folder import SECONDS, MatrixFolder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tests tell of themselves through named pipes")

KINDS = """
import pytest

def test_passes(shell):
    assert shell.run(shell.echo("a b")).text.strip() == "a b"

def test_fails():
    assert "found" == "wanted"

@pytest.mark.known_gap("it is missing there", owner="somebody")
def test_gap():
    assert False

def test_skipped():
    pytest.skip("for a reason")
"""
PASSES = "def test_passes():\n    pass\n"
BEGINS_AND_WAITS = """
import threading

def test_first():
    pass

def test_waits():
    # Its end is seen by who reads.
    with open({begun!r}, "w") as begun:
        begun.write("begun\\n")
        begun.flush()
        threading.Event().wait()
"""
WAITS_UNTIL_READ = """
import pytest

def test_waits():
    with pytest.raises(BrokenPipeError), open({begun!r}, "w") as begun:
        while True:
            begun.write("begun\\n")
            begun.flush()
"""
DEAF = """
import signal

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
"""
WAITS_THE_FIRST_TIME = """
import pathlib, threading

def test_waits():
    times = pathlib.Path("times")
    with times.open("a") as file:
        file.write("x")
    if times.read_text() in {waiting!r}:
        with open({begun!r}, "w") as begun:
            begun.write("begun\\n")
            begun.flush()
            threading.Event().wait()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixFolder]:
    folder = MatrixFolder(tmp_path_factory.mktemp("dask"))
    folder.suite("kinds", KINDS)
    folder.suite("good", PASSES)
    folder.suite("other", PASSES)
    yield folder
    folder.close()


@pytest.fixture(scope="module")
def cluster(folder: MatrixFolder) -> Iterator[DaskFolder]:
    """A cluster with one worker, which is to stay."""
    cluster = DaskFolder(folder)
    with contextlib.closing(cluster):
        cluster.worker(threads=2)
        yield cluster


@pytest.fixture
def empty(matrix: MatrixFolder) -> Iterator[DaskFolder]:
    """A cluster without workers, whose processes may be killed."""
    with contextlib.closing(DaskFolder(matrix)) as cluster:
        yield cluster


def test_the_results_are_those_of_this_machine(cluster: DaskFolder, folder: MatrixFolder) -> None:
    folder.define("kinds")

    def ran(out: str, *arguments: str) -> Results:
        result = folder.run(f"--out={out}", *arguments)
        assert result.returncode == 1, result.stderr
        return folder.results(out)

    def told(cell: Cell) -> tuple[object, ...]:
        cases = {(case.test, case.outcome, case.reason, case.details is None) for case in cell.cases}
        return cell.key, cell.status, cell.rerun, cases

    here, there = ran("here", "-n1"), ran("there", "-n1", f"--dask={cluster.address}")
    assert [told(cell) for cell in there.cells] == [told(cell) for cell in here.cells]
    assert there.counts() == {"passed": 1, "failed": 1, "gap": 1, "skipped": 1}
    versions = there.cells[0].versions
    assert versions["host"] == os.uname().nodename
    assert versions["kernel"].endswith(os.uname().release)
    assert versions["crossexec"] == __version__


def test_events_come_while_cells_run_one_after_the_other(cluster: DaskFolder) -> None:
    recorder = Recorder()
    cells = cluster.run(spec("other", workers=1), spec("kinds", workers=1), spec("good"), recorder=recorder)
    suites = ["other", "kinds", "good"]
    assert [cell.key.suite for cell in cells] == suites
    assert [cell.workers for cell in cells] == [1, 1, 2]
    assert recorder.calls == [(what, suite) for suite in suites for what in ("started", "ended")]
    heard = {event.case.test: event.case for event in recorder.events if isinstance(event, Done)}
    cases = {case.test: case for cell in cells for case in cell.cases}
    assert {test: case.outcome for test, case in heard.items()} == {
        test: case.outcome for test, case in cases.items()
    }
    assert cases["kinds/test_kinds.py::test_fails"].details
    assert heard["kinds/test_kinds.py::test_fails"].details is None


def test_what_a_worker_cannot_give_comes_back_with_its_reason(cluster: DaskFolder) -> None:
    host = os.uname().nodename
    docker, absent = cluster.run(spec("good", environment="docker"), spec("absent"))
    assert docker.status == CellStatus.UNAVAILABLE
    assert docker.reason.startswith(f"on {host}: ") and "absent.sock" in docker.reason
    assert docker.remedy
    assert absent.status == CellStatus.BROKEN
    assert absent.reason.startswith(f"on {host}: there is no {cluster.matrix.folder / 'absent'}")


def test_an_interrupt_brings_back_what_had_ended_and_leaves_nothing_running(
    cluster: DaskFolder, folder: MatrixFolder, fifo: Callable[[str], Path]
) -> None:
    pipe = fifo("begun")
    folder.suite("interrupted", BEGINS_AND_WAITS.format(begun=str(pipe)))
    folder.define("interrupted", "good")
    # One process, so that the first case has ended when the second one begins.
    process = folder.start(f"--dask={cluster.address}", "-n1", "--suite=interrupted,good")
    with pipe.open() as begun:
        assert begun.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=SECONDS)[1]
        assert process.returncode == 128 + signal.SIGINT, stderr
        assert begun.read() == ""
    results = folder.results()
    assert results.interrupted
    assert {cell.key.suite: (cell.status, len(cell.cases)) for cell in results.cells} == {
        "interrupted": (CellStatus.INTERRUPTED, 1),
        "good": (CellStatus.INTERRUPTED, 0),
    }
    # What is only made of events has no time.
    assert results.cells[0].seconds > 0
    assert cluster.run(spec("good", workers=1))[0].status == CellStatus.FINISHED


def test_workers_stop_when_the_client_is_killed(
    cluster: DaskFolder, folder: MatrixFolder, fifo: Callable[[str], Path]
) -> None:
    pipe = fifo("begun")
    folder.suite("orphaned", BEGINS_AND_WAITS.format(begun=str(pipe)))
    folder.define("orphaned")
    process = folder.start(f"--dask={cluster.address}", "-n1")
    with pipe.open() as begun:
        assert begun.readline() == "begun\n"
        process.kill()
        # The pipe ends when the case does, which waits for ever.
        assert begun.read() == ""
    assert cluster.run(spec("good", workers=1))[0].status == CellStatus.FINISHED


def test_a_cell_that_does_not_stop_is_killed(
    cluster: DaskFolder, folder: MatrixFolder, fifo: Callable[[str], Path]
) -> None:
    pipe = fifo("begun")
    folder.suite("deaf", DEAF + BEGINS_AND_WAITS.format(begun=str(pipe)))

    async def run() -> list[Cell]:
        interrupt, kill, first = asyncio.Event(), asyncio.Event(), asyncio.Event()
        recorder = Recorder()
        recorder.on_event = lambda event: first.set() if isinstance(event, Done) else None
        specs = [spec("deaf", workers=1)]
        running = asyncio.create_task(run_on_dask(cluster.address, specs, recorder, interrupt, kill=kill))
        with await asyncio.to_thread(pipe.open) as begun:
            assert await asyncio.to_thread(begun.readline) == "begun\n"
            # What a cell that is killed has not told yet is lost.
            await asyncio.wait_for(first.wait(), SECONDS)
            interrupt.set()
            kill.set()
            assert await asyncio.to_thread(begun.read) == ""
        return await running

    (cell,) = asyncio.run(run())
    assert (cell.status, len(cell.cases)) == (CellStatus.INTERRUPTED, 1)
    # What is only made of events has no time.
    assert cell.seconds > 0


def test_two_runs_take_turns_on_a_worker(cluster: DaskFolder, fifo: Callable[[str], Path]) -> None:
    pipe = fifo("begun")
    cluster.matrix.suite("first", WAITS_UNTIL_READ.format(begun=str(pipe)))
    told: list[str] = []

    def hear(event: tuple[float, bytes]) -> None:
        """Hears of both runs, in the order in which the worker told it."""
        match msgspec.msgpack.decode(event[1], type=Message):
            case Begun():
                told.append("begun")
            case Heard(event=Done(case)):
                told.append(case.test)

    def tasks_at_once(dask_worker: Worker) -> int:
        return dask_worker.state.executing_count

    def run_alone(suite: str) -> asyncio.Task[list[Cell]]:
        running = run_on_dask(cluster.address, [spec(suite, workers=1)], Recorder(), asyncio.Event())
        return asyncio.create_task(running)

    async def run() -> None:
        make: Any = Client
        async with make(cluster.address, asynchronous=True, set_as_default=False) as client:
            client.subscribe_topic(TOPIC, hear)
            first = run_alone("first")
            with await asyncio.to_thread(pipe.open) as begun:
                assert await asyncio.to_thread(begun.readline) == "begun\n"
                second = run_alone("good")
                while list((await client.run(tasks_at_once)).values()) != [2]:
                    assert not second.done()
            # The case in the first one ends now that nobody reads any more.
            await first
            await second

    asyncio.run(run())
    assert told == ["begun", "first/test_first.py::test_waits", "begun", "good/test_good.py::test_passes"]


def test_a_cell_whose_worker_dies_is_run_again_and_twice_is_too_often(
    empty: DaskFolder, fifo: Callable[[str], Path]
) -> None:
    once, always = fifo("once"), fifo("always")
    empty.matrix.suite("once", WAITS_THE_FIRST_TIME.format(begun=str(once), waiting=["x"]))
    empty.matrix.suite("always", BEGINS_AND_WAITS.format(begun=str(always)))

    def kill_the_worker(pipe: Path) -> None:
        with pipe.open() as begun:
            assert begun.readline() == "begun\n"
            # So that the cell has somewhere to go.
            dying = empty.workers[-1]
            empty.worker()
            dying.kill()
            assert begun.read() == ""

    async def run(suite: str, pipe: Path, deaths: int) -> tuple[Cell, Recorder]:
        recorder = Recorder()
        running = asyncio.create_task(run_on_dask(empty.address, [spec(suite)], recorder, asyncio.Event()))
        for _ in range(deaths):
            await asyncio.to_thread(kill_the_worker, pipe)
        return (await running)[0], recorder

    empty.worker()
    cell, recorder = asyncio.run(run("once", once, 1))
    assert (cell.status, len(cell.cases)) == (CellStatus.FINISHED, 1)
    assert [call for call, _ in recorder.calls] == ["started", "note", "started", "ended"]
    assert "went away; the cell is run again on another one" in recorder.notes[0]

    cell, recorder = asyncio.run(run("always", always, 2))
    assert cell.status == CellStatus.BROKEN
    assert "went away while it had the cell, as had another before it" in cell.reason
    assert [call for call, _ in recorder.calls] == ["started", "note", "started", "ended"]


def test_cells_are_broken_and_stopped_when_the_scheduler_goes_away(
    empty: DaskFolder, fifo: Callable[[str], Path]
) -> None:
    pipe = fifo("begun")
    empty.matrix.suite("left", BEGINS_AND_WAITS.format(begun=str(pipe)))
    empty.matrix.suite("good", PASSES)
    worker = empty.worker()

    def kill_the_scheduler() -> None:
        with pipe.open() as begun:
            assert begun.readline() == "begun\n"
            empty.scheduler.kill()
            assert begun.read() == ""

    async def run() -> list[Cell]:
        specs = [spec("left"), spec("good")]
        running = asyncio.create_task(run_on_dask(empty.address, specs, Recorder(), asyncio.Event()))
        await asyncio.to_thread(kill_the_scheduler)
        return await running

    cells = asyncio.run(run())
    assert [cell.status for cell in cells] == [CellStatus.BROKEN, CellStatus.BROKEN]
    for cell in cells:
        assert f"the Dask scheduler at {empty.address} answers no more" in cell.reason
    worker.wait()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            '__version__ = "0.0.1"',
            f"has crossexec 0.0.1, and this is {__version__}: install the same on both",
        ),
        (
            "raise ImportError('not there')",
            f"has no crossexec (not there): install crossexec=={__version__} there",
        ),
    ],
    ids=["another", "none"],
)
def test_a_worker_with_another_crossexec_or_none_breaks_the_cell(
    empty: DaskFolder, source: str, reason: str
) -> None:
    (empty.matrix.folder / "fake/executors").mkdir(parents=True)
    (empty.matrix.folder / "fake/executors/__init__.py").write_text(source)
    empty.matrix.suite("good", PASSES)
    waits = threading.Event()
    recorder = Recorder()
    recorder.on_note = lambda text: waits.set()

    def start_worker() -> None:
        assert waits.wait(SECONDS)
        empty.worker(PYTHONPATH=str(empty.matrix.folder / "fake"))

    async def run() -> list[Cell]:
        running = asyncio.create_task(run_on_dask(empty.address, [spec("good")], recorder, asyncio.Event()))
        await asyncio.to_thread(start_worker)
        return await running

    (cell,) = asyncio.run(run())
    assert recorder.notes == [f"The Dask cluster at {empty.address} has no workers; waiting for one."]
    assert cell.status == CellStatus.BROKEN
    assert cell.reason == f"the Dask worker on {os.uname().nodename} {reason}"


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8786", "tcp://127.0.0.1", "http://127.0.0.1:8786", "tcp://:8786", "tcp://127.0.0.1:x"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(
        DaskFailed, match="is no address of a Dask scheduler, which looks like tcp://HOST:8786"
    ):
        asyncio.run(run_on_dask(address, [], Recorder(), asyncio.Event()))


def test_nobody_at_the_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        for _ in range(2):
            with pytest.raises(DaskFailed, match=f"no Dask scheduler answers at {address} within 0.5 s"):
                asyncio.run(run_on_dask(address, [], Recorder(), asyncio.Event()))
            # Now somebody is there, who says nothing.
            silent.listen()


def test_tls_without_certificates_is_an_error(cluster: DaskFolder) -> None:
    with pytest.raises(DaskFailed, match=r"tls:// needs the certificates .* under distributed\.comm\.tls"):
        asyncio.run(run_on_dask(cluster.address.replace("tcp", "tls"), [], Recorder(), asyncio.Event()))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaskFailed, match=r"pip install 'crossexec\[dask\]'"):
        asyncio.run(run_on_dask("tcp://127.0.0.1:8786", [], Recorder(), asyncio.Event()))
