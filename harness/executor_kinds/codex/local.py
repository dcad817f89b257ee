"""The released exec-server on this machine."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness.cleaning import Cleaned
from harness.environments.base import Availability, Running
from harness.environments.blocking import in_thread
from harness.environments.child import start_child
from harness.environments.place import DialOut, Launched, Place
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.checks import available, check_version, failures_told, workspace_removed
from harness.executor_kinds.codex.home import environ, new_home, remove_dead_homes
from harness.executor_kinds.codex.launch import GUARD, arguments_of, input_of, way_of
from harness.executor_kinds.codex.release import LINUX
from harness.progress import SILENT, Progress
from harness.settings import Settings


class CodexLocal(Place):
    """Runs it as a child of this process, and ends with it. Linux on x86-64.

    :param settings: which program.
    """

    name = "local"
    is_remote = False

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
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[Launched]:
        with failures_told(), tempfile.TemporaryDirectory(prefix="crossexec-log-") as folder:
            log = Path(folder, "executor.log")
            async with (
                in_thread(program.program(self._given, LINUX, SILENT)) as found,
                in_thread(new_home()) as home,
                start_child(
                    [
                        *(sys.executable, "-I", "-S", str(GUARD), str(home), way_of(dial_out)),
                        *(str(found.file), *arguments_of(dial_out)),
                    ],
                    log=log,
                    env=environ(dials_out=dial_out is not None),
                    input=input_of(dial_out),
                ) as child,
            ):
                facts = {"codex program": found.origin}
                yield Launched(child.url, log, facts, has_ended=child.has_ended, is_discarded=True)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with failures_told():
            async with super().start() as up:
                with workspace_removed(up, True):
                    yield check_version(up)


def runs_here() -> Availability | None:
    """Returns why the Linux program cannot run on this machine; None if it can."""
    if sys.platform == "linux" and platform.machine() in ("x86_64", "amd64"):
        return None
    return Availability(
        False, f"the released exec-server for {sys.platform} is not run here", "use Linux on x86-64"
    )
