"""The Pythons of this machine, and what fetches packages for others."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.doctor.model import Fact, State
from harness.matrix.pythons import PythonsFailed, find_python

_GROUP: Final = "python"
_VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
_SECONDS: Final = 20.0
_INDEX: Final = re.compile(
    r"^[\w:-]*\.(extra-index-url|index-url|find-links|no-index)='?(.*?)'?$", re.MULTILINE
)
_SECRET: Final = re.compile(r"//[^/@\s]*@")


def facts() -> list[Fact]:
    return [*map(_python, _VERSIONS), *_pip()]


def _python(version: str) -> Fact:
    name = f"Python {version}"
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Fact(_GROUP, name, State.OK, f"{sys.version.split()[0]}, {sys.executable}, which runs this")
    try:
        found = find_python(version)
    except PythonsFailed as error:
        *_, remedy = str(error).splitlines()
        return Fact(_GROUP, name, State.MISSING, "for matrix --python: none is here", remedy)
    return Fact(_GROUP, name, State.OK, f"{found.version}, {found.program}")


def _pip() -> list[Fact]:
    # Once packages are there, nobody asks for pip.
    needed_by = tuple(
        environment
        for environment, folder in (("docker", "docker"), ("wine-exec", "wine"))
        if not any(Path(cache_folder(), folder).glob("packages-*[0-9a-f]"))
    )
    if importlib.util.find_spec("pip") is None:
        remedy = f"{sys.executable} -m ensurepip; Debian, Ubuntu: apt-get install python3-pip"
        found = "this Python has none, and it fetches the executor's packages"
        return [Fact(_GROUP, "pip", State.MISSING, found, remedy, needed_by)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    try:
        version = _run([*command, "--version"]).split()[1]
        configured = _run([*command, "config", "list"])
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        return [
            Fact(_GROUP, "pip", State.BROKEN, f"{' '.join(command)}: {error}", "reinstall pip", needed_by)
        ]
    places = [
        f"{name} {_SECRET.sub('//', value)}" for name, value in dict.fromkeys(_INDEX.findall(configured))
    ]
    index = "; ".join(places) or "its own default, as nothing else is configured"
    return [
        Fact(_GROUP, "pip", State.OK, version),
        Fact(_GROUP, "package index", State.OK, f"{index}; it was not asked"),
    ]


def _run(command: list[str]) -> str:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
        check=True,
    ).stdout
