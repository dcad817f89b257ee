"""Sees to it, before cells run, that their environments can be brought up on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.cache import cache_folder
from harness.cli_parser import add_settings
from harness.cli_target import UsageError, chosen_settings
from harness.client.errors import ClientError
from harness.docker.options import OPTIONS as DOCKER_OPTIONS
from harness.environments import ExecutorUnavailable, Settings, make_environment
from harness.environments.place import place_of
from harness.executor_kinds import EXECUTORS, PEER, is_url
from harness.matrix.cell import own_python
from harness.matrix.model import Cell, CellKey, CellStatus
from harness.matrix.spec import CellSpec
from harness.progress import Progress
from harness.remote.options import OPTIONS as REMOTE_OPTIONS
from harness.remote.options import PREFIX
from harness.url_options import OPTIONS as URL_OPTIONS


@dataclass(frozen=True)
class Obstacle:
    """Why no cell of an environment can be run.

    :ivar status: whether this machine cannot give it, or what it needs could not be made.
    """

    status: CellStatus
    reason: str
    remedy: str = ""

    def cell(self, spec: CellSpec) -> Cell:
        return Cell(spec.key, self.status, reason=self.reason, remedy=self.remedy)


def prepare_environment(
    name: str, executor: str, settings: Sequence[str], progress: Progress
) -> Obstacle | None:
    """Makes what an environment needs once on this machine, which may take minutes. It blocks.

    :param executor: see :attr:`CellKey.executor`.
    :param settings: see :attr:`CellSpec.settings`.
    :raises UsageError: there is no such environment, or it cannot have such settings.
    """
    try:
        chosen = settings_of(settings)
        # That of a URL may have any name.
        environment = make_environment(
            name, replace(chosen, executor=executor) if executor in EXECUTORS else chosen
        )
    except ValueError as error:
        raise UsageError(f"--env: {error}") from error
    availability = environment.available()
    if not availability:
        return Obstacle(CellStatus.UNAVAILABLE, availability.reason, availability.remedy)
    try:
        environment.prepare(progress)
    except ExecutorUnavailable as error:
        return Obstacle(CellStatus.UNAVAILABLE, error.reason, error.remedy)
    except (ClientError, OSError) as error:
        return Obstacle(CellStatus.BROKEN, f"it could not be prepared: {error}")
    return None


def prepare_python(version: str, progress: Progress) -> Obstacle | None:
    """Makes what a Python needs once on this machine to run tests. It blocks."""
    if version == own_python():
        return None
    from harness.matrix.pythons import PythonsFailed, interpreter

    try:
        interpreter(version, cache_folder(), progress)
    except PythonsFailed as error:
        return Obstacle(CellStatus.UNAVAILABLE, str(error))
    return None


def settings_of(flags: Sequence[str]) -> Settings:
    """Returns what *flags* say, else environment variables.

    :raises UsageError: a value cannot be meant so.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_settings(parser)
    return chosen_settings(parser.parse_args(list(flags)))


def flags_of(options: argparse.Namespace, key: CellKey) -> tuple[str, ...]:
    """Returns what a command line says of a cell's environment and executor, as pytest takes it; see
    :func:`settings_of`.

    What environment variables say stays with them: on another machine it would mean nothing.
    """
    chosen: dict[str, object] = {}
    place = place_of(key.environment)
    if place == "docker":
        chosen = {option.flag: getattr(options, option.destination) for option in DOCKER_OPTIONS}
    elif place.startswith(PREFIX):
        chosen = {option.flag: getattr(options, option.destination) for option in REMOTE_OPTIONS}
    elif is_url(place):
        chosen = {option.flag: getattr(options, option.destination) for option in URL_OPTIONS}
    elif place == "wine-exec":
        chosen = {
            f"--{name.replace('_', '-')}": getattr(options, name) for name in ("windows_python", "wine")
        }
    if key.executor == PEER:
        chosen["--codex-binary"] = options.codex_binary
    return tuple(f"{flag}={value}" for flag, value in chosen.items() if value is not None)
