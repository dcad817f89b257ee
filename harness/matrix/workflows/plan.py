"""Which jobs CI has, whatever service runs them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from harness.matrix.definition import DEFAULT_FILE, Ci, Definition, EnvironmentCells, Runner


@dataclass(frozen=True)
class Part:
    """One job of the matrix.

    :ivar name: tells it from the others on this kind of machine; fit for a file's name.
    :ivar environment: as given to ``--env``.
    :ivar arguments: of ``crossexec matrix``, for a POSIX shell and for PowerShell.
    :ivar recipes: patterns of the files that decide what its preparation makes.
    """

    name: str
    environment: str
    arguments: str
    recipes: Sequence[str] = ()


@dataclass(frozen=True)
class Plan:
    """All jobs.

    :ivar parts: those of the matrix, by the kind of machine; a kind that has none is not there.
    :ivar ci: how they come to machines that can run them.
    """

    parts: Mapping[Runner, Sequence[Part]]
    ci: Ci

    @property
    def install(self) -> str:
        """Command that brings crossexec to a machine that has a Python."""
        return f"python -m pip install '{self.ci.requirement}'"

    def command(self, runner: Runner) -> str:
        """Command that takes the arguments of a part on *runner*."""
        return self.ci.matrix if self.in_image(runner) else "crossexec matrix"

    def in_image(self, runner: Runner) -> bool:
        """Whether the jobs of *runner* run in :attr:`Ci.image`."""
        return runner == "linux" and self.ci.image is not None


def make_plan(definition: Definition, file: Path) -> Plan:
    """Returns the jobs: each environment, or each shard of it, on each kind of machine that it is to run on.

    :param file: where *definition* comes from, relative to the repository's root.
    """
    further = [] if file == DEFAULT_FILE else [f"--definition={shlex.quote(file.as_posix())}"]
    parts: dict[Runner, list[Part]] = {}
    for runner in get_args(Runner):
        for environment, cells in definition.environments.items():
            if runner in cells.runners:
                parts.setdefault(runner, []).extend(_parts(environment, cells, further))
    return Plan(parts, definition.ci)


def _parts(environment: str, cells: EnvironmentCells, further: Sequence[str]) -> list[Part]:
    arguments = " ".join([f"--env={environment}", *further])
    if cells.shards == 1:
        return [Part(environment, environment, arguments, cells.recipes)]
    return [
        Part(
            f"{environment}-{index}-of-{cells.shards}",
            environment,
            f"{arguments} --shard={index}/{cells.shards}",
            cells.recipes,
        )
        for index in range(1, cells.shards + 1)
    ]
