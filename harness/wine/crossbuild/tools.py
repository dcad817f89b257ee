"""What the build needs of the host, and the compiler that it fetches for itself."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.settings import read_settings
from harness.wine.crossbuild.commands import bare_environment, run
from harness.wine.crossbuild.compiler import Compiler
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.pins import (
    COMPILER,
    COMPILER_SHA256,
    COMPILER_VERSION,
    MACHINE,
    RELEASED,
    is_pinned,
)
from harness.wine.errors import WineFailed
from harness.wine.program import find_wine

ALTERNATIVE: Final = (
    "Or build nothing: give an official Windows Python 3.13 (the embeddable zip from python.org, or an "
    "unpacked Windows Python) by --windows-python=PATH or the variable CROSSEXEC_WINDOWS_PYTHON."
)
"""Goes with every error that stops a build before it has begun."""

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_PROGRAMS: Final[Mapping[str, str]] = {
    "apt-get": "apt",
    "make": "make",
    "patch": "patch",
    "perl": "perl",
    "setpriv": "util-linux",
}
"""The Debian package that each program comes in."""


def check_tools(keyring: Path = KEYRING) -> None:
    """Looks for all that the build needs of the host, before it begins.

    :raises BuildFailed: something is missing; the text names all of it.
    """
    if sys.platform != "linux" or platform.machine() != MACHINE:
        raise BuildFailed(f"A Windows Python can be built on Linux with {MACHINE} only. {ALTERNATIVE}")
    missing = {program: package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    # OpenSSL's Configure needs modules that Debian's perl-base, always there, leaves out.
    if "perl" not in missing and not _perl_is_whole():
        missing["perl's modules"] = "perl"
    if not keyring.exists():
        missing[str(keyring)] = "debian-archive-keyring"
    if _pip() is None:
        missing["pip"] = "python3-pip"
    try:
        find_wine(read_settings().wine)
    except WineFailed as error:
        missing[f"Wine ({error})"] = "wine"
    if missing:
        packages = " ".join(sorted(missing.values()))
        raise BuildFailed(
            f"Building a Windows Python needs what this machine has not got: {', '.join(missing)}. "
            f"Install it: apt-get install {packages}. {ALTERNATIVE}"
        )


def _pip() -> list[str] | None:
    """The command of this Python's pip, else of any: it only fetches a file."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    return [found] if (found := shutil.which("pip")) else None


def _perl_is_whole() -> bool:
    try:
        run(["perl", "-MIPC::Cmd", "-MFindBin", "-MFile::Compare", "-MPod::Usage", "-e1"], "Looking for perl")
    except BuildFailed:
        return False
    return True


def fetch_compiler(downloads: Path, folder: Path, cache: Path) -> Compiler:
    """Returns the pinned compiler, fetched by pip and unpacked below *folder* unless it is there.

    :param cache: where it keeps what it has compiled, its own start-up objects among it.
    :raises BuildFailed: the package index has not got it, or other bytes than were pinned.
    """
    home = folder / f"{COMPILER}-{COMPILER_VERSION}"
    if not home.exists():
        unfinished = folder / "compiler.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with zipfile.ZipFile(_fetch_wheel(downloads)) as wheel:
            wheel.extractall(unfinished)
        (unfinished / COMPILER / "zig").chmod(0o755)
        os.replace(unfinished, home)
    environment = bare_environment()
    environment |= {"HOME": str(folder), "SOURCE_DATE_EPOCH": RELEASED}
    environment |= {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
    return Compiler(home / COMPILER / "zig", environment)


def _fetch_wheel(downloads: Path) -> Path:
    """Returns the wheel, downloaded unless it is there."""
    destination = downloads / COMPILER_SHA256
    for wheel in destination.glob("*.whl"):
        if is_pinned(wheel, COMPILER_SHA256):
            return wheel
    pip = _pip()
    assert pip is not None, "looked for before the build began"
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text(f"{COMPILER}=={COMPILER_VERSION} --hash=sha256:{COMPILER_SHA256}\n")
        run(
            [
                *(*pip, "download", "--quiet", "--disable-pip-version-check", "--require-hashes"),
                *("--no-deps", "--only-binary=:all:", "--dest", destination, "--requirement", pinned),
            ],
            f"Downloading {COMPILER} {COMPILER_VERSION}",
            remedy=f"Check pip's package index and free disk space (`pip config list`). {ALTERNATIVE}",
        )
    (wheel,) = destination.glob("*.whl")
    return wheel
