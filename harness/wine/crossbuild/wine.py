"""Runs what was built under Wine, in a prefix that lasts as long as the build does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.cache import cache_folder
from harness.progress import Progress
from harness.settings import read_settings
from harness.wine.crossbuild import commands
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.errors import WineFailed
from harness.wine.program import Wine, find_wine
from harness.wine.workplace import Workplace, workplace

_PREFIX_SECONDS: Final = 180.0


@dataclass(frozen=True)
class Runner:
    """A prefix in use; drive Z: is the host's file system."""

    wine: Wine
    place: Workplace

    def run(self, command: Sequence[str | Path], what: str, seconds: float) -> str:
        """Runs a Windows program to its end and returns what it printed, stderr among it.

        :raises BuildFailed: it did not start, its exit code is not 0, or it takes longer than *seconds*.
        """
        return commands.run(
            [self.wine.loader, *command],
            what,
            folder=self.place.folder,
            environment=self.wine.environment(self.place),
            seconds=seconds,
        )


@contextmanager
def use_wine(progress: Progress) -> Iterator[Runner]:
    """Makes a prefix that reports Windows 10; at the end it goes, with all that runs in it.

    :raises BuildFailed: Wine can't make one.
    """
    try:
        wine = find_wine(read_settings().wine)
        with workplace(cache_folder() / "wine") as place:
            with progress.stage("making a Wine prefix"):
                wine.run(place, ["wineboot", "--init"], "making a Wine prefix", _PREFIX_SECONDS)
                wine.run(place, ["winecfg", "-v", "win10"], "making a Wine prefix", _PREFIX_SECONDS)
            yield Runner(wine, place)
    except WineFailed as error:
        raise BuildFailed(str(error)) from error
