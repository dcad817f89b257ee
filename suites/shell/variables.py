"""The least environment in which programs start."""

from __future__ import annotations

from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from suites.asking import ask


def bare_environment(env: RunningEnvironment, python: BoundPython) -> dict[str, str]:
    """Windows programs do not start without SystemRoot; elsewhere Python would add a locale of its own."""
    if env.platform == "windows":
        return {"SYSTEMROOT": ask(python, "answer = os.environ['SYSTEMROOT']")}
    return {"LC_ALL": "C.UTF-8"}
