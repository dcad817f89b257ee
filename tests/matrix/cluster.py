"""A Dask cluster on this machine: a real scheduler and real workers, each a process of its own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.matrix.cell import own_python
from harness.matrix.dask import run_on_dask
from harness.matrix.events import Event
from harness.matrix.model import Cell, CellKey
from harness.matrix.spec import CellSpec
from tests.matrix.folder import SECONDS, MatrixFolder


class DaskProcess:
    """A scheduler or a worker; what it logs is read by a thread."""

    def __init__(self, program: str, *arguments: str, cwd: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"distributed.cli.{program}", *arguments, "--host=127.0.0.1"],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
        self._news = threading.Condition()
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    def until_logged(self, pattern: str) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            return re.search(pattern, "".join(self._lines))

        with self._news:
            match = self._news.wait_for(found, SECONDS)
        assert match, "".join(self._lines)
        return match

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def wait(self) -> None:
        self._process.wait(SECONDS)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


class DaskFolder:
    """A scheduler, and workers that were started in a folder with suites.

    :ivar address: the scheduler's.
    """

    def __init__(self, matrix: MatrixFolder) -> None:
        self.matrix = matrix
        # No daemon answers there.
        self._environ = {**matrix.environ, "DOCKER_HOST": f"unix://{matrix.folder}/absent.sock"}
        self.scheduler = self._start("dask_scheduler", "--port=0", "--no-dashboard", environ=self._environ)
        self.workers: list[DaskProcess] = []
        self.address = self.scheduler.until_logged(r"Scheduler at: +(tcp://\S+)")[1]

    def _start(self, program: str, *arguments: str, environ: Mapping[str, str]) -> DaskProcess:
        return DaskProcess(program, *arguments, cwd=self.matrix.folder, environ=environ)

    def worker(self, threads: int = 1, **environ: str) -> DaskProcess:
        arguments = (self.address, f"--nthreads={threads}", "--no-nanny", "--no-dashboard")
        worker = self._start("dask_worker", *arguments, environ={**self._environ, **environ})
        self.workers.append(worker)
        worker.until_logged("Starting established connection")
        return worker

    def run(
        self,
        *specs: CellSpec,
        recorder: Recorder | None = None,
    ) -> list[Cell]:
        return asyncio.run(run_on_dask(self.address, specs, recorder or Recorder(), asyncio.Event()))

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            process.kill()


class Recorder:
    """An observer that keeps what it hears.

    :ivar calls: name of each call, and the suite or the text.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.on_note: Callable[[str], object] = lambda text: None
        self.on_event: Callable[[Event], object] = lambda event: None

    def planned(self, keys: Sequence[CellKey], expected: Mapping[CellKey, float]) -> None:
        self.calls.append(("planned", ""))

    def started(self, key: CellKey, workers: int) -> None:
        self.calls.append(("started", key.suite))

    def event(self, key: CellKey, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def ended(self, cell: Cell) -> None:
        self.calls.append(("ended", cell.key.suite))

    def note(self, text: str) -> None:
        self.calls.append(("note", text))
        self.on_note(text)

    @property
    def notes(self) -> list[str]:
        return [text for name, text in self.calls if name == "note"]


def spec(suite: str, *, environment: str = "local", workers: int = 0) -> CellSpec:
    key = CellKey(environment, "python", own_python(), suite)
    return CellSpec(key=key, suite=suite, ships=False, workers=workers)
