"""Bubblewrap, which runs a program in namespaces of its own. Linux."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Final

from harness.doctor.model import Fact, State

_SECONDS: Final = 15.0
_OPTIONS: Final = (
    *("--die-with-parent", "--new-session", "--unshare-user", "--unshare-pid", "--unshare-net"),
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
)


def facts() -> list[Fact]:
    if not sys.platform.startswith("linux"):
        return []
    program = shutil.which("bwrap")
    if program is None:
        return [_fact(State.MISSING, "no bwrap in PATH", "apt-get install bubblewrap")]
    version, trouble = _run([program, "--version"])
    if not trouble:
        # Itself in there is a program that is there for certain.
        _, trouble = _run([program, *_OPTIONS, "--", program, "--version"])
    if trouble:
        return [
            _fact(
                State.BROKEN,
                f"{version or program} cannot make its namespaces: {trouble}",
                "see the namespaces above; or a bwrap that is setuid root",
            )
        ]
    return [_fact(State.OK, f"{version}, {program}; it can make namespaces of users, processes and networks")]


def _fact(state: State, found: str, remedy: str = "") -> Fact:
    return Fact("sandbox", "bubblewrap", state, found, remedy)


def _run(command: list[str]) -> tuple[str, str]:
    """Returns what it printed, and why it failed."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", f"no end within {_SECONDS:g} s"
    except OSError as error:
        return "", str(error)
    said = (ended.stderr.strip() or f"exit status {ended.returncode}") if ended.returncode else ""
    return ended.stdout.strip(), said
