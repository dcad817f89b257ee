"""What a command line chooses of a matrix: the rules, without a look at the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.bearer import refuse_login
from harness.environments import ENVIRONMENTS, GROUPS, expand_groups
from harness.executor_kinds import EXECUTORS
from harness.matrix.definition import Definition, EnvironmentCells
from harness.matrix.model import CellKey
from harness.matrix.spec import TOLD

_SHARD: Final = re.compile(r"([1-9]\d*)/([1-9]\d*)")
_PYTHON: Final = re.compile(r"3\.\d+")


class SelectionError(Exception):
    """There is no such thing to choose; the text says what there is."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asks for; None for all that the definition has.

    :ivar environments: those of the definition, any other that can be made, groups, URLs of executors.
    :ivar executors: their kinds, or the URL of one that runs, which is an environment then.
    :ivar shard: ``I/N``.
    :ivar apart: many machines share the work, so each environment's cells are cut as the definition says,
        unless *shard* says otherwise.
    """

    environments: Sequence[str] | None = None
    suites: Sequence[str] | None = None
    executors: Sequence[str] | None = None
    pythons: Sequence[str] | None = None
    shard: str | None = None
    apart: bool = False


def is_url(environment: str) -> bool:
    """Whether it is an executor that runs already, rather than a place to start one in."""
    return "://" in environment or environment.startswith("remote:")


def select(definition: Definition, wanted: Wanted, own_python: str) -> list[CellKey]:
    """Returns the cells to run, one at least, in the order of the definition.

    :param own_python: version of the Python that runs the tests where nothing else is said.
    :raises SelectionError: something of it does not exist, or no cell is left.
    """
    executors = wanted.executors or tuple(definition.executor_cells)
    for name in (*executors, *(wanted.environments or definition.environments)):
        try:
            refuse_login(name)
        except ValueError as error:
            raise SelectionError(str(error)) from None
    urls = [name for name in executors if is_url(name)]
    if urls:
        if wanted.environments is not None or len(urls) < len(executors):
            raise SelectionError(
                f"--executor: {urls[0]} runs already, and where it does; leave out --env and other executors"
            )
        wanted = replace(wanted, environments=urls, executors=None)
    environments = _environments(definition, wanted.environments)
    for suite in wanted.suites or ():
        if suite not in definition.suites:
            raise SelectionError(f"--suite: there is no {suite!r}; there are {', '.join(definition.suites)}")
    suites = [name for name in definition.suites if wanted.suites is None or name in wanted.suites]
    pythons = wanted.pythons or definition.pythons or (own_python,)
    for python in pythons:
        if not _PYTHON.fullmatch(python):
            raise SelectionError(f"--python: {python!r} is no version such as 3.13")
    if wanted.executors is not None:
        _check_executors(wanted.executors, environments)
    keys = [
        CellKey(environment, executor, python, suite, shard)
        for environment, cells in environments.items()
        for executor in _executors_in(environment, wanted, definition)
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
    for name in (named := expand_groups(named)):
        if not is_url(name) and name not in definition.environments and name not in ENVIRONMENTS:
            known = dict.fromkeys((*definition.environments, *ENVIRONMENTS, *GROUPS))
            raise SelectionError(
                f"--env: there is no {name!r}; there are {', '.join(known)}, and URLs of executors that run, "
                "ws://HOST:PORT, unix:///PATH or remote:ID"
            )
    return {name: definition.environments.get(name, EnvironmentCells()) for name in named}


def _executors_in(environment: str, wanted: Wanted, definition: Definition) -> Sequence[str]:
    if wanted.executors is None:
        return (TOLD,) if is_url(environment) else tuple(definition.executor_cells)
    return wanted.executors


def _check_executors(executors: Sequence[str], environments: Mapping[str, EnvironmentCells]) -> None:
    """A report must not claim another than was run."""
    for name in executors:
        if name in EXECUTORS:
            continue
        launching = [environment for environment in environments if not is_url(environment)]
        if launching:
            raise SelectionError(
                f"--executor: there is no {name!r} that {', '.join(launching)} could start; there are "
                f"{', '.join(EXECUTORS)}; start another yourself and give its URL, such as "
                "--env=ws://127.0.0.1:9000"
            )


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
