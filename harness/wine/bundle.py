"""The packages that the executor needs on Windows."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from harness import packages
from harness.wine.errors import WineFailed

PINS: Final = Path(__file__).with_name("executor-win_amd64.txt")
"""The requirements file of the packages: versions, and hashes of their wheels."""
RELAY_PINS: Final = Path(__file__).with_name("relay-win_amd64.txt")
"""The same of what is needed besides to dial out."""
NEWEST: Final = (3, 14)
"""The newest Python that the pins have wheels for."""


def key_of_packages(version: tuple[int, int], *, relay: bool) -> str:
    """Tells one set of packages from another."""
    pins = b"".join(path.read_bytes() for path in _pins(relay))
    return hashlib.sha256(pins + repr(version).encode()).hexdigest()[:16]


def install_packages(folder: Path, version: tuple[int, int], *, relay: bool) -> None:
    """Downloads and unpacks the executor's dependencies for Windows into *folder*, by pip.

    :param version: of the Windows Python.
    :param relay: those too that are needed to dial out.
    :raises WineFailed: there are none for that version, or pip failed.
    """
    if version > NEWEST:
        raise WineFailed(
            f"the executor's packages are pinned for Python up to {NEWEST[0]}.{NEWEST[1]}, and the Windows "
            f"Python is {version[0]}.{version[1]}: give an older one"
        )
    arguments = ["--require-hashes"]
    for path in _pins(relay):
        arguments += ["--requirement", str(path)]
    try:
        packages.install_packages(
            folder, "the executor's packages for Windows", version, ["win_amd64"], arguments
        )
    except packages.PackagesFailed as error:
        raise WineFailed(str(error)) from error


def _pins(relay: bool) -> tuple[Path, ...]:
    return (PINS, RELAY_PINS) if relay else (PINS,)
