"""What came of the canaries, as people and ``crossexec doctor`` hear of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.doctor import State, canaries


def test_the_doctor_tells_of_each_backend() -> None:
    (fact,) = canaries.facts()
    words = subprocess.run([sys.executable, "-m", "executors.sandbox"], capture_output=True, text=True)
    assert fact.found == "; ".join(words.stdout.splitlines())
    assert (fact.state is State.OK) == (words.returncode == 0) == ("proved by" in fact.found)
    assert bool(fact.remedy) == fact.state.is_bad


def test_the_doctor_says_why_it_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (fact,) = canaries.facts()
    assert fact.state is State.BROKEN
    assert fact.found.startswith("the canaries ended with 1")


def test_the_doctor_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "_SECONDS", 0.01)
    (fact,) = canaries.facts()
    assert fact.found == "the canaries have not ended within 0.01 s"
