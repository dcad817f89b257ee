"""Other Pythons that run the tests: interpreters on this machine, and a virtual environment for each."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Annotated, Final

import msgspec

from executors import __version__
from harness.client.errors import ClientError
from harness.progress import Progress
from harness.shared import create_once

EXTRAS: Final = ("docker", "fast", "matrix", "mcp")
"""What the runs of cells have beside the package itself."""

READY: Final = "ready"
FOLDER: Final = "pythons"
"""What holds the virtual environments in the cache: ``X.Y-KEY/venv``, whole once ``ready`` is beside it."""

_OLDEST: Final = (3, 11)
_VERSION: Final = re.compile(r"(\d)\.(\d+)")
_PROBE_SECONDS: Final = 60.0
_PIP_SECONDS: Final = 900.0
_ROOT: Final = Path(__file__).resolve().parents[2]

# A version manager leaves commands on PATH that fail when they are run, so each is run.
_PROBE: Final = """
import importlib.util, json, sys
print(json.dumps({
    "version": sys.version.split()[0],
    "implementation": sys.implementation.name,
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
    "program": getattr(sys, "_base_executable", sys.executable),
    "venv": bool(importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")),
}))
"""


class PythonsFailed(ClientError):
    """A Python cannot be had; the text says what was tried, what was found and the remedy."""


class _Found(msgspec.Struct, frozen=True):
    """What an interpreter tells of itself.

    :ivar program: itself, or inside a virtual environment the one that this was made with.
    """

    version: str
    implementation: str
    free_threaded: bool
    program: Annotated[str, msgspec.Meta(min_length=1)]
    venv: bool

    def objection(self, version: str) -> str:
        """Why it cannot serve as a Python of *version*; empty if it can."""
        if self.implementation != "cpython" or self.free_threaded:
            kind = "a free-threaded build" if self.free_threaded else self.implementation
            return f"is {kind} {self.version}, not an ordinary CPython"
        if self.version.split(".")[:2] != version.split("."):
            return f"is Python {self.version}"
        if not self.venv:
            return (
                f"is Python {self.version} without the modules venv and ensurepip "
                f"(Debian and Ubuntu have them in python{version}-venv)"
            )
        return ""


def interpreter(version: str, cache: Path, progress: Progress) -> Path:
    """Returns the program of a CPython of that version that has this crossexec and what its cells need.

    It is the running one, if that is of the version; else one in a virtual environment in *cache*, which is
    made by the first of all processes that asks, with pip. It blocks.

    Looked for are, in this order: the command in the variable ``PYTHON``, ``python3`` and ``pythonX.Y`` on
    PATH, pyenv's versions, and what the launcher ``py`` knows, which is there on Windows as a rule.

    :param version: such as ``3.13``.
    :raises PythonsFailed: there is none, or the virtual environment cannot be made.
    """
    numbers = _VERSION.fullmatch(version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < _OLDEST:
        raise PythonsFailed(
            f"Python {version!r}: a version from {_OLDEST[0]}.{_OLDEST[1]} on is wanted, such as 3.13"
        )
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return Path(sys.executable)
    found = find_python(version)
    what = _requirement()
    folder = cache / FOLDER / _name(version, found, what)
    program = _program_of(folder / "venv")

    def make(ready: Path) -> None:
        _make_environment(folder / "venv", program, found, what, progress)
        ready.write_text(f"crossexec {__version__} with Python {found.version} of {found.program}\n", "utf-8")

    # A virtual environment cannot be moved, so it is made where it stays, and a file says that it is whole.
    create_once(folder / READY, make)
    return program


def wanted_environments(versions: Iterable[str]) -> set[str]:
    """Returns the names of the virtual environments in the cache that would serve for *versions* now."""
    what = _requirement()
    names = set()
    for version in versions:
        with suppress(PythonsFailed):
            names.add(_name(version, find_python(version), what))
    return names


def _name(version: str, found: _Found, what: _Requirement) -> str:
    key = hashlib.sha256(json.dumps([found.program, found.version, *what.state]).encode()).hexdigest()[:16]
    return f"{version}-{key}"


def find_python(version: str) -> _Found:
    """Returns the first ordinary CPython of that version, with the module venv.

    :raises PythonsFailed: this machine has none.
    """
    tried: list[str] = []
    for command in _candidates(version):
        found = _probe(command)
        objection = found if isinstance(found, str) else found.objection(version)
        if not objection and isinstance(found, _Found):
            return found
        tried.append(f"\n  {' '.join(command)}: {objection}")
    raise PythonsFailed(
        f"no CPython {version} on this machine. Tried PYTHON, python3, python{version}, pyenv's versions and "
        f"the launcher py; found:{''.join(tried) or ' nothing'}\n"
        f"Install Python {version}, or name it with the variable PYTHON"
    )


def _candidates(version: str) -> Iterator[tuple[str, ...]]:
    for name in (os.environ.get("PYTHON"), "python3", f"python{version}"):
        path = shutil.which(name) if name else None
        if path is not None:
            yield (path,)
        elif name and name == os.environ.get("PYTHON"):
            yield (name,)
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    for versions in (pyenv / "versions", pyenv / "pyenv-win" / "versions"):
        for folder in sorted(versions.glob(f"{version}.*"), key=_natural, reverse=True):
            for program in (folder / "bin" / "python", folder / "python.exe"):
                if program.is_file():
                    yield (str(program),)
    if (launcher := shutil.which("py")) is not None:
        yield (launcher, f"-{version}")


def _natural(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


def _probe(command: Sequence[str]) -> _Found | str:
    """What the interpreter tells of itself, or why it tells nothing."""
    try:
        ended = subprocess.run(
            [*command, "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        return msgspec.json.decode(ended.stdout, type=_Found)
    except subprocess.TimeoutExpired:
        return f"gives no answer within {_PROBE_SECONDS:g} s"
    except OSError as error:
        return f"cannot be run: {error.strerror or error}"
    except msgspec.DecodeError:
        said = (ended.stderr or ended.stdout).decode(errors="replace").split("\n")
        # The first line of what it complains of says enough.
        return next((line.strip() for line in said if line.strip()), "gives no answer")


class _Requirement(msgspec.Struct, frozen=True):
    """This crossexec, for another Python's pip.

    :ivar arguments: of ``pip install``.
    :ivar state: what a virtual environment with it depends on.
    """

    arguments: tuple[str, ...]
    state: tuple[str, ...]


class _DirInfo(msgspec.Struct, frozen=True):
    editable: bool = False


class _VcsInfo(msgspec.Struct, frozen=True):
    vcs: str
    commit_id: str


class _DirectUrl(msgspec.Struct, frozen=True):
    """``direct_url.json`` of the specification "Recording the Direct URL Origin", from PEP 610."""

    url: str
    dir_info: _DirInfo | None = None
    vcs_info: _VcsInfo | None = None
    subdirectory: str = ""

    def reference(self) -> str:
        """The URL as a requirement has it."""
        url = self.url
        if self.vcs_info is not None:
            url = f"{self.vcs_info.vcs}+{url}@{self.vcs_info.commit_id}"
        return f"{url}#subdirectory={self.subdirectory}" if self.subdirectory else url


def _requirement() -> _Requirement:
    extras = ",".join(EXTRAS)
    try:
        installed: Distribution | None = distribution("crossexec")
    except PackageNotFoundError:
        installed = None
    direct = None
    if installed is not None and (recorded := installed.read_text("direct_url.json")) is not None:
        direct = msgspec.json.decode(recorded, type=_DirectUrl)
    is_checkout = (_ROOT / "pyproject.toml").is_file()
    if is_checkout:
        arguments: tuple[str, ...] = ("--editable", f"{_ROOT}[{extras}]")
        # What was installed may be older than what the project asks for now.
        needs = hashlib.sha256((_ROOT / "pyproject.toml").read_bytes()).hexdigest()
    else:
        origin = f" @ {direct.reference()}" if direct is not None else f"=={__version__}"
        arguments = (f"crossexec[{extras}]{origin}",)
        needs = "\n".join((installed.requires if installed is not None else None) or ())
    return _Requirement(arguments, (__version__, *arguments, needs, platform.machine()))


def _program_of(environment: Path) -> Path:
    scripts = sysconfig.get_path("scripts", scheme="venv", vars={"base": str(environment)})
    return Path(scripts, f"python{sysconfig.get_config_var('EXE') or ''}")


def _make_environment(
    folder: Path, program: Path, found: _Found, what: _Requirement, progress: Progress
) -> None:
    with progress.stage(f"making a virtual environment for Python {found.version}", 3) as stage:
        _run([found.program, "-I", "-m", "venv", "--clear", str(folder)], "making the virtual environment")
        stage.advance()
        pip = [
            str(program),
            "-I",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
        remedy = "\npip needs a package index that answers the first time"
        _run([*pip, *what.arguments], f"installing crossexec for Python {found.version}", remedy)
        stage.advance()
        told = [str(program), "-I", "-c", "import executors; print(executors.__version__)"]
        version = _run(told, f"asking Python {found.version} for its crossexec").strip()
        if version != __version__:
            raise PythonsFailed(
                f"pip has installed crossexec {version} for Python {found.version}, and this one is "
                f"{__version__}: install {' '.join(what.arguments)} for both alike"
            )
        stage.advance()


def _run(command: Sequence[str], what: str, remedy: str = "") -> str:
    """Returns what the command printed.

    :raises PythonsFailed: it cannot be run, failed or hangs.
    """
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PythonsFailed(f"{what} has not ended within {_PIP_SECONDS:g} s{remedy}") from None
    except OSError as error:
        raise PythonsFailed(f"{what}: {command[0]} cannot be run: {error.strerror or error}") from error
    said = ended.stdout.decode(errors="replace").strip()
    if ended.returncode != 0:
        raise PythonsFailed(
            f"{what} failed with exit status {ended.returncode} of {' '.join(command)}:\n{said}{remedy}"
        )
    return said
