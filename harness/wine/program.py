"""The wine program of this machine, and how to run something in a prefix with it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from executors import speedups
from harness.wine.errors import WineFailed
from harness.wine.workplace import Workplace

REMEDY: Final = "install it (Debian, Ubuntu: apt-get install wine), or name the program by CROSSEXEC_WINE"
BROKEN: Final = (
    "if this Wine is broken, install it anew (Debian, Ubuntu: apt-get install --reinstall wine wine64), "
    "or name another one by CROSSEXEC_WINE"
)
_VERSION_SECONDS: Final = 30.0
_TAIL_BYTES: Final = 2000
# A Unix variable is no business of a Windows program, and Wine hands on what it is given. These it needs, and
# the last one the executor.
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "TZ", speedups.VARIABLE)
_GIVEN: Final = {
    "LANG": "C.UTF-8",
    "WINEARCH": "win64",
    "WINEDEBUG": "-all",
    # No .NET, no browser, no entries in the desktop's menus.
    "WINEDLLOVERRIDES": "mscoree,mshtml,winegstreamer,winemenubuilder.exe=",
    # By them Wine would learn of the host's disks and make drives of them.
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
    "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent",
}
_PLACES: Final = ("HOME", "TMPDIR", "WINEPREFIX", "XDG_RUNTIME_DIR")
UNIX_VARIABLES: Final = frozenset({*_KEPT, *_GIVEN, *_PLACES}) - {"PATH", speedups.VARIABLE}
"""What :meth:`Wine.environment` sets and Windows programs can do without; their PATH is Windows' own."""


@dataclass(frozen=True)
class Wine:
    """The programs of one Wine.

    :ivar loader: starts Windows programs.
    :ivar server: serves the programs of one prefix.
    """

    loader: Path
    server: Path

    def version(self) -> str:
        """Returns what it says of itself, such as ``wine-8.0 (Debian 8.0~repack-4)``.

        :raises WineFailed: it says nothing, fails or hangs.
        """
        try:
            told = subprocess.run(
                [self.loader, "--version"],
                env={**_GIVEN, "PATH": os.environ.get("PATH", os.defpath)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_VERSION_SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise WineFailed(
                f"{self.loader} --version has not ended within {_VERSION_SECONDS:g} s; {BROKEN}"
            ) from None
        except OSError as error:
            raise WineFailed(f"{self.loader} cannot be started: {error}; {REMEDY}") from error
        text = told.stdout.decode(errors="replace").strip()
        if told.returncode != 0 or not text.startswith("wine"):
            raise WineFailed(
                f"{self.loader} --version ended with {told.returncode} and said {text!r}; {BROKEN}"
            )
        return text.splitlines()[0]

    def environment(self, place: Workplace) -> dict[str, str]:
        """Returns all variables that a program in the prefix of *place* is started with."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        home = str(place.home)
        return {
            "PATH": os.defpath,
            **kept,
            **_GIVEN,
            "HOME": home,
            "XDG_RUNTIME_DIR": home,
            "TMPDIR": home,  # of the server's socket
            "WINEPREFIX": str(place.prefix),
        }

    def run(self, place: Workplace, arguments: Sequence[str], what: str, seconds: float) -> str:
        """Runs a Windows program to its end; returns its output, standard error among it.

        :param what: what it is for, in the words of an error: ``making a prefix``.
        :raises WineFailed: it did not start, exit with 0 or end in time; then it is still there, and
            the end of *place* ends it.
        """
        command = [str(self.loader), *arguments]
        output = place.home / "output"
        try:
            with output.open("wb") as file:
                # Into a file: Wine's services inherit the output, and a pipe would end with the last of them.
                ended = subprocess.run(
                    command,
                    env=self.environment(place),
                    cwd=place.drive_c if place.drive_c.is_dir() else place.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    start_new_session=True,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            raise WineFailed(
                f"{what}: {command!r} has not ended within {seconds:g} s: this Wine hangs; {BROKEN}"
                f"{_tail(output)}"
            ) from None
        except OSError as error:
            raise WineFailed(f"{what}: {command!r} cannot be started: {error}; {REMEDY}") from error
        if ended.returncode != 0:
            raise WineFailed(f"{what}: {command!r} ended with {ended.returncode}; {BROKEN}{_tail(output)}")
        return output.read_bytes().decode(errors="replace")

    def wait_for_end(self, place: Workplace, seconds: float) -> None:
        """Waits until no program runs in the prefix, so that its registry is in its files.

        :raises WineFailed: it takes longer.
        """
        command = [str(self.server), "-w"]
        try:
            subprocess.run(
                command,
                env=self.environment(place),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise WineFailed(
                f"{command!r}: programs still run in the prefix after {seconds:g} s; {BROKEN}"
            ) from None
        except OSError as error:
            raise WineFailed(f"{command!r} cannot be started: {error}; {REMEDY}") from error


def find_wine(given: Path | None) -> Wine:
    """Returns the Wine to use, without starting anything.

    :param given: its wine program; None for the one in PATH.
    :raises WineFailed: there is none here.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "amd64"):
        raise WineFailed("the Windows Python for Wine needs Linux on x86-64")
    found = shutil.which(given or "wine")
    if found is None:
        where = f"{given} is no program" if given else "no wine in PATH"
        raise WineFailed(f"{where}; {REMEDY}")
    beside = Path(found).with_name("wineserver")
    server = shutil.which(beside) or shutil.which("wineserver")
    if server is None:
        raise WineFailed(f"{found} has no wineserver beside it, nor is one in PATH; {REMEDY}")
    return Wine(Path(found).absolute(), Path(server).absolute())


def _tail(output: Path) -> str:
    text = output.read_bytes()[-_TAIL_BYTES:].decode(errors="backslashreplace").strip()
    return f"; it printed:\n{text}" if text else "; it printed nothing"
