"""Where this project's executor and the released one are measured, and what starts each."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.launch import Target
from bench.relay_route import dialling
from bench.system import POSIX, System, windows
from harness.environments.base import ExecutorUnavailable
from harness.environments.blocking import in_thread
from harness.environments.place import DialOut
from harness.environments.relayed import ENVIRONMENT_ID, Service
from harness.environments.wine import WineEnvironment, errors_told
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.checks import failures_told
from harness.executor_kinds.codex.home import environ, new_home
from harness.executor_kinds.codex.local import CodexLocal
from harness.executor_kinds.codex.release import LINUX, VERSION, WINDOWS
from harness.executor_kinds.codex.wine import CodexWine, command_of, environ_of
from harness.progress import SILENT
from harness.settings import Settings
from harness.wine.machine import Machine
from harness.wine.workplace import Workplace

OWN: Final = "crossexec"
PEER: Final = "codex"
OWN_COMMAND: Final = shlex.join([sys.executable, "-m", "executors", "--listen", "ws://127.0.0.1:0"])

_FOLDER: Final = "bench"


@dataclass(frozen=True)
class Place:
    """One executor of a comparison.

    :ivar folder: for the files of its measures.
    :ivar about: what it is, for people.
    """

    target: Target
    folder: Path
    system: System
    about: str


Places = AbstractAsyncContextManager[list[Place]]


@asynccontextmanager
async def _local(settings: Settings) -> AsyncIterator[list[Place]]:
    _require(CodexLocal(settings))
    with failures_told(), tempfile.TemporaryDirectory(prefix="crossexec-bench-") as folder:
        async with (
            in_thread(program.program(settings.codex_binary, LINUX, SILENT)) as found,
            in_thread(new_home()) as home,
        ):
            command = shlex.join([str(found.file), "exec-server", "--listen", "ws://127.0.0.1:0"])
            variables = {**environ(), "CODEX_HOME": str(home)}
            yield [
                Place(Target(OWN, OWN_COMMAND), Path(folder), POSIX, f"Python {sys.version.split()[0]}"),
                Place(Target(PEER, command, environ=variables), Path(folder), POSIX, VERSION),
            ]


@asynccontextmanager
async def own_dialling() -> AsyncIterator[Target]:
    """This project's executor, and a service that it dials out to.

    :raises EnvironmentFailed: the service did not start.
    """
    command = [sys.executable, "-m", "executors"]

    def make(service: Service) -> Target:
        arguments = DialOut(service.url, ENVIRONMENT_ID, service.executor_token).arguments
        return Target(OWN, shlex.join([*command, *arguments]))

    async with dialling(make) as target:
        yield target


@asynccontextmanager
async def _relay(settings: Settings) -> AsyncIterator[list[Place]]:
    _require(CodexLocal(settings))
    with failures_told(), tempfile.TemporaryDirectory(prefix="crossexec-bench-") as folder:
        async with (
            in_thread(program.program(settings.codex_binary, LINUX, SILENT)) as found,
            in_thread(new_home()) as home,
        ):

            def make(service: Service) -> Target:
                dial_out = ["--remote", service.url, "--environment-id", ENVIRONMENT_ID]
                command = [str(found.file), "exec-server", *dial_out, "--registration-bearer-stdin"]
                return Target(PEER, shlex.join(command), environ={**environ(), "CODEX_HOME": str(home)})

            async with own_dialling() as own, dialling(make) as peer:
                yield [
                    Place(own, Path(folder), POSIX, f"Python {sys.version.split()[0]}"),
                    Place(peer, Path(folder), POSIX, VERSION),
                ]


@asynccontextmanager
async def _wine(settings: Settings) -> AsyncIterator[list[Place]]:
    own, peer = WineEnvironment(settings), CodexWine(settings)
    _require(peer)
    with failures_told(), errors_told():
        async with (
            in_thread(program.program(settings.codex_binary, WINDOWS, SILENT)) as found,
            in_thread(own.worker()) as (machine, place),
            in_thread(peer.equipped(found)) as (peer_machine, peer_place),
        ):
            version = ".".join(map(str, machine.python_version))
            first = Target(
                OWN,
                shlex.join([*machine.executor_command(), "--listen", "ws://127.0.0.1:0"]),
                environ=machine.wine.environment(place),
            )
            second = Target(
                PEER, shlex.join(command_of(peer_machine)), environ=environ_of(peer_machine, peer_place)
            )
            yield [
                _of_prefix(first, machine, place, f"Windows Python {version}, {machine.wine_version}"),
                _of_prefix(second, peer_machine, peer_place, f"{VERSION}, {peer_machine.wine_version}"),
            ]


def _of_prefix(target: Target, machine: Machine, place: Workplace, about: str) -> Place:
    folder = place.drive_c / _FOLDER
    folder.mkdir()
    # The services of the prefix are in the group of whoever came first.
    target = replace(target, cwd=place.drive_c, is_alone=False)
    return Place(target, folder, windows(machine.python, place.drive_c), about)


def _require(environment: CodexLocal | CodexWine) -> None:
    found = environment.available()
    if not found:
        raise ExecutorUnavailable(found.reason, found.remedy)


PLACES: Final[dict[str, Callable[[Settings], Places]]] = {
    "local": _local,
    "relay": _relay,
    "wine-exec": _wine,
}
"""By the environment's name; the first of the two executors is this project's.

:raises EnvironmentFailed: an executor cannot be had here.
"""
