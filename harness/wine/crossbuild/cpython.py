"""Compiles CPython for Windows: the interpreter's DLL, its programs and its extension modules.

Which sources belong to what is read from Microsoft's project files in PCbuild.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.progress import Progress
from harness.wine.crossbuild.compiler import Compiler, Unit
from harness.wine.crossbuild.edits import COMPAT_HEADER
from harness.wine.crossbuild.extensions import EXTENSIONS, LIBFFI_FLAGS, LIBFFI_SOURCES
from harness.wine.crossbuild.freeze import freeze
from harness.wine.crossbuild.wine import Runner

DOTTED: Final = "3.13"
TAG: Final = "313"

_FLAGS: Final = (
    *("-std=gnu11", "-fwrapv", "-fno-strict-aliasing", "-mms-bitfields", "-fms-extensions", "-DWIN32"),
    "-Wno-incompatible-pointer-types",
)

_COMMON: Final = (
    *("-include", "{headers}/compat.h", "-I{headers}", "-I{python}/Include"),
    *("-I{python}/Include/internal", "-I{python}/Include/internal/mimalloc", "-I{python}/PC"),
)

_CORE: Final = (
    *(*_COMMON, "-I{python}", "-I{python}/Python", "-I{python}/Modules/_hacl/include"),
    *("-I{python}/Modules/_hacl/internal", "-I{zlib}"),
    *("-D_USRDLL", "-DPy_BUILD_CORE", "-DPy_BUILD_CORE_BUILTIN", "-DPy_ENABLE_SHARED"),
    *(f'-DMS_DLL_ID="{DOTTED}"', '-DPY3_DLLNAME=L"python3.dll"', "-D_Py_HAVE_ZLIB"),
)

_MODULE: Final = (*_COMMON, "-DPy_ENABLE_SHARED", "-D_WINDLL")

_OF_ONE_SOURCE: Final = {
    "getpath.c": (
        *("-DPREFIX=NULL", "-DEXEC_PREFIX=NULL", "-DVERSION=NULL", r'-DVPATH="..\\.."'),
        *('-DPYDEBUGEXT=""', '-DPLATLIBDIR="DLLs"'),
    ),
    "sysmodule.c": (r'-DVPATH="..\\.."',),
    "binascii.c": ("-DUSE_ZLIB_CRC32",),
}
"""The flags that the project files give to single sources."""

_INCLUDE_WHAT_IS_FROZEN: Final = frozenset({"getpath.c", "frozen.c"})

# The project files spell them so, and this file system minds case.
_HEADERS_IN_OTHER_CASE: Final = ("ProcessSnapshot.h", "Rpc.h", "Unknwn.h")


@dataclass(frozen=True)
class Folders:
    """Where things are while the build runs.

    :ivar sources: of each upstream, by its short name.
    :ivar headers: those that the build writes.
    :ivar objects: what is compiled.
    """

    sources: dict[str, Path]
    headers: Path
    objects: Path

    def fill(self, flags: Iterable[str]) -> tuple[str, ...]:
        """Returns the flags with ``{python}`` and the like replaced by folders."""
        known = {**self.sources, "headers": self.headers}
        return tuple(flag.format_map(known) for flag in flags)


@dataclass(frozen=True)
class Objects:
    """What is to be linked, compiled: of the interpreter's DLL, of its programs, of each module."""

    core: list[Path]
    programs: dict[str, list[Path]]
    extensions: dict[str, list[Path]]


def write_headers(folders: Folders) -> None:
    """Writes the headers that Microsoft's build has from elsewhere."""
    folders.headers.mkdir(parents=True, exist_ok=True)
    shutil.copy(folders.sources["python"] / "PC/pyconfig.h.in", folders.headers / "pyconfig.h")
    (folders.headers / "compat.h").write_text(COMPAT_HEADER)
    for name in _HEADERS_IN_OTHER_CASE:
        (folders.headers / name).write_text(f"#include <{name.lower()}>\n")


def compile_cpython(folders: Folders, compiler: Compiler, wine: Runner, progress: Progress) -> Objects:
    """Compiles everything of CPython and libffi.

    :raises BuildFailed: a tool failed.
    """
    python, libffi = folders.sources["python"], folders.sources["libffi"]
    core = _units(folders, "core", project_sources(folders, "pythoncore"), _CORE)
    late = [unit for unit in core if unit.source.name in _INCLUDE_WHAT_IS_FROZEN]
    early = [unit for unit in core if unit not in late]
    freezer_sources = [python / "Programs/_freeze_module.c", python / "Modules/getpath_noop.c"]
    freezer = _units(folders, "freezer", freezer_sources, _CORE)
    programs = {
        "python": _units(folders, "programs", [python / "Programs/python.c"], (*_COMMON, "-DPy_BUILD_CORE")),
        "pythonw": _units(folders, "programs", [python / "PC/WinMain.c"], (*_COMMON, "-DPy_BUILD_CORE")),
    }
    extensions = {
        extension.name: _units(
            folders,
            extension.name,
            project_sources(folders, extension.name),
            (*_MODULE, *extension.flags),
        )
        for extension in EXTENSIONS
    }
    extensions["_ctypes"] += _units(
        folders, "libffi", [libffi / source for source in LIBFFI_SOURCES], LIBFFI_FLAGS
    )
    units = [*early, *freezer]
    units += [unit for group in (*programs.values(), *extensions.values()) for unit in group]
    with progress.stage("compiling CPython", len(units)) as stage:
        compiler.compile(units, stage)
    freeze(python, compiler, [unit.object for unit in (*early, *freezer)], folders.objects, wine, progress)
    with progress.stage("compiling what is frozen", len(late)) as stage:
        compiler.compile(late, stage)
    return Objects(
        _objects(core),
        {name: _objects(group) for name, group in programs.items()},
        {name: _objects(group) for name, group in extensions.items()},
    )


def _objects(units: Iterable[Unit]) -> list[Path]:
    return [unit.object for unit in units]


def _units(folders: Folders, group: str, sources: Iterable[Path], flags: Iterable[str]) -> list[Unit]:
    """The units of a group of sources; their objects are named after their path below all sources."""
    filled = folders.fill(flags)
    top = folders.sources["python"].parent
    return [
        Unit(
            source,
            folders.objects / group / f"{'-'.join(source.relative_to(top).parts)}.o",
            (*_FLAGS, *filled, *_OF_ONE_SOURCE.get(source.name, ())),
        )
        for source in sources
    ]


def project_sources(folders: Folders, project: str) -> list[Path]:
    """The C sources that a project file of PCbuild names."""
    places = {
        "zlibDir": folders.sources["zlib"],
        "bz2Dir": folders.sources["bzip2"],
        # CPython 3.13 still carries its own copy.
        "mpdecimalDir": folders.sources["python"] / "Modules/_decimal",
    }
    builds = folders.sources["python"] / "PCbuild"
    text = (builds / f"{project}.vcxproj").read_text("utf-8-sig")
    found = []
    for name in re.findall(r'<ClCompile Include="([^"]+)"', text):
        variable = re.match(r"\$\((\w+)\)[\\/]?(.*)", name)
        folder, rest = (places[variable[1]], variable[2]) if variable else (builds, name)
        found.append(Path(os.path.normpath(folder / rest.replace("\\", "/"))))
    return found
