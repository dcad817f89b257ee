"""What is checked of the released exec-server, wherever it runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.client.errors import ConnectFailed
from harness.environments.base import Availability, EnvironmentFailed, ExecutorUnavailable, Running
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.npm import INSTALL, PeerFailed, find_npm
from harness.executor_kinds.codex.release import VERSION, Package

REMEDY: Final = (
    "try it by hand: CODEX_HOME=$(mktemp -d) codex exec-server --listen ws://127.0.0.1:0; if it is damaged, "
    "crossexec clean --all has it fetched again"
)


def available(given: Path | None, package: Package) -> Availability:
    """Tells whether the program is here or can be fetched."""
    try:
        found = program.find(given, package)
    except PeerFailed as error:
        return Availability(False, error.reason, error.remedy)
    if found is None and find_npm() is None:
        return Availability(False, f"no {package.spec} here, and no npm in PATH to fetch it", INSTALL)
    return Availability(True)


def check_version(up: Running) -> Running:
    """Returns *up* with what matters of it in a report.

    :raises ExecutorUnavailable: it is another version than the known gaps are told of.
    """
    version = up.info.executor_version or "none"
    if version != VERSION:
        raise ExecutorUnavailable(
            f"it says that it is version {version}; the known gaps are those of {VERSION}",
            "leave out --codex-binary to have that one",
        )
    return replace(up, facts={**up.facts, "executor": f"codex {version}"})


@contextmanager
def failures_told() -> Iterator[None]:
    """Says of what cannot be had or started that it is not available, with the remedy."""
    try:
        yield
    except PeerFailed as error:
        raise ExecutorUnavailable(error.reason, error.remedy) from error
    except ExecutorUnavailable:
        raise
    except (EnvironmentFailed, ConnectFailed) as error:
        raise ExecutorUnavailable(str(error), REMEDY) from error


@contextmanager
def workspace_removed(up: Running, is_local: bool) -> Iterator[None]:
    """Removes the workspace at the end, if it is on this machine; elsewhere the whole machine goes."""
    try:
        yield
    finally:
        if is_local:
            shutil.rmtree(up.workspace_root.render(), ignore_errors=True)
