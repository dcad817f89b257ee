"""Builds a CPython for 64-bit Windows on Linux, to run under Wine, from sources alone.

The sources are Debian's upstream tarballs, the compiler is the clang of PyPI's ``ziglang``, and the
target is ``x86_64-windows-gnu`` with the Universal C Runtime, so that wheels for win_amd64 load.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.progress import Progress
from harness.wine.crossbuild import pins
from harness.wine.crossbuild.cpython import Folders, compile_cpython, write_headers
from harness.wine.crossbuild.edits import EDITS, apply_edits
from harness.wine.crossbuild.extensions import prepare_libffi
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.gate import run_gate
from harness.wine.crossbuild.openssl import build_openssl, prepare_openssl
from harness.wine.crossbuild.patches import OPENSSL_PATCHES, PYTHON_PATCHES, apply_patches
from harness.wine.crossbuild.product import add_library, link_product
from harness.wine.crossbuild.sources import fetch_sources, patches_of, unpack
from harness.wine.crossbuild.tools import ALTERNATIVE, check_tools, fetch_compiler
from harness.wine.crossbuild.wine import use_wine

__all__ = ["BuildFailed", "build_windows_python", "recipe_key"]

_FOLDER: Final = "windows-python-build"
_PATCHED: Final = (pins.PYTHON.package, pins.OPENSSL.package)
_ONLY_FOR_A_BUILD: Final = ("stages", "tools", "compiled")


def recipe_key() -> str:
    """Returns what the result depends on, as a short hexadecimal name: this package's own sources."""
    return key_of(Path(__file__).parent)


def key_of(package: Path) -> str:
    """Returns the key of another copy of this package."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        if path.name != "__main__.py":
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build_windows_python(destination: Path, progress: Progress, *, keep: bool = False) -> None:
    """Builds a Windows Python in the folder *destination*, which is made.

    What is downloaded and compiled lies below :func:`harness.cache.cache_folder`, and a build that
    was ended at any point goes on from there. No two may run at a time with one cache folder.

    :param keep: keep what was compiled even when the build is done, for work on the build itself.
    :raises BuildFailed: something is missing here or went wrong; *destination* is then no Python.
    """
    check_tools()
    work = cache_folder() / _FOLDER
    try:
        _build(destination, work, progress)
        if not keep:
            # Downloads stay: less than 200 MB, for the next recipe.
            for name in _ONLY_FOR_A_BUILD:
                shutil.rmtree(work / name, ignore_errors=True)
    except OSError as error:
        raise BuildFailed(
            f"Building a Windows Python in {work} failed: {error}. Until it is done it takes 2 GB there, and "
            "the folder must be writable: make room, or name another cache folder by the variable "
            f"CROSSEXEC_CACHE. What is done already is kept. {ALTERNATIVE}"
        ) from error


def _build(destination: Path, work: Path, progress: Progress) -> None:
    downloads, tools, stages = work / "downloads", work / "tools", work / "stages"
    for folder in (downloads, tools):
        folder.mkdir(parents=True, exist_ok=True)
    _begin(stages)
    with progress.stage("fetching the compiler"):
        compiler = fetch_compiler(downloads, tools, work / "compiled")
    with progress.stage("fetching sources", len(pins.SOURCES)) as stage:
        fetch_sources(pins.SOURCES, _PATCHED, downloads, stage)
    sources = _unpack_all(downloads, stages / "sources", progress)
    folders = Folders(sources, stages / "headers", stages / "objects")
    write_headers(folders)
    with progress.stage("preparing the compiler", 2) as stage:
        compiler.prepare(stages / "compiler", stage)
    openssl = build_openssl(sources["openssl"], folders.objects / "openssl", compiler, progress)
    with use_wine(progress) as wine:
        objects = compile_cpython(folders, compiler, wine, progress)
        link_product(destination, folders, objects, openssl, compiler, progress)
        add_library(destination, folders, wine, progress)
        run_gate(destination, sources["python"], stages / "gate", wine, progress)


def _begin(stages: Path) -> None:
    """Makes the folder of what depends on the recipe; that of another recipe is deleted."""
    recipe = stages / "recipe"
    if not recipe.exists() or recipe.read_text() != recipe_key():
        if stages.exists():
            shutil.rmtree(stages)
        stages.mkdir(parents=True)
        recipe.write_text(recipe_key())


def _prepare_python(downloads: Path, folder: Path) -> None:
    apply_patches(PYTHON_PATCHES, patches_of(pins.PYTHON.package, downloads), folder)
    apply_edits(EDITS, folder)


def _prepare_openssl(downloads: Path, folder: Path) -> None:
    apply_patches(OPENSSL_PATCHES, patches_of(pins.OPENSSL.package, downloads), folder)
    prepare_openssl(folder)


def _unpack_all(downloads: Path, folder: Path, progress: Progress) -> dict[str, Path]:
    prepare: dict[pins.Source, tuple[str, Callable[[Path], None]]] = {
        pins.PYTHON: ("python", partial(_prepare_python, downloads)),
        pins.LIBFFI: ("libffi", prepare_libffi),
        pins.ZLIB: ("zlib", lambda source: None),
        pins.BZIP2: ("bzip2", lambda source: None),
        pins.OPENSSL: ("openssl", partial(_prepare_openssl, downloads)),
    }
    folder.mkdir(exist_ok=True)
    unpacked = {}
    with progress.stage("unpacking sources", len(prepare)) as stage:
        for source, (name, work) in prepare.items():
            unpacked[name] = unpack(source, downloads, folder / name, work)
            stage.advance()
    return unpacked
