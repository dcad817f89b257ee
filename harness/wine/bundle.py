"""What is brought to the target: the executor and the packages that it needs there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

import executors
from harness.wine.errors import WineFailed

PINS: Final = Path(__file__).with_name("executor-win_amd64.txt")
"""The requirements file of the packages: versions, and hashes of their wheels."""
NEWEST: Final = (3, 14)
"""The newest Python that the pins have wheels for."""
_DOWNLOAD_SECONDS: Final = 900.0


def key_of_packages(version: tuple[int, int]) -> str:
    """Tells one set of packages from another."""
    return hashlib.sha256(PINS.read_bytes() + repr(version).encode()).hexdigest()[:16]


class ExecutorSources:
    """The package ``executors`` as this process has it, read once, so that key and content agree."""

    def __init__(self) -> None:
        package = Path(executors.__file__).parent
        files = sorted(package.rglob("*.py"))
        self._content = {path.relative_to(package.parent): path.read_bytes() for path in files}

    def key(self, *parts: str) -> str:
        """Tells one state of it from another, and what is made of it by one of other *parts*."""
        told = hashlib.sha256("\0".join(parts).encode())
        for path, content in self._content.items():
            told.update(f"\0{path}\0{len(content)}\0".encode() + content)
        return told.hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """Makes the package in *folder*."""
        for path, content in self._content.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def install_packages(folder: Path, version: tuple[int, int]) -> None:
    """Downloads and unpacks the executor's dependencies for Windows into *folder*, by pip.

    :param version: of the Windows Python.
    :raises WineFailed: there are none for that version, or pip failed.
    """
    if version > NEWEST:
        raise WineFailed(
            f"the executor's packages are pinned for Python up to {NEWEST[0]}.{NEWEST[1]}, and the Windows "
            f"Python is {version[0]}.{version[1]}: give an older one"
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--target", str(folder), "--no-compile", "--platform", "win_amd64", "--implementation", "cp"]
    command += ["--python-version", f"{version[0]}.{version[1]}", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(PINS)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WineFailed(
            f"{command!r} has not ended within {_DOWNLOAD_SECONDS:g} s: is the package index reached?"
        ) from None
    if ended.returncode != 0:
        said = ended.stdout.decode(errors="replace").strip()
        raise WineFailed(
            f"the executor's packages for Windows could not be installed: {command!r} ended with "
            f"{ended.returncode}:\n{said}\npip and a package index are needed the first time"
        )
