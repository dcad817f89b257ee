"""Runs the tools of the build, so that what they say of a failure reaches the reader."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.wine.crossbuild.failure import BuildFailed

_SHOWN_LINES: Final = 40
_SHOWN_CHARACTERS: Final = 2000

_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
"""Ends a tool with the thread that waits for it, so that none goes on writing when a build was killed:
prctl(2), PR_SET_PDEATHSIG."""


def run(
    command: Sequence[str | Path],
    what: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
    remedy: str = "",
) -> str:
    """Runs *command* to its end and returns what it printed, stderr among it.

    :param what: what it is for, in the words of an error: ``compiling x.c``.
    :param environment: the whole environment; by default this process's.
    :param seconds: after so many it is killed.
    :raises BuildFailed: it could not be started, takes too long, or its exit code is not 0.
    """
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        raise BuildFailed(f"{what} failed: there is no program {words[0]}")
    # No pipe: it would not end before the last of the processes that the command leaves behind.
    with tempfile.TemporaryFile() as output:
        try:
            ended = subprocess.run(
                [*_WITH_US, *words],
                cwd=folder,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
            found = f"exit code {ended.returncode}" if ended.returncode else ""
        except subprocess.TimeoutExpired:
            found = f"no end within {seconds:g} s"
        except OSError as error:
            raise BuildFailed(f"{what} failed: {words[0]} could not be started: {error}") from error
        output.seek(0)
        printed = output.read().decode(errors="replace")
    if found:
        line = shlex.join(words)
        shown = line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]} ..."
        raise BuildFailed(
            f"{what} failed with {found}.\nCommand: {shown}\n{tail(printed)}"
            + (f"\n{remedy}" if remedy else "")
        )
    return printed


def tail(text: str) -> str:
    """Returns the end of a tool's output, as much as an error should show."""
    lines = text.rstrip().splitlines()
    left_out = len(lines) - _SHOWN_LINES
    return "\n".join(lines if left_out <= 0 else [f"({left_out} lines before)", *lines[-_SHOWN_LINES:]])


def processors() -> int:
    """Returns how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def bare_environment() -> dict[str, str]:
    """Returns variables for a tool whose result must not depend on those of this process, as on CPATH."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8"}
