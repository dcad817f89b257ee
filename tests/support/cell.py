"""Runs the pytest of a cell as the runner of the matrix does, and reads its events."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import TracebackType
from typing import Self

from harness.matrix.events import Broken, Collected, Done, Event, Facts, decode
from harness.matrix.model import Case

_ROOT = Path(__file__).resolve().parent.parent.parent


class CellProcess:
    """A running cell: the tests of one module in an otherwise empty folder.

    :param folder: the module is written there as ``test_it.py``; the tests run there.
    :param program: what starts the Python of the cell.
    """

    def __init__(self, folder: Path, source: str, *arguments: str, program: tuple[str, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "test_it.py").write_text(dedent(source), encoding="utf-8")
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "CROSSEXEC_ENV"))
        }
        variables["PYTHONPATH"] = str(_ROOT)
        self._log = folder / "log"
        common = [f"--rootdir={folder}", "-p", "no:cacheprovider", "--import-mode=importlib"]
        command = [*(program or (sys.executable,)), "-m", "fixtures.cell"]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [*command, *common, *arguments, str(folder)],
                cwd=folder,
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self.interrupt()
        self.stop_reading()
        self._child.wait()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def interrupt(self) -> None:
        """Ends its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.close()

    def stop_reading(self) -> None:
        """Closes the pipe that it writes its events into."""
        assert self._child.stdout is not None
        self._child.stdout.close()

    def events(self) -> Iterator[Event]:
        """What it tells from now until its end; whatever is no event raises."""
        assert self._child.stdout is not None
        return map(decode, self._child.stdout)

    def wait(self) -> int:
        """Returns its exit status."""
        return self._child.wait(100)


class Told:
    """All that a cell told, by kind."""

    def __init__(self, events: list[Event], status: int, log: str) -> None:
        self.events = events
        self.status = status
        self.log = log
        self.collected = [event for event in events if isinstance(event, Collected)]
        self.facts = [event for event in events if isinstance(event, Facts)]
        self.broken = [event.text for event in events if isinstance(event, Broken)]
        self.cases: dict[str, Case] = {}
        for event in events:
            if isinstance(event, Done):
                name = event.case.test.removeprefix("test_it.py::")
                assert name not in self.cases, f"{name} was told twice"
                self.cases[name] = event.case


def run_cell(folder: Path, source: str, *arguments: str) -> Told:
    """Runs a cell to its end."""
    with CellProcess(folder, source, *arguments) as cell:
        events = list(cell.events())
        return Told(events, cell.wait(), cell.log)
