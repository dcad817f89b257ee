"""Brings the environment up in a process of its own, so that tests can kill it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.watch import SECONDS

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = """
import asyncio
from harness.environments.wine import WineEnvironment

async def main():
    async with WineEnvironment().start() as up:
        async with up.connect() as client:
            await client.start([up.facts["python"], "-c", "import time; time.sleep(600)"])
            print(up.host_view.drive_c, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class HarnessRun:
    """A run of its own process group, whose output is a pipe."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_until_up(self) -> Path:
        """Returns the worker's folder."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().strip()
        assert line, f"the run ended with {self.process.wait(SECONDS)}"
        return Path(line).parents[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> None:
        """Does what Ctrl-C does at a terminal."""
        os.killpg(self.process.pid, signal.SIGINT)


@contextmanager
def harness_run() -> Iterator[HarnessRun]:
    run = HarnessRun()
    try:
        yield run
    finally:
        run.kill()
        assert run.process.stdout is not None
        run.process.stdout.close()
