"""A matrix of small suites in a folder of its own, run by the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.matrix.model import Cell, CellKey, Results, read_results

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 100


class MatrixFolder:
    """Where a person would call ``crossexec matrix``.

    :ivar folder: the current directory of the command.
    :ivar cache: its cache.
    :ivar environ: its variables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.cache = folder / "cache"
        self.folder.mkdir()
        strange = ("CROSSEXEC_", "PYTEST_")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(strange)},
            "PYTHONPATH": str(ROOT),
            "CROSSEXEC_CACHE": str(self.cache),
            # What no suite here uses would take most of the time.
            "PYTEST_ADDOPTS": "-p no:hypothesispytest",
        }
        self.started: list[subprocess.Popen[str]] = []

    def suite(self, name: str, source: str) -> None:
        """Writes a suite of one file."""
        (self.folder / name).mkdir()
        (self.folder / name / f"test_{name}.py").write_text(source)

    def define(self, *suites: str, environments: str = "[environments.local]\n", head: str = "") -> None:
        """Writes the definition that is found by default."""
        (self.folder / "ci").mkdir(exist_ok=True)
        listed = "".join(f'{name} = "{name}"\n' for name in suites)
        (self.folder / "ci" / "matrix.toml").write_text(f"{head}\n[suites]\n{listed}\n{environments}")

    def start(
        self, *arguments: str, program: tuple[str, ...] = ("-m", "harness.cli")
    ) -> subprocess.Popen[str]:
        """Starts ``crossexec matrix`` and leaves it running; it is killed after the test if it still does."""
        process = subprocess.Popen(
            [sys.executable, "-P", *program, "matrix", *arguments],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs ``crossexec matrix`` to its end."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=SECONDS)
        assert "Traceback" not in stderr, stderr
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def rerun(self, cell: Cell, case: str) -> subprocess.CompletedProcess[str]:
        """Runs what a report says runs *case* again."""
        return subprocess.run(
            [*cell.rerun[:-1], case],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def results(self, out: str = "matrix-results") -> Results:
        return read_results(self.folder / out)

    def outcomes(self, out: str = "matrix-results") -> dict[str, str]:
        """Outcome of each case by the name of its function."""
        return {case.test.partition("::")[2]: case.outcome for _, case in self.results(out).cases()}

    def cell(self, suite: str, environment: str = "local") -> Cell:
        """A cell that was run by this Python."""
        key = CellKey(environment, "python", f"3.{sys.version_info.minor}", suite)
        return next(cell for cell in self.results().cells if cell.key == key)

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
