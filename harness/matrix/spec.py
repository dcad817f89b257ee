"""What the run of one cell needs to know; it means the same on this machine and on another."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from harness.executor_kinds import OWN
from harness.matrix.definition import DefinitionError, suites_folder
from harness.matrix.model import CellKey

OWN_EXECUTOR: Final = OWN
TOLD: Final = "told"
"""Name of an executor that runs already, where nobody says what it is: it tells itself."""
_CASE_SECONDS: Final = 120
# The cases of installed suites are named from where the package lies, wherever a person is.
_PYTEST_IN: Final = "import os, sys, pytest; os.chdir(sys.argv.pop(1)); sys.exit(pytest.main())"


class CellSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One cell to run.

    :ivar suite: path of its tests with forward slashes: from the current directory or, if it *ships* with
        this package, from the folder that the package lies in.
    :ivar ships: the suite is one of this package's own.
    :ivar workers: processes that share the cases; 0 for as many as there are processors.
    :ivar keyword: as pytest's ``-k``; empty for all.
    :ivar retries: how often a case that fails is tried again.
    :ivar settings: flags of the environment, such as ``--docker-image=IMAGE``.
    :ivar pytest: further arguments of pytest.
    :ivar timings: what a shard is cut by: the text of such a file; empty where all cases count the same.
    """

    key: CellKey
    suite: str
    ships: bool
    workers: int = 0
    keyword: str = ""
    retries: int = 0
    settings: tuple[str, ...] = ()
    pytest: tuple[str, ...] = ()
    timings: str = ""

    @property
    def root(self) -> Path:
        """The folder that the names of the cases begin from.

        :raises DefinitionError: the suite ships with this package, and this one came without.
        """
        return suites_folder().resolve().parent if self.ships else Path.cwd()

    def arguments(self, workers: int, timings: Path) -> list[str]:
        """Returns what pytest gets to run the cell.

        :param timings: a file with :attr:`timings`.
        :raises DefinitionError: see :attr:`root`.
        """
        root = self.root
        return [
            f"--env={self.key.environment}",
            *self._executor(),
            f"--rootdir={root}",
            *self._configuration(),
            *("-p", "no:cacheprovider"),
            "-q",
            # For a case that never ends; a test that may take longer has a marker that says so.
            f"--timeout={_CASE_SECONDS}",
            *(["-n0"] if workers == 1 else [f"-n{workers}", "--dist=loadgroup"]),
            *([f"--shard={self.key.shard}"] if self.key.shard else []),
            *([f"--timings={timings}"] if self.key.shard and self.timings else []),
            *([f"--reruns={self.retries}"] if self.retries else []),
            *(["-k", self.keyword] if self.keyword else []),
            *self.settings,
            *self.pytest,
            str(root / self.suite),
        ]

    def rerun(self, python: Path) -> tuple[str, ...]:
        """Returns what a person pastes to run the cell again; the name of a case may replace the last one.

        It is never cut into shards: a case that is named alone might lie in another one.

        :param python: the interpreter that runs the tests.
        :raises DefinitionError: see :attr:`root`.
        """
        root = self.root
        if root != Path.cwd():
            program = [str(python), "-c", _PYTEST_IN, str(root), "--rootdir=."]
        elif _is_found(python):
            program = ["pytest"]
        else:
            here = python.relative_to(root) if python.is_relative_to(root) else python
            program = [str(here), "-m", "pytest"]
        configuration = [] if self._is_checkout else self._configuration()
        return (
            *program,
            f"--env={self.key.environment}",
            *([] if self.key.executor == OWN_EXECUTOR else self._executor()),
            *configuration,
            *self.settings,
            *self.pytest,
            self.suite,
        )

    @property
    def _is_checkout(self) -> bool:
        """Whether the suite has the configuration of this project's own sources."""
        return self.ships and (self.root / "pyproject.toml").is_file()

    def _executor(self) -> list[str]:
        return [] if self.key.executor == TOLD else [f"--executor={self.key.executor}"]

    def _configuration(self) -> list[str]:
        options = ["--import-mode=importlib", "-o", "xfail_strict=true"]
        if self.ships and not self._is_checkout:
            # Installed, it may lie below somebody's project, whose configuration is not meant for it.
            options += ["-c", os.devnull, f"--confcutdir={self.root}"]
        return options


def locate(suite: str) -> tuple[str, bool]:
    """Returns :attr:`CellSpec.suite` and :attr:`CellSpec.ships` of a suite.

    :param suite: path of its tests, absolute or from the current directory.
    :raises FileNotFoundError: there is nothing.
    """
    path = Path(suite).resolve(strict=True)
    try:
        package = suites_folder().resolve()
    except DefinitionError:
        package = None
    if package is not None and path.is_relative_to(package):
        return path.relative_to(package.parent).as_posix(), True
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix(), False


def _is_found(python: Path) -> bool:
    """Whether ``pytest`` alone means that of *python*."""
    found = shutil.which("pytest")
    return found is not None and Path(found).parent == python.parent
