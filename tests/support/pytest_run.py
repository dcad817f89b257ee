"""Runs of pytest in a directory of their own, with the plugin loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]
"""Runs pytest on the text of a test module, with arguments; returns its result."""

ROOT = Path(__file__).resolve().parents[2]
LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]


def make_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("CROSSEXEC_ENV", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)

    def run(source: str, *args: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(*LOAD, "-p", "no:cacheprovider", "-rA", *args)

    return run
