"""What the executor ``codex`` needs beside the environment that it runs in."""

from __future__ import annotations

from typing import Final

from harness.doctor.model import Fact, State
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.local import runs_here
from harness.executor_kinds.codex.npm import INSTALL, PeerFailed, find_npm
from harness.executor_kinds.codex.release import LINUX, VERSION, WINDOWS, Package
from harness.settings import Settings

_GROUP: Final = "executor codex"
_FETCH: Final = "now: crossexec prepare --executor=codex --env="


def facts(settings: Settings) -> list[Fact]:
    elsewhere = runs_here()
    if elsewhere is not None:
        return [
            Fact(
                _GROUP, "program", State.NOT_NEEDED, f"it is run on Linux on x86-64 alone: {elsewhere.reason}"
            )
        ]
    return [
        _program(settings, "for local, docker", LINUX, "local"),
        _program(settings, "for wine-exec", WINDOWS, "wine-exec"),
        _npm(),
    ]


def _program(settings: Settings, name: str, package: Package, environment: str) -> Fact:
    try:
        found = program.find(settings.codex_binary, package)
    except PeerFailed as error:
        return Fact(_GROUP, name, State.BROKEN, error.reason, error.remedy)
    if found is not None:
        return Fact(_GROUP, name, State.OK, f"{VERSION}, {found.origin}: {found.file}")
    if find_npm() is None:
        return Fact(_GROUP, name, State.MISSING, f"no {package.spec}, and no npm to fetch it", INSTALL)
    later = f"npm fetches {package.spec} at the first start, half a gigabyte unpacked"
    return Fact(_GROUP, name, State.LATER, later, f"{_FETCH}{environment}")


def _npm() -> Fact:
    npm = find_npm()
    if npm is None:
        return Fact(_GROUP, "npm", State.NOT_NEEDED, "none in PATH; it only fetches the program")
    return Fact(_GROUP, "npm", State.OK, npm)
