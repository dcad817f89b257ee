"""What was made once for Wine: what of it is in use, and its removal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness.cleaning import Cleaned, Removed, freed_by, names_in_use, sweep
from harness.progress import SILENT
from harness.settings import Settings
from harness.shared import remove, try_lock
from harness.wine.errors import WineFailed
from harness.wine.machine import wanted_trees
from harness.wine.windows_python import BUILDING, windows_python
from harness.wine.workplace import living

_KINDS: Final = {
    "executor-": "executor for Wine",
    "packages-": "packages for Wine",
    "prefix-": "Wine prefix",
    "python-": "Windows Python",
}
_BUILDS: Final = "windows-python-build"  # as harness.wine.crossbuild has it


def in_use(cache: Path) -> list[str]:
    """Returns, for people, what is made or used at this moment."""
    if not cache.is_dir():
        return []
    found = [f"a run under Wine in {folder}" for folder in living(cache)]
    found += names_in_use(cache, _KINDS)
    with try_lock(cache / BUILDING) as is_free:
        if not is_free:
            found.append("a build of the Windows Python")
    return found


def clean(settings: Settings, cache: Path, everything: bool) -> Cleaned:
    """Removes trees that the present code would not use with *settings*; with *everything*, the others too.

    What somebody uses stays. What a build has left goes when the build is done; one that was broken off goes
    on from there.
    """
    cleaned = Cleaned()
    if not cache.is_dir():
        return cleaned
    is_wanted: Callable[[str], bool] = lambda name: not everything  # noqa: E731
    if not everything:
        try:
            is_wanted = wanted_trees(settings, cache)
        except WineFailed as error:
            cleaned.kept.append(f"what is old in {cache}: nobody can tell: {error}")
    cleaned += sweep(cache, _KINDS, is_wanted)
    if everything or windows_python(None, cache, SILENT).tree.exists():
        cleaned += _remove_build(cache)
    return cleaned


def _remove_build(cache: Path) -> Cleaned:
    folder = cache.parent / _BUILDS
    if not folder.exists():
        return Cleaned()
    size = freed_by(folder)
    with try_lock(cache / BUILDING) as is_free:
        if not is_free:
            return Cleaned(kept=[f"{folder}: a Windows Python is being built there"])
        try:
            remove(folder)
        except OSError as error:
            return Cleaned(kept=[f"{folder} cannot be removed: {error}"])
    return Cleaned([Removed("folder of the build of a Windows Python", size)])
