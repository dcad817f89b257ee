"""Where the Windows Python for the executor comes from, and whether it is one that can serve."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from harness.progress import Progress
from harness.shared import LOCK
from harness.wine import crossbuild
from harness.wine.errors import WineFailed
from harness.wine.sealed import SealedTree

OLDEST: Final = (3, 11)
BUILDING: Final = "build"
"""Whoever builds has the lock of this name in the cache, see :mod:`harness.shared`."""
_REMEDY: Final = (
    "give an unpacked 64-bit (AMD64) Windows Python or the zip of an embeddable one, "
    f"{OLDEST[0]}.{OLDEST[1]} or newer, or neither to have one built from source"
)
_DLL: Final = re.compile(r"python(\d)(\d+)\.dll", re.IGNORECASE)
_MACHINES: Final = {0x8664: "AMD64", 0x014C: "x86, 32-bit", 0xAA64: "ARM64"}
_PE_OFFSET_AT: Final = 0x3C
_HEADER_BYTES: Final = 4096


@dataclass(frozen=True)
class WindowsPython:
    """A Windows Python in the cache.

    :ivar tree: holds python.exe at its top.
    :ivar origin: where it comes from, for people.
    """

    tree: SealedTree
    origin: str

    def version(self) -> tuple[int, int]:
        """Returns such as ``(3, 13)``; the tree must be there.

        :raises WineFailed: the tree is no Windows Python that can serve.
        """
        return check(self.tree.tree)


def windows_python(given: Path | None, cache: Path, progress: Progress) -> WindowsPython:
    """Returns the Python that was *given*, a zip or a folder, or the one that is built from source.

    Nothing is made yet: that is done by the tree.

    :raises WineFailed: there is nothing like a Windows Python at *given*.
    """
    if given is None:
        make, key, origin = _built(cache, progress), crossbuild.recipe_key(), "built"
    elif given.is_dir():
        check(given)
        make, key, origin = _copied(given), _key_of_folder(given), str(given)
    elif given.is_file():
        if not zipfile.is_zipfile(given):
            raise WineFailed(f"{given} is no zip file; {_REMEDY}")
        make, key, origin = _unzipped(given), _key_of_file(given), str(given)
    else:
        raise WineFailed(f"there is no Windows Python at {given}; {_REMEDY}")
    # Workers get another tree, made of this: what one does to its files must not cost a new build.
    tree = SealedTree(cache / f"python-{key[:16]}", make, is_linked=lambda path: False)
    return WindowsPython(tree, origin)


def check(folder: Path) -> tuple[int, int]:
    """Returns the version of the Windows Python in *folder*, such as ``(3, 13)``.

    :raises WineFailed: there is none that can serve.
    """
    program = folder / "python.exe"
    if not program.is_file():
        raise WineFailed(f"{folder} holds no python.exe; {_REMEDY}")
    machine = read_machine(program)
    if machine != "AMD64":
        raise WineFailed(f"{program} is for {machine}, not for AMD64; {_REMEDY}")
    versions = [(int(found[1]), int(found[2])) for found in map(_DLL.fullmatch, os.listdir(folder)) if found]
    if not versions:
        raise WineFailed(f"{folder} holds no python3XX.dll that would tell the version; {_REMEDY}")
    if max(versions) < OLDEST:
        raise WineFailed(f"{folder} holds Python {versions[0][0]}.{versions[0][1]}; {_REMEDY}")
    return max(versions)


def read_machine(program: Path) -> str:
    """Returns what a Windows program is for, by the machine field of its PE header.

    :raises WineFailed: it is no Windows program.
    """
    with program.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    try:
        (offset,) = struct.unpack_from("<I", header, _PE_OFFSET_AT)
        signature, machine = struct.unpack_from("<4sH", header, offset)
    except struct.error:
        signature = b""
    if header[:2] != b"MZ" or signature != b"PE\0\0":
        raise WineFailed(f"{program} is no Windows program; {_REMEDY}")
    return _MACHINES.get(machine, f"machine {machine:#x}")


def _built(cache: Path, progress: Progress) -> Callable[[Path], None]:
    def make(tree: Path) -> None:
        tree.rmdir()
        try:
            # Two recipes have two results, and the same place to build in.
            with FileLock(cache / f"{BUILDING}{LOCK}"):
                crossbuild.build_windows_python(tree, progress)
        except crossbuild.BuildFailed as error:
            raise WineFailed(str(error)) from error
        check(tree)

    return make


def _copied(source: Path) -> Callable[[Path], None]:
    def make(tree: Path) -> None:
        shutil.copytree(source, tree, dirs_exist_ok=True)

    return make


def _unzipped(source: Path) -> Callable[[Path], None]:
    def make(tree: Path) -> None:
        try:
            with zipfile.ZipFile(source) as archive:
                archive.extractall(tree)
        except (zipfile.BadZipFile, EOFError) as error:
            raise WineFailed(f"{source} cannot be unpacked: {error}; {_REMEDY}") from error
        try:
            check(tree)
        except WineFailed as error:
            raise WineFailed(str(error).replace(str(tree), str(source))) from None

    return make


def _key_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key_of_folder(folder: Path) -> str:
    """Tells one state of *folder* from another by its files' names, sizes and times."""
    told = hashlib.sha256(os.fsencode(folder.resolve()))
    for path, status in _files(folder):
        told.update(f"\0{path}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="surrogateescape"))
    return told.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder)), path.stat()
