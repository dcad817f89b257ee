"""The tables of what other executors do differently."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from harness.executor_kinds import FEATURES, PEER
from harness.executor_kinds.codex.release import VERSION
from suites.expected import table_of

_ROOT = Path(__file__).resolve().parents[2]
_SUITES = sorted(path.parent.name for path in (_ROOT / "suites").glob("*/differences.py"))


@cache
def cases(suite: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-n0"]
    told = subprocess.run(
        [*command, f"suites/{suite}"], cwd=_ROOT, stdout=subprocess.PIPE, text=True, timeout=120, check=True
    )
    prefix = f"suites/{suite}/"
    return [line.removeprefix(prefix) for line in told.stdout.splitlines() if line.startswith(prefix)]


@pytest.mark.parametrize("suite", _SUITES)
def test_every_pattern_has_a_case(suite: str) -> None:
    names = cases(suite)
    assert names
    patterns = [pattern for _, patterns in table_of(suite) for pattern in patterns]
    assert [each.pattern for each in patterns if not any(map(each.fullmatch, names))] == []


@pytest.mark.parametrize("suite", _SUITES)
def test_every_difference_is_told_properly(suite: str) -> None:
    for marker, patterns in table_of(suite):
        mark = marker.mark
        assert patterns
        if mark.name == "needs_feature":
            assert mark.args[0] in FEATURES
        else:
            assert mark.name == "known_gap"
            assert mark.kwargs["executor"] == PEER
            # Of a flaw of Wine's that only this executor meets, the version is Wine's.
            assert mark.kwargs["version"] == VERSION or mark.kwargs["owner"] == "wine"
