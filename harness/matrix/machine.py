"""What a report tells of the machine and the sources that it is about."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from executors import __version__
from harness.matrix.workers import processors

_GIT_SECONDS: Final = 30.0


def describe_machine() -> dict[str, str]:
    """Returns what is known of this machine, by names for people."""
    told = {
        "crossexec": __version__,
        "pytest": _version("pytest"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "distribution": _distribution(),
        "processors": str(processors()),
        "memory": _memory(),
    }
    return {name: text for name, text in told.items() if text.strip()}


def commit_of(root: Path, suites: Sequence[Path]) -> str:
    """Returns the commit that the suites are of, followed by ``+`` where the sources differ from it; nothing
    where git does not know them.

    :param root: a folder of the sources.
    :param suites: folders of tests.
    """
    # An installed package may lie in somebody's checkout, which says nothing about it.
    if not suites or not _git(root, "ls-files", "--", str(suites[0])):
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    return f"{commit}+" if commit and _git(root, "status", "--porcelain") else commit


def _git(folder: Path, *arguments: str) -> str:
    """Returns what git prints; nothing where it fails or is not there."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "--no-optional-locks", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.decode(errors="replace").strip()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        # macOS and Windows have none; their releases say it.
        return platform.mac_ver()[0] or " ".join(platform.win32_ver()[:2])


def _memory() -> str:
    # Windows has no such call, and says nothing then.
    sysconf = getattr(os, "sysconf", None)
    if sysconf is None:
        return ""
    try:
        return f"{sysconf('SC_PAGE_SIZE') * sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (OSError, ValueError):
        return ""
