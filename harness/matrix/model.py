"""What a run of the matrix came to: the document ``results.json``, and how it is read and written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

SCHEMA: Final = 1
"""Version of the document; it grows when a reader of the old one would misread the new one."""


class ResultsError(Exception):
    """A file is no ``results.json`` that can be read; the text says what was found and what would help."""


class Outcome(StrEnum):
    """What came of one case."""

    PASSED = "passed"
    FAILED = "failed"
    GAP = "gap"
    """It failed, and a marker says why that is known."""
    SKIPPED = "skipped"
    ERROR = "error"
    """The test's set-up or tear-down failed, or the test could not be run."""
    FLAKY = "flaky"
    """It failed, was tried again, and passed."""
    UNAVAILABLE = "unavailable"
    """This machine cannot give the environment. Of whole cells only."""

    @property
    def is_bad(self) -> bool:
        """Whether it makes the run fail, where its cell is required."""
        return self in (Outcome.FAILED, Outcome.ERROR)


class CellStatus(StrEnum):
    """How the run of a cell ended."""

    FINISHED = "finished"
    """Every case has an outcome."""
    INTERRUPTED = "interrupted"
    """It was stopped, or never begun, because a person or a signal asked for it; its cases are those that
    had ended."""
    BROKEN = "broken"
    """It could not be run to the end; ``reason`` says why."""
    UNAVAILABLE = "unavailable"
    """This machine cannot give the environment; ``reason`` and ``remedy`` say why and what would help."""


class CellKey(msgspec.Struct, frozen=True, order=True):
    """What is run where: one square of the matrix, and one run of pytest.

    :ivar environment: as given to ``--env``.
    :ivar executor: as given to ``--executor``.
    :ivar python: version of the Python that runs the tests, such as ``3.13``.
    :ivar suite: name of the suite.
    :ivar shard: ``2/5`` where the cell is the second of five parts; empty where it is whole.
    """

    environment: str
    executor: str
    python: str
    suite: str
    shard: str = ""

    def __str__(self) -> str:
        parts = [self.environment, self.executor, f"py{self.python}", self.suite, self.shard]
        return " ".join(filter(None, parts))

    @property
    def column(self) -> str:
        """Names the place in a table of suites against places: all but the suite and the shard."""
        return f"{self.environment} {self.executor} py{self.python}"


class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a person needs to understand a failure.

    :ivar text: the failure as pytest shows it, plain text.
    :ivar wire: the last messages between client and executor, one a line, oldest first, secrets removed.
    :ivar output: what the test and its set-up printed or logged, by the heading that pytest gives it.
    """

    text: str = ""
    wire: str = ""
    output: dict[str, str] = {}


def function_of(test: str) -> str:
    """Returns a node id without parameters."""
    return test.partition("[")[0]


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """One test with one set of parameters, in one cell.

    :ivar test: pytest's node id, such as ``suites/path/test_names.py::test_a_name[blank]``; the same on every
        machine.
    :ivar seconds: set-up, call and tear-down of the last try together.
    :ivar reason: why it was skipped, what the gap is, or the last line of a failure.
    :ivar owner: who would have to mend a gap, such as ``wine``; empty where nobody said.
    :ivar issue: link to where a gap is discussed.
    :ivar tries: how often it was run.
    :ivar details: of a failure, an error or a flaky case (then of the first try).
    """

    test: str
    outcome: Outcome
    seconds: float
    reason: str = ""
    owner: str = ""
    issue: str = ""
    tries: int = 1
    details: Details | None = None

    @property
    def function(self) -> str:
        """The node id without parameters."""
        return function_of(self.test)


class Cell(msgspec.Struct, frozen=True):
    """One cell that was run, or could not be.

    :ivar status: how it ended.
    :ivar reason: why it is broken or unavailable.
    :ivar remedy: what would help.
    :ivar seconds: from its start to its end; 0.0 if it was never begun.
    :ivar workers: how many processes shared its cases.
    :ivar rerun: arguments that run it again, the program first; the last one is the suite's path, and a
        node id in its place runs a single case.
    :ivar variables: environment variables that belong to *rerun*.
    :ivar versions: of what mattered in it: executor, Python, Wine, image, shell and the like.
    :ivar cut: tells one division into shards from another; parts of two divisions are not to be merged.
    :ivar required: what goes wrong in it makes the run fail.
    """

    key: CellKey
    status: CellStatus
    cases: tuple[Case, ...] = ()
    reason: str = ""
    remedy: str = ""
    seconds: float = 0.0
    workers: int = 0
    rerun: tuple[str, ...] = ()
    variables: dict[str, str] = {}
    versions: dict[str, str] = {}
    cut: str = ""
    required: bool = True

    def counts(self) -> Counter[Outcome]:
        return Counter(case.outcome for case in self.cases)

    @property
    def is_bad(self) -> bool:
        """Whether something went wrong in it."""
        return self.status == CellStatus.BROKEN or any(outcome.is_bad for outcome in self.counts())


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run of the matrix.

    :ivar schema: version of this document.
    :ivar started: when the run began, in UTC, as RFC 3339 has it.
    :ivar seconds: how long it took.
    :ivar command: arguments of ``crossexec matrix``.
    :ivar commit: of the sources, followed by ``+`` where they differ from it; empty where it is not known.
    :ivar machine: what ran the matrix: versions of kernel, distribution, Python, pytest, crossexec; cores.
    :ivar interrupted: a person or a signal ended the run before all was done.
    :ivar failures: what else makes the run fail, in words: more gaps than are allowed, and the like.
    """

    schema: int = SCHEMA
    started: str
    seconds: float
    command: tuple[str, ...]
    commit: str = ""
    machine: dict[str, str]
    interrupted: bool = False
    cells: tuple[Cell, ...]
    failures: tuple[str, ...] = ()

    def cases(self) -> Iterator[tuple[Cell, Case]]:
        for cell in self.cells:
            for case in cell.cases:
                yield cell, case

    def counts(self) -> Counter[Outcome]:
        return sum((cell.counts() for cell in self.cells), Counter())

    @property
    def failed(self) -> bool:
        """Whether the run has to end with an exit status that is not 0, interruption aside."""
        return bool(self.failures) or any(cell.required and cell.is_bad for cell in self.cells)


def read_results(path: Path) -> Results:
    """Returns what ``results.json`` holds.

    :param path: the file, or the directory that it is in.
    :raises ResultsError: there is none, or none that this version can read.
    """
    file = path / "results.json" if path.is_dir() else path
    try:
        raw = file.read_bytes()
        version = msgspec.json.decode(raw, type=_Version).schema
        if version != SCHEMA:
            raise ResultsError(
                f"{file} has schema {version}, and this crossexec reads {SCHEMA}: make it anew, or use "
                "the crossexec that made it"
            )
        return msgspec.json.decode(raw, type=Results)
    except OSError as error:
        raise ResultsError(f"{file} cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise ResultsError(f"{file} is no results.json of crossexec matrix: {error}") from error


def write_results(results: Results, path: Path) -> None:
    """Writes the file, whole or not at all.

    :raises OSError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    unfinished.replace(path)


class _Version(msgspec.Struct):
    schema: int
