"""Makes CPython's frozen modules: those that the interpreter needs before it can import a file.

A program of CPython's own makes them. It is built for Windows like the rest and run under Wine,
whatever the host's Python is, so that the result is the same everywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from harness.progress import Progress
from harness.wine.crossbuild.compiler import Compiler, Link
from harness.wine.crossbuild.extensions import INTERPRETER_LIBRARIES
from harness.wine.crossbuild.wine import Runner

_SECONDS: Final = 60.0


def freeze(
    python: Path,
    compiler: Compiler,
    objects: Sequence[Path],
    folder: Path,
    wine: Runner,
    progress: Progress,
) -> None:
    """Writes the headers in Python/frozen_modules that are not there yet.

    :param objects: the interpreter's, with the freezing program's instead of those that need the headers.
    :raises BuildFailed: a tool failed.
    """
    modules = {name: path for name, path in _modules(python).items() if not _header(python, name).exists()}
    with progress.stage("freezing modules", 1 + len(modules)) as stage:
        if not modules:
            return
        program = folder / "_freeze_module.exe"
        compiler.link([Link(program, (*objects, *INTERPRETER_LIBRARIES))], stage)
        for name, path in modules.items():
            header = _header(python, name)
            unfinished = header.with_name(f"{header.name}.unfinished")
            wine.run([program, name, path, unfinished], f"Freezing the module {name}", _SECONDS)
            os.replace(unfinished, header)
            stage.advance()


def _header(python: Path, name: str) -> Path:
    return python / f"Python/frozen_modules/{name}.h"


def _modules(python: Path) -> dict[str, Path]:
    """The modules to freeze, by name, and where each one's source is."""
    found = {"getpath": python / "Modules/getpath.py"}
    text = (python / "Python/frozen.c").read_text()
    for name in re.findall(r'#include "frozen_modules/(.+)\.h"', text):
        base = python / "Lib" / name.replace(".", "/")
        if name == "frozen_only":
            found[name] = python / "Tools/freeze/flag.py"
        elif base.is_dir():
            found[name] = base / "__init__.py"
        else:
            found[name] = base.with_name(f"{base.name}.py")
    return found
