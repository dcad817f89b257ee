"""The released exec-server on this machine."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from harness.cleaning import Cleaned
from harness.environments.base import Availability, Environment, Running, running
from harness.environments.blocking import in_thread
from harness.environments.child import start_child
from harness.executor_kinds.codex import guard, program
from harness.executor_kinds.codex.checks import available, check_version, failures_told
from harness.executor_kinds.codex.home import environ, new_home, remove_dead_homes
from harness.executor_kinds.codex.release import LINUX
from harness.progress import SILENT, Progress
from harness.settings import Settings

GUARD: Final = Path(guard.__file__)


class CodexLocal(Environment):
    """Runs it as a child of this process, and ends with it. Linux on x86-64.

    :param settings: which program.
    """

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self._given = settings.codex_binary

    def available(self) -> Availability:
        return runs_here() or available(self._given, LINUX)

    def prepare(self, progress: Progress) -> None:
        with failures_told(), program.program(self._given, LINUX, progress):
            pass

    def clean(self) -> list[str]:
        return [f"folder {home}" for home in remove_dead_homes()]

    def clean_cache(self, everything: bool) -> Cleaned:
        return program.clean(everything)

    def in_use(self) -> list[str]:
        return program.in_use()

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with failures_told(), tempfile.TemporaryDirectory(prefix="crossexec-log-") as folder:
            log = Path(folder, "executor.log")
            async with (
                in_thread(program.program(self._given, LINUX, SILENT)) as found,
                in_thread(new_home()) as home,
                start_child(
                    [sys.executable, "-I", "-S", str(GUARD), str(found.file), str(home)],
                    log=log,
                    env=environ(),
                ) as child,
                running(
                    self.name,
                    child.url,
                    is_remote=False,
                    facts={"codex program": found.origin},
                    log=log,
                    has_ended=child.has_ended,
                    is_discarded=True,
                ) as up,
            ):
                try:
                    yield check_version(up)
                finally:
                    shutil.rmtree(up.workspace_root.render(), ignore_errors=True)


def runs_here() -> Availability | None:
    """Returns why the Linux program cannot run on this machine; None if it can."""
    if sys.platform == "linux" and platform.machine() in ("x86_64", "amd64"):
        return None
    return Availability(
        False, f"the released exec-server for {sys.platform} is not run here", "use Linux on x86-64"
    )
