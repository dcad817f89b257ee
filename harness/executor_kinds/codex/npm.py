"""Packages by npm: those that the user has installed, and those of the registry."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from harness.client.errors import ClientError
from harness.executor_kinds.codex.release import NAME, Package

INSTALL: Final = (
    "install npm (Debian, Ubuntu: apt-get install npm), or name the program by --codex-binary or by "
    "the variable CROSSEXEC_CODEX_BINARY"
)
_ROOT_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 1800.0
_TAIL_CHARACTERS: Final = 2000


class PeerFailed(ClientError):
    """The program cannot be had or run; the text says what was tried and what was found.

    :ivar remedy: what would help.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


def find_npm() -> str | None:
    """Path of npm; None if there is none."""
    return shutil.which("npm")


def find_installed(package: Package) -> Path | None:
    """Folder of the package among what the user has installed for good; None if this version is not there."""
    npm = find_npm()
    if npm is None:
        return None
    try:
        told = subprocess.run(
            [npm, "root", "--global"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_ROOT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    root = told.stdout.strip()
    if told.returncode != 0 or not root:
        return None
    candidates = (NAME, package.alias, f"{NAME}/node_modules/{package.alias}")
    return next((Path(root, path) for path in candidates if _is(Path(root, path), package)), None)


def _is(folder: Path, package: Package) -> bool:
    try:
        told = json.loads((folder / "package.json").read_bytes())
    except (OSError, ValueError):
        return False
    program = package.program_in(package.vendor_in(folder))
    return isinstance(told, dict) and told.get("version") == package.version and program.is_file()


def fetch(package: Package, folder: Path) -> None:
    """Fetches the package, checks it, and unpacks it into *folder*, which must not be there.

    :raises PeerFailed: npm is not there, fails or hangs, or what came is not what is pinned.
    """
    npm = find_npm()
    if npm is None:
        raise PeerFailed(f"{package.spec} is to be fetched by npm, and there is no npm in PATH", INSTALL)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=folder.parent) as place:
        archive = _pack(npm, package, Path(place))
        found = integrity_of(archive)
        if found != package.integrity:
            raise PeerFailed(
                f"npm brought another {package.spec} than is pinned: {found}, not {package.integrity}",
                "ask whoever keeps the registry that npm asks: npm config get registry",
            )
        try:
            with tarfile.open(archive) as tar:
                # Before 3.11.4 there is no such filter; what is in it is pinned anyway.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(place)
        except (tarfile.TarError, EOFError) as error:
            raise PeerFailed(f"{package.spec} cannot be unpacked: {error}", "try again") from error
        Path(place, "package").rename(folder)


def _pack(npm: str, package: Package, place: Path) -> Path:
    # No settings of a project that happens to be the current directory.
    command = [npm, "pack", package.spec, "--silent", "--ignore-scripts"]
    remedy = f"see to it that this works: npm pack {package.spec}; {INSTALL.partition(', or ')[2]}"
    try:
        ended = subprocess.run(
            command,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerFailed(f"{' '.join(command)} has not ended within {_FETCH_SECONDS:g} s", remedy) from None
    except OSError as error:
        raise PeerFailed(f"{npm} cannot be started: {error}", INSTALL) from error
    archives = list(place.glob("*.tgz"))
    if ended.returncode != 0 or len(archives) != 1:
        said = ended.stdout.strip()[-_TAIL_CHARACTERS:] or "nothing"
        raise PeerFailed(f"npm pack {package.spec} ended with {ended.returncode} and said: {said}", remedy)
    return archives[0]


def integrity_of(file: Path) -> str:
    """Returns the SHA-512 of a file as Subresource Integrity spells it."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").digest()
    return f"sha512-{base64.b64encode(digest).decode()}"
