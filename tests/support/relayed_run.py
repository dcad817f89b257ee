"""Brings an environment up whose executor dials out, in a process of its own, so that tests can kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.watch import SECONDS, Watched, children

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = """
import asyncio, sys
from harness.environments import make_environment

async def main():
    async with make_environment(sys.argv[1]).start() as up:
        async with up.connect() as client:
            python = up.facts.get("python", "python3")
            await client.start([python, "-c", "import time; time.sleep(600)"])
            print(up.facts.get("container", "none"), flush=True)
            print(up.host_view.drive_c if up.host_view else "none", flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class RelayedRun:
    """:ivar container: of its executor, or ``none``.
    :ivar drive_c: of its executor, or ``none``.
    :ivar started: what it has started and what that has started, as far as this machine sees it.
    """

    def __init__(self, environment: str, stack: ExitStack) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, environment],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        stack.enter_context(self.process)
        stack.callback(self.process.kill)
        assert self.process.stdout is not None
        self.container, self.drive_c = (self.process.stdout.readline().strip() for _ in range(2))
        assert self.drive_c, f"the run ended with {self.process.wait(SECONDS)}"
        self.started = [Watched(pid) for pid in _descendants(self.process.pid)]
        for each in self.started:
            stack.callback(each.close)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def left(self) -> list[int]:
        """Waits for what it has started; returns what does not end."""
        return [each.pid for each in self.started if not each.has_ended(SECONDS)]


@contextmanager
def relayed_run(environment: str) -> Iterator[RelayedRun]:
    with ExitStack() as stack:
        yield RelayedRun(environment, stack)


def _descendants(pid: int) -> list[int]:
    found = children(pid)
    return [*found, *(each for child in found for each in _descendants(child))]
