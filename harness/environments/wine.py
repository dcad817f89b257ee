"""An executor that is a Windows program, under Wine on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.cleaning import Cleaned
from harness.environments.base import Availability, EnvironmentFailed
from harness.environments.blocking import in_thread
from harness.environments.child import start_child
from harness.environments.place import DialOut, Launched, Place
from harness.progress import SILENT, Progress
from harness.settings import Settings, read_settings
from harness.wine import caches
from harness.wine.errors import WineFailed, storage_failed
from harness.wine.host_view import HostView
from harness.wine.machine import Machine, prepare_machine
from harness.wine.prefix import remove_devices, windows_version
from harness.wine.program import BROKEN, REMEDY, find_wine
from harness.wine.workplace import Workplace, remove_dead, workplace

_LISTEN: Final = ("--listen", "ws://127.0.0.1:0")


class WineEnvironment(Place):
    """Runs the executor on a Windows Python in a Wine prefix of its own; it ends with this process.

    The target has drive C: and nothing else of the host's files. Linux on x86-64.

    :param settings: which Wine and which Windows Python; by default what environment variables say.
    """

    name = "wine-exec"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or read_settings()

    def available(self) -> Availability:
        try:
            find_wine(self.settings.wine)
        except WineFailed as error:
            return Availability(False, str(error).removesuffix(f"; {REMEDY}"), REMEDY)
        return Availability(True)

    def prepare(self, progress: Progress) -> None:
        with errors_told():
            prepare_machine(self.settings, wine_cache(), progress)

    def prepare_to_dial_out(self, progress: Progress) -> None:
        with errors_told():
            prepare_machine(self.settings, wine_cache(), progress, relay=True)

    def clean(self) -> list[str]:
        with errors_told():
            return [f"Wine prefix {folder}" for folder in remove_dead(wine_cache())]

    def clean_cache(self, everything: bool) -> Cleaned:
        return caches.clean(self.settings, wine_cache(), everything)

    def in_use(self) -> list[str]:
        return caches.in_use(wine_cache())

    @asynccontextmanager
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[Launched]:
        way = _LISTEN if dial_out is None else dial_out.arguments
        with errors_told():
            async with in_thread(self.worker(relay=dial_out is not None)) as (machine, place):
                log = place.folder / "executor.log"
                async with start_child(
                    [*machine.executor_command(), *way, "--exit-with-parent"],
                    log=log,
                    env=machine.wine.environment(place),
                    cwd=place.drive_c,
                    remedy=BROKEN,
                    input=b"" if dial_out is None else dial_out.input,
                ) as child:
                    remove_devices(place.prefix)
                    facts = facts_of(machine, place)
                    yield Launched(child.url, log, facts, HostView(place.drive_c))

    @contextmanager
    def worker(self, *, relay: bool = False) -> Iterator[tuple[Machine, Workplace]]:
        """A worker's machine. It blocks.

        :param relay: with what an executor needs that dials out.
        """
        cache = wine_cache()
        machine = prepare_machine(self.settings, cache, SILENT, relay=relay)
        with workplace(cache) as place:
            try:
                machine.fill(place)
            except OSError as error:
                raise storage_failed("copying the Wine prefix", error, cache) from error
            yield machine, place


def wine_cache() -> Path:
    """Where what Windows machines are made of is kept."""
    return cache_folder() / "wine"


def facts_of(machine: Machine, place: Workplace) -> dict[str, str]:
    version = ".".join(map(str, machine.python_version))
    return {
        "wine": machine.wine_version,
        "windows": windows_version(place.prefix),
        "python": machine.python,
        "python version": f"{version} ({machine.python_origin})",
    }


@contextmanager
def errors_told() -> Iterator[None]:
    try:
        yield
    except WineFailed as error:
        raise EnvironmentFailed(str(error)) from error
