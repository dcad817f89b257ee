"""What a command line chooses of a matrix: the rules, without a look at the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.environments import ENVIRONMENTS
from harness.matrix.definition import Definition, EnvironmentCells
from harness.matrix.model import CellKey
from harness.matrix.spec import OWN_EXECUTOR

_URL: Final = "://"
_SHARD: Final = re.compile(r"([1-9]\d*)/([1-9]\d*)")
_PYTHON: Final = re.compile(r"3\.\d+")


class SelectionError(Exception):
    """There is no such thing to choose; the text says what there is."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asks for; None for all that the definition has.

    :ivar environments: those of the definition, any other that can be made, URLs of executors.
    :ivar shard: ``I/N``.
    :ivar apart: many machines share the work, so each environment's cells are cut as the definition says,
        unless *shard* says otherwise.
    """

    environments: Sequence[str] | None = None
    suites: Sequence[str] | None = None
    executor: str | None = None
    pythons: Sequence[str] | None = None
    shard: str | None = None
    apart: bool = False


def is_url(environment: str) -> bool:
    """Whether it is an executor that runs already, rather than a place to start one in."""
    return _URL in environment


def select(definition: Definition, wanted: Wanted, own_python: str) -> list[CellKey]:
    """Returns the cells to run, one at least, in the order of the definition.

    :param own_python: version of the Python that runs the tests where nothing else is said.
    :raises SelectionError: something of it does not exist, or no cell is left.
    """
    environments = _environments(definition, wanted.environments)
    for suite in wanted.suites or ():
        if suite not in definition.suites:
            raise SelectionError(f"--suite: there is no {suite!r}; there are {', '.join(definition.suites)}")
    suites = [name for name in definition.suites if wanted.suites is None or name in wanted.suites]
    pythons = wanted.pythons or definition.pythons or (own_python,)
    for python in pythons:
        if not _PYTHON.fullmatch(python):
            raise SelectionError(f"--python: {python!r} is no version such as 3.13")
    executor = _executor(wanted.executor, environments)
    keys = [
        CellKey(environment, executor, python, suite, shard)
        for environment, cells in environments.items()
        for python in pythons
        for suite in suites
        if cells.suites is None or suite in cells.suites
        for shard in _shards(wanted, cells)
    ]
    if not keys:
        raise SelectionError(
            f"nothing is left to run: {', '.join(environments)} has none of the suites {', '.join(suites)}"
        )
    return keys


def _environments(definition: Definition, named: Sequence[str] | None) -> Mapping[str, EnvironmentCells]:
    if named is None:
        return definition.environments
    for name in named:
        if not is_url(name) and name not in definition.environments and name not in ENVIRONMENTS:
            known = dict.fromkeys((*definition.environments, *ENVIRONMENTS))
            raise SelectionError(
                f"--env: there is no {name!r}; there are {', '.join(known)}, and URLs of executors that run, "
                "ws://HOST:PORT or unix:///PATH"
            )
    return {name: definition.environments.get(name, EnvironmentCells()) for name in named}


def _executor(name: str | None, environments: Mapping[str, EnvironmentCells]) -> str:
    """Returns its name. A report must not claim another than was run."""
    if name is None or name == OWN_EXECUTOR:
        return OWN_EXECUTOR
    launching = [environment for environment in environments if not is_url(environment)]
    if launching:
        raise SelectionError(
            f"--executor: {', '.join(launching)} starts {OWN_EXECUTOR} and no other; start {name} yourself "
            "and give its URL, such as --env=ws://127.0.0.1:9000"
        )
    return name


def _shards(wanted: Wanted, cells: EnvironmentCells) -> Sequence[str]:
    if wanted.shard is not None:
        match = _SHARD.fullmatch(wanted.shard)
        if match is None or int(match[1]) > int(match[2]):
            raise SelectionError(f"--shard: {wanted.shard!r} is not I/N, such as 2/5, with I from 1 to N")
        # The only part of one is the whole.
        return [wanted.shard if int(match[2]) > 1 else ""]
    if wanted.apart and cells.shards > 1:
        return [f"{part}/{cells.shards}" for part in range(1, cells.shards + 1)]
    return [""]
