"""Packages of another Python, fetched and unpacked by this one's pip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SECONDS: Final = 900.0


class PackagesFailed(Exception):
    """The text says what was tried, what was found and the remedy."""


def install_packages(
    folder: Path, what: str, version: tuple[int, int], platforms: Sequence[str], arguments: Sequence[str]
) -> None:
    """Puts wheels for a CPython elsewhere into *folder*, without byte code.

    :param what: they are, in the words of an error.
    :param version: of that Python, such as ``(3, 13)``.
    :param platforms: tags of wheels that fit it, such as ``win_amd64``.
    :param arguments: which packages, in words of ``pip install``.
    :raises PackagesFailed: pip is not there, failed or hangs.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--target", str(folder), "--no-compile", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", f"{version[0]}.{version[1]}"]
    for platform in platforms:
        command += ["--platform", platform]
    try:
        ended = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PackagesFailed(
            f"fetching {what} by pip has not ended within {_SECONDS:g} s: does the package index answer?"
        ) from None
    if ended.returncode != 0:
        said = ended.stdout.decode(errors="replace").strip()
        raise PackagesFailed(
            f"{what} could not be installed: pip ended with {ended.returncode}:\n{said}\n"
            "pip and a package index that answers are needed the first time"
        )
