"""The program that is run: the one that is given, the user's own, or one that is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.cleaning import Cleaned, names_in_use, sweep
from harness.executor_kinds.codex import npm
from harness.executor_kinds.codex.npm import INSTALL, PeerFailed
from harness.executor_kinds.codex.release import LINUX, VERSION, WINDOWS, Package
from harness.progress import Progress
from harness.shared import create_once, using

_ABOUT: Final = "codex-package.json"
_KINDS: Final = {"package-": "released exec-server"}


@dataclass(frozen=True)
class Program:
    """What is run.

    :ivar file: the program; what it needs lies in the folder above its own, as published.
    :ivar origin: where it comes from, for people.
    """

    file: Path
    origin: str

    @property
    def vendor(self) -> Path:
        return self.file.parents[1]


def find(given: Path | None, package: Package) -> Program | None:
    """Returns the program that is here already; None if it would have to be fetched.

    :param given: by the user, for one platform: it says nothing of another one's.
    :raises PeerFailed: what is given is not there, or of another version.
    """
    if given is not None and not _is_of_another_platform(given, package):
        return Program(_check_given(given, package), "given")
    kept = _kept(package)
    if kept.is_dir():
        return Program(package.program_in(package.vendor_in(kept)), "fetched by npm")
    installed = npm.find_installed(package)
    if installed is not None:
        return Program(package.program_in(package.vendor_in(installed)), f"installed in {installed}")
    return None


@contextmanager
def program(given: Path | None, package: Package, progress: Progress) -> Iterator[Program]:
    """The program, which stays as long as the context lasts; it is fetched if it is not here. It blocks.

    :param given: by the user.
    :raises PeerFailed: it cannot be had.
    """
    found = find(given, package)
    kept = _kept(package)
    if found is not None and not found.file.is_relative_to(kept):
        yield found
        return

    def fetch(folder: Path) -> None:
        with progress.stage(f"fetching {package.spec}"):
            npm.fetch(package, folder)

    try:
        create_once(kept, fetch)
    except OSError as error:
        remedy = "make room, or name another folder by the variable CROSSEXEC_CACHE"
        raise PeerFailed(f"{package.spec} cannot be kept in {kept.parent}: {error}", remedy) from error
    with using(kept, fetch) as folder:
        yield Program(package.program_in(package.vendor_in(folder)), "fetched by npm")


def clean(everything: bool) -> Cleaned:
    """Removes what was fetched and is of another version; with *everything*, all. Never what is in use."""
    wanted = {_kept(package).name for package in (LINUX, WINDOWS)}
    if not folder().is_dir():
        return Cleaned()
    return sweep(folder(), _KINDS, lambda name: not everything and name in wanted)


def in_use() -> list[str]:
    """Returns, for people, what of that is in use."""
    return names_in_use(folder(), _KINDS) if folder().is_dir() else []


def folder() -> Path:
    """Where what is fetched is kept, and the folders that running programs write to."""
    return cache_folder() / "codex"


def _kept(package: Package) -> Path:
    return folder() / f"package-{package.version}"


def _is_of_another_platform(given: Path, package: Package) -> bool:
    for other in (LINUX, WINDOWS):
        if other is not package and (
            given.name == Path(other.program).name
            or any(other.program_in(place).is_file() for place in (given, other.vendor_in(given)))
        ):
            return given.is_dir() or given.name != Path(package.program).name
    return False


def _check_given(given: Path, package: Package) -> Path:
    """Returns the program that *given* names: itself, or the unpacked package that it is in."""
    file = given.absolute()
    remedy = f"give the path of {package.program} of {package.spec}, with all that lies beside it, or nothing"
    if file.is_dir():
        for vendor in (file, package.vendor_in(file)):
            if package.program_in(vendor).is_file():
                file = package.program_in(vendor)
                break
    if not file.is_file():
        raise PeerFailed(f"there is no program {given}", remedy)
    file = file.resolve()
    try:
        version = json.loads((file.parents[1] / _ABOUT).read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise PeerFailed(f"{given} has no {_ABOUT} beside it that tells its version", remedy) from None
    if version != VERSION:
        raise PeerFailed(f"{given} is version {version}; the known gaps are those of {VERSION}", remedy)
    return file


__all__ = ["INSTALL", "PeerFailed", "Program", "clean", "find", "folder", "in_use", "program"]
