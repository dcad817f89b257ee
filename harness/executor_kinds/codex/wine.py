"""The Windows build of the released exec-server, under Wine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from harness.environments.base import Availability, Running
from harness.environments.blocking import in_thread
from harness.environments.child import start_child
from harness.environments.place import DialOut, Launched
from harness.environments.wine import WineEnvironment, errors_told, facts_of
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.checks import available, check_version, failures_told
from harness.executor_kinds.codex.launch import GUARD, arguments_of, input_of, way_of
from harness.executor_kinds.codex.program import Program
from harness.executor_kinds.codex.release import WINDOWS
from harness.progress import SILENT, Progress
from harness.wine.host_view import HostView
from harness.wine.machine import Machine
from harness.wine.prefix import remove_devices
from harness.wine.workplace import Workplace

_FOLDER: Final = "codex"
_HOME: Final = "codex-home"
# Wine 8 has none, and the program does not start without.
_RANDOM: Final = "bcryptprimitives.dll"
_STUBS: Final = "windows/*/WindowsPowerShell/v1.0/powershell.exe"


class CodexWine(WineEnvironment):
    """Runs it as :class:`WineEnvironment` runs this package's executor, on the same Windows machine but for a
    program that would mislead it: Wine's ``powershell.exe`` prints nothing and exits with 0, and the released
    exec-server takes it for the shell.

    :param settings: which program, which Wine and which Windows Python.
    """

    def available(self) -> Availability:
        found = super().available()
        return found and available(self.settings.codex_binary, WINDOWS)

    def prepare(self, progress: Progress) -> None:
        super().prepare(progress)
        with failures_told(), program.program(self.settings.codex_binary, WINDOWS, progress):
            pass

    def prepare_to_dial_out(self, progress: Progress) -> None:
        self.prepare(progress)

    @asynccontextmanager
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[Launched]:
        with failures_told(), errors_told():
            async with (
                in_thread(program.program(self.settings.codex_binary, WINDOWS, SILENT)) as found,
                in_thread(self.equipped(found)) as (machine, place),
            ):
                log = place.folder / "executor.log"
                async with start_child(
                    command_of(machine, dial_out),
                    log=log,
                    env=environ_of(machine, place),
                    cwd=place.drive_c,
                    input=input_of(dial_out),
                ) as child:
                    remove_devices(place.prefix)
                    yield Launched(
                        child.url,
                        log,
                        facts_of(machine, place) | {"codex program": found.origin},
                        HostView(place.drive_c),
                        child.has_ended,
                        is_discarded=True,
                    )

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with failures_told():
            async with super().start() as up:
                yield check_version(up)

    @contextmanager
    def equipped(self, found: Program) -> Iterator[tuple[Machine, Workplace]]:
        """A worker's machine with the program on it. It blocks."""
        with self.worker() as (machine, place):
            _link(found.vendor, place.drive_c / _FOLDER)
            (place.drive_c / _HOME).mkdir()
            for stub in place.drive_c.glob(_STUBS):
                stub.unlink()
            own = next(place.drive_c.glob(f"Python*/{_RANDOM}"), None)
            if own is not None and not (place.drive_c / "windows/system32" / _RANDOM).exists():
                beside = place.drive_c / _FOLDER / Path(WINDOWS.program).parent / _RANDOM
                if not beside.exists():
                    shutil.copy2(own, beside)
            yield machine, place


def command_of(machine: Machine, dial_out: DialOut | None = None) -> list[str]:
    """Returns what starts the program on a machine that has it, and tells how it is reached."""
    program = rf"C:\{_FOLDER}\{WINDOWS.program}".replace("/", "\\")
    guard = [sys.executable, "-I", "-S", str(GUARD), rf"C:\{_HOME}", way_of(dial_out)]
    return [*guard, str(machine.wine.loader), program, *arguments_of(dial_out)]


def environ_of(machine: Machine, place: Workplace) -> dict[str, str]:
    """Returns all variables that it is started with."""
    return machine.wine.environment(place) | {"CODEX_HOME": rf"C:\{_HOME}"}


def _link(source: Path, target: Path) -> None:
    """Makes a tree of the same files; copies, where there can be no hard links."""

    def copy(each: str, to: str) -> str:
        try:
            os.link(each, to)
        except OSError:
            shutil.copy2(each, to)
        return to

    shutil.copytree(source, target, copy_function=copy)
