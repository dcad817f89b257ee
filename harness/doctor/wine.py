"""What the environment ``wine-exec`` needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.doctor.model import Fact, State
from harness.progress import SILENT
from harness.settings import Settings
from harness.wine.crossbuild import BuildFailed
from harness.wine.crossbuild.tools import check_tools
from harness.wine.errors import WineFailed
from harness.wine.prefix import template
from harness.wine.program import REMEDY, Wine, find_wine
from harness.wine.windows_python import WindowsPython, windows_python

_NEEDED_BY: Final = ("wine-exec",)
_PREPARE: Final = "now: crossexec prepare --env=wine-exec"
# Where Wine 6 and newer, Debian's and Wine's own packages have what runs 64-bit programs.
_PARTS: Final = ("lib/wine", "lib64/wine", "lib/*/wine", "lib/wine/lib64/wine")
_INSTALL: Final = " Install it: "


def facts(settings: Settings) -> list[Fact]:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "amd64"):
        return [_fact("wine", State.NOT_NEEDED, "the environment wine-exec is for Linux on x86-64")]
    try:
        wine = find_wine(settings.wine)
        version = wine.version()
    except WineFailed as error:
        found, _, remedy = str(error).partition("; ")
        state = State.MISSING if str(error).endswith(REMEDY) else State.BROKEN
        return [_fact("wine", state, found, remedy), *_python(settings)]
    return [
        _fact("wine", State.OK, f"{version}, {wine.loader}"),
        _is_64_bit(wine),
        _prefix(wine, version),
        *_python(settings),
    ]


def _fact(name: str, state: State, found: str, remedy: str = "") -> Fact:
    return Fact("wine", name, state, found, remedy, _NEEDED_BY)


def _is_64_bit(wine: Wine) -> Fact:
    for part in _parts(wine.loader):
        if (part / "x86_64-unix").is_dir() or (part / "x86_64-windows").is_dir():
            return _fact("64-bit Windows", State.OK, f"in {part}")
    # Another package may have it elsewhere: a prefix that comes about says more than this.
    return Fact(
        "wine",
        "64-bit Windows",
        State.MISSING,
        f"nothing for 64-bit programs was found beside {wine.loader}",
        "Debian, Ubuntu: apt-get install wine64",
    )


def _parts(loader: Path) -> Iterator[Path]:
    for root in dict.fromkeys((loader.resolve().parents[1], loader.parents[1], Path("/usr"))):
        for pattern in _PARTS:
            yield from root.glob(pattern)


def _prefix(wine: Wine, version: str) -> Fact:
    tree = template(wine, version, cache_folder() / "wine")
    if tree.exists():
        return _fact("prefix template", State.OK, tree.folder.name)
    return _fact("prefix template", State.LATER, "made at the first start, in half a minute", _PREPARE)


def _python(settings: Settings) -> list[Fact]:
    cache = cache_folder() / "wine"
    try:
        python = windows_python(settings.windows_python, cache, SILENT)
        if python.tree.exists():
            version = ".".join(map(str, python.version()))
            return [
                _fact("Windows Python", State.OK, f"{version}, {_origin(python)}"),
                _fact("tools to build one", State.NOT_NEEDED, "there is one"),
            ]
    except WineFailed as error:
        found, _, remedy = str(error).partition("; ")
        return [_fact("Windows Python", State.BROKEN, found, remedy)]
    if settings.windows_python is not None:
        return [
            _fact(
                "Windows Python",
                State.LATER,
                f"{settings.windows_python} is unpacked and compiled at the first start",
                _PREPARE,
            ),
            _fact("tools to build one", State.NOT_NEEDED, "one is given"),
        ]
    later = "built at the first start, in 5 to 15 minutes and 2 GB of the cache"
    return [_fact("Windows Python", State.LATER, later, _PREPARE), _tools()]


def _origin(python: WindowsPython) -> str:
    return "built here" if python.origin == "built" else f"from {python.origin}"


def _tools() -> Fact:
    try:
        check_tools()
    except BuildFailed as error:
        found, _, remedy = str(error).partition(_INSTALL)
        return _fact("tools to build one", State.MISSING, found.rstrip("."), remedy)
    return _fact("tools to build one", State.OK, "all there")
