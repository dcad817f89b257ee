"""What the matrix consists of: the file ``ci/matrix.toml``, or the shared suites in every environment."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from harness.environments import ENVIRONMENTS, GROUPS
from harness.executor_kinds import EXECUTORS, OWN

DEFAULT_FILE: Final = Path("ci/matrix.toml")
Runner = Literal["linux", "macos", "windows"]
"""A kind of machine that CI has."""

_PERCENT: Final = re.compile(r"(\d{1,3}(?:\.\d+)?)%")


class DefinitionError(Exception):
    """The file cannot be meant so; the text says where, and what would help."""


class EnvironmentCells(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One environment of the matrix.

    :ivar suites: names of those that run in it; None for all.
    :ivar shards: how many parts its cells are cut into where many machines share the work: in CI, on Dask.
    :ivar allowed_gaps: how much of the cases that are not skipped may be known gaps, such as ``2%``, with the
        executor of this package.
    :ivar runners: the kinds of machine that CI runs it on.
    :ivar recipes: patterns of the files that decide what its preparation makes; CI keeps that as long as they
        stay the same. Without any it keeps nothing.
    """

    suites: tuple[str, ...] | None = None
    shards: Annotated[int, msgspec.Meta(ge=1)] = 1
    allowed_gaps: Annotated[str, msgspec.Meta(pattern=f"^{_PERCENT.pattern}$")] = "100%"
    runners: tuple[Runner, ...] = ("linux",)
    recipes: tuple[str, ...] = ()

    @property
    def allowed_gap_share(self) -> float:
        """From 0.0 to 1.0."""
        return float(self.allowed_gaps.removesuffix("%")) / 100


class ExecutorCells(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One executor of the matrix.

    :ivar name: a kind of executor that ``--executor`` knows.
    :ivar required: what goes wrong with it makes the run fail; if not, only where ``--executor`` names it.
    """

    name: str
    required: bool = True


class CheckJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A job of CI beside the matrix.

    :ivar run: command of a POSIX shell.
    :ivar pythons: versions of the Pythons that it runs with, on a machine each, as ``python``; empty where
        it runs where the Linux jobs do.
    :ivar recipes: as those of an environment.
    """

    run: str
    pythons: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()


class Ci(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """How CI comes to a machine that can run the matrix.

    :ivar requirement: what pip installs where nothing else is said; it brings the command ``crossexec``.
    :ivar python: version of the Python that it is installed with.
    :ivar image: container image that Linux jobs run in, privileged; None for the bare machine, where
        *requirement* is installed.
    :ivar prepare: command in the image before the sources are there; None for none.
    :ivar matrix: command in the image that stands for ``crossexec matrix`` and sees to what it needs.
    :ivar jobs: jobs beside the matrix, by name.
    """

    requirement: str = "crossexec[docker,matrix]"
    python: str = "3.13"
    image: str | None = None
    prepare: str | None = None
    matrix: str = "crossexec matrix"
    jobs: dict[str, CheckJob] = {}


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The matrix.

    :ivar environments: by the names that ``--env`` knows. In a file the name of a group stands for those
        of it that have no table of their own.
    :ivar suites: path of the tests of each suite, relative to the current directory.
    :ivar executors: what all of it is run with; a name alone is that of one that is required.
    :ivar pythons: versions of the Pythons that run the tests; empty for the one that runs the matrix.
    :ivar timings: file with the times that shards are cut by, relative to the current directory.
    :ivar pytest: further arguments of every run of pytest.
    :ivar ci: for ``crossexec ci`` alone.
    """

    environments: dict[str, EnvironmentCells]
    suites: dict[str, str]
    executors: tuple[str | ExecutorCells, ...] = (OWN,)
    pythons: tuple[str, ...] = ()
    timings: str | None = None
    pytest: tuple[str, ...] = ()
    ci: Ci = Ci()

    @property
    def executor_cells(self) -> dict[str, ExecutorCells]:
        """The executors by their names."""
        cells = [ExecutorCells(each) if isinstance(each, str) else each for each in self.executors]
        return {each.name: each for each in cells}


def load_definition(file: Path | None) -> Definition:
    """Returns what *file* says; without one, what :data:`DEFAULT_FILE` says if it is there, else the shared
    suites in every environment.

    :raises DefinitionError: the file cannot be read, or cannot be meant so.
    """
    if file is None:
        if not DEFAULT_FILE.is_file():
            return shared_suites()
        file = DEFAULT_FILE
    try:
        definition = msgspec.toml.decode(file.read_bytes(), type=Definition)
    except OSError as error:
        raise DefinitionError(f"{file} cannot be read: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise DefinitionError(f"{file}: {error}") from error
    definition = msgspec.structs.replace(definition, environments=_without_groups(definition.environments))
    _check(definition, file)
    return definition


def _without_groups(given: dict[str, EnvironmentCells]) -> dict[str, EnvironmentCells]:
    """Returns each environment in the place of its own table, else in that of its group."""
    found: dict[str, EnvironmentCells] = {}
    for name, cells in given.items():
        if name in GROUPS:
            found |= {member: cells for member in GROUPS[name] if member not in given}
        else:
            found[name] = cells
    return found


def _check(definition: Definition, file: Path) -> None:
    for name, cells in definition.environments.items():
        if name not in ENVIRONMENTS:
            raise DefinitionError(
                f"{file}: there is no environment {name!r}; there are {', '.join((*ENVIRONMENTS, *GROUPS))}"
            )
        for suite in cells.suites or ():
            if suite not in definition.suites:
                raise DefinitionError(
                    f"{file}: environment {name} has a suite {suite!r} that stands not under [suites]; "
                    f"there are {', '.join(definition.suites)}"
                )
    for name in definition.executor_cells:
        if name not in EXECUTORS:
            raise DefinitionError(f"{file}: there is no executor {name!r}; there are {', '.join(EXECUTORS)}")
    if len(definition.executor_cells) < len(definition.executors):
        raise DefinitionError(f"{file}: an executor stands twice in executors")
    for what, entries in (
        ("environment", definition.environments),
        ("suite", definition.suites),
        ("executor", definition.executors),
    ):
        if not entries:
            raise DefinitionError(f"{file} defines no {what}")


def shared_suites() -> Definition:
    """The suites that come with this package, in every environment."""
    folder = suites_folder()
    names = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    return Definition(
        environments={name: EnvironmentCells() for name in ENVIRONMENTS},
        suites={name: str(folder / name) for name in names},
    )


def suites_folder() -> Path:
    """Where the shared suites of this package lie.

    :raises DefinitionError: they are not installed.
    """
    spec = importlib.util.find_spec("suites")
    for location in (spec.submodule_search_locations if spec is not None else None) or ():
        return Path(location)
    raise DefinitionError("the package has no suites: install all of crossexec, not the executor alone")
