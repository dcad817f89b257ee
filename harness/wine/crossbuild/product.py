"""Links the Windows Python and lays out its folder as python.org's installer does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from harness.progress import Progress, Stage
from harness.wine.crossbuild.compiler import Compiler, Link
from harness.wine.crossbuild.cpython import TAG, Folders, Objects
from harness.wine.crossbuild.extensions import EXTENSIONS, INTERPRETER_LIBRARIES
from harness.wine.crossbuild.openssl import OpenSSL
from harness.wine.crossbuild.wine import Runner

_NOT_SHIPPED: Final = (
    *("__pycache__", "curses", "ensurepip", "idlelib", "lib2to3", "test", "tests", "tkinter"),
    *("turtle.py", "turtledemo"),
)
"""Of the standard library: tests, what needs Tk or curses, and pip's wheels."""

_BYTECODE_SECONDS: Final = 300.0

_RANDOM_SOURCE: Final = """\
#include <windows.h>
#include <bcrypt.h>
__declspec(dllexport) BOOL WINAPI ProcessPrng(PUCHAR data, SIZE_T size) {
    while (size) {
        ULONG part = size > 0x10000000 ? 0x10000000 : (ULONG)size;
        if (BCryptGenRandom(NULL, data, part, BCRYPT_USE_SYSTEM_PREFERRED_RNG))
            return FALSE;
        data += part;
        size -= part;
    }
    return TRUE;
}
"""
"""``bcryptprimitives.dll``: Rust's standard library asks it for random bytes, and Wine 8.0 has none.
Python has no need of it, but wheels with Rust in them do. Windows has one."""


def link_product(
    destination: Path,
    folders: Folders,
    objects: Objects,
    openssl: OpenSSL,
    compiler: Compiler,
    progress: Progress,
) -> None:
    """Links all programs and libraries into *destination*, which is made.

    :raises BuildFailed: a tool failed.
    """
    shutil.rmtree(destination, ignore_errors=True)
    for name in ("DLLs", "libs"):
        (destination / name).mkdir(parents=True)
    with progress.stage("compiling resources", 3) as stage:
        resources = _compile_resources(folders, compiler, stage)
    imports = destination / f"libs/libpython{TAG}.a"

    stable_abi, random = folders.objects / "python3dll.c", folders.objects / "bcryptprimitives.c"
    stable_abi.write_text(_stable_abi(folders.sources["python"]))
    random.write_text(_RANDOM_SOURCE)
    interpreter = Link(
        destination / f"python{TAG}.dll",
        ("-shared", f"-Wl,--out-implib,{imports}", *objects.core, resources["core"], *INTERPRETER_LIBRARIES),
    )
    others = [
        Link(destination / "python3.dll", ("-shared", stable_abi)),
        Link(destination / "bcryptprimitives.dll", ("-shared", random, "-lbcrypt")),
    ]
    for name, options in {"python": (), "pythonw": ("-mwindows",)}.items():
        words: list[str | Path] = ["-municode", *options, "-Wl,--stack,8000000", *objects.programs[name]]
        others.append(Link(destination / f"{name}.exe", (*words, resources[name], imports)))
    for extension in EXTENSIONS:
        words = ["-shared", *objects.extensions[extension.name], imports]
        if extension.openssl:
            words += openssl.imports
        words += [f"-l{name}" for name in extension.libraries]
        others.append(Link(destination / f"DLLs/{extension.name}.pyd", tuple(words)))
    with progress.stage("linking Python", 1 + len(others)) as stage:
        for group in ([interpreter], others):
            compiler.link(group, stage)
    for library in openssl.libraries:
        shutil.copy(library, destination / "DLLs")
    # The linker leaves these too, and nobody needs them.
    for suffix in (".lib", ".pdb"):
        for path in destination.rglob(f"*{suffix}"):
            path.unlink()


def _compile_resources(folders: Folders, compiler: Compiler, stage: Stage) -> dict[str, Path]:
    """Versions, icons and the manifest, which says Windows 10 and long paths."""
    python = folders.sources["python"]
    level = re.search(r"define PY_MICRO_VERSION\s+(\d+)", (python / "Include/patchlevel.h").read_text())
    assert level is not None
    includes: list[str | Path] = ["/i", python / "PC", "/i", python / "Include", "/i", folders.headers]
    made = {}
    for name, script, original in (
        ("core", "python_nt", f"python{TAG}.dll"),
        ("python", "python_exe", "python.exe"),
        ("pythonw", "pythonw_exe", "pythonw.exe"),
    ):
        made[name] = folders.objects / f"{name}.res"
        # The last field as PCbuild/python.props computes it for a final release.
        defines = ["/d", f'ORIGINAL_FILENAME="{original}"', "/d", f"FIELD3={int(level[1]) * 1000 + 150}"]
        compiler.resource(python / f"PC/{script}.rc", made[name], [*includes, *defines])
        stage.advance()
    return made


def _stable_abi(python: Path) -> str:
    """The source of python3.dll: the names of the stable ABI, each forwarded to the interpreter's DLL."""
    names = re.findall(r"^EXPORT_(FUNC|DATA)\((\w+)\)", (python / "PC/python3dll.c").read_text(), re.M)
    exports = "".join(
        f'".ascii \\" -export:{name}=python{TAG}.{name}{",DATA" if kind == "DATA" else ""}\\"\\n"\n'
        for kind, name in names
    )
    return f'__asm__(".section .drectve,\\"yn\\"\\n"\n{exports});\n'


def add_library(destination: Path, folders: Folders, wine: Runner, progress: Progress) -> None:
    """Adds the standard library with its compiled form, and the headers.

    :raises BuildFailed: the interpreter does not run, or can't compile the library.
    """
    python = folders.sources["python"]
    with progress.stage("adding the standard library"):
        not_shipped = shutil.ignore_patterns(*_NOT_SHIPPED)
        shutil.copytree(python / "Lib", destination / "Lib", ignore=not_shipped)
        shutil.copytree(
            python / "Include", destination / "include", ignore=shutil.ignore_patterns("internal")
        )
        shutil.copy(folders.headers / "pyconfig.h", destination / "include")
        shutil.copy(python / "LICENSE", destination / "LICENSE.txt")
        # Unchecked, because copies of the folder need not keep the times of files.
        words: list[str | Path] = [destination / "python.exe", "-B", "-m", "compileall", "-q", "-q", "-f"]
        words += ["-j", "0", "--invalidation-mode", "unchecked-hash"]
        # Without the name of the folder, which will get another. It is taken off by its parts.
        place = f"Z:{destination}".replace("/", "\\")
        words += ["-s", place, rf"{place}\Lib"]
        wine.run(words, "Compiling the standard library to bytecode", _BYTECODE_SECONDS)
