"""Runs ``crossexec`` as a person does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.watch import SECONDS

ROOT = Path(__file__).resolve().parents[2]
CROSSEXEC = [sys.executable, "-m", "harness.cli"]


@contextmanager
def started(
    command: list[str], env: dict[str, str], stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def up(env: dict[str, str], name: str = "local") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command once it has told its URL, and that."""
    with started([*CROSSEXEC, "up", name], env) as process:
        assert process.stdout and process.stderr
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        yield process, url


def run(env: dict[str, str], url: str, *argv: str) -> str:
    result = subprocess.run(
        [*CROSSEXEC, "run", "--url", url, "--", *argv],
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS * 3,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
