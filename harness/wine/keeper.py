"""Ends all that a worker of Wine has left as soon as its owner is done or dead.

A program of its own, for it must outlive whatever kills its owner: ``python -I -S keeper.py OWNER FOLDER``.
Its standard input is a pipe that the owner holds and never writes to. It uses the standard library only.
Linux.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_KILL_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


def end_worker(folder: Path) -> None:
    """Ends every process of the worker's prefix, then removes its folder and its lock.

    They are killed: what an orderly end would save is removed with the folder, it takes 0.7 s more
    (measured under Wine 8.0), and a wineserver that hangs would not grant it.

    :param folder: of the worker, see :mod:`harness.wine.workplace`.
    :raises OSError: the folder cannot be removed.
    :raises TimeoutError: a process does not die.
    """
    _kill(folder / "prefix")
    if folder.exists():
        shutil.rmtree(folder)
    lock_of(folder).unlink(missing_ok=True)


def lock_of(folder: Path) -> Path:
    """Returns the file that is locked while the worker of *folder* lives."""
    return folder.with_name(f"{folder.name}.lock")


def processes_of(prefix: Path) -> list[int]:
    """Returns the processes that were started for *prefix*; one about to exit is not among them.

    Wine hands its Unix environment to every process that it starts, whatever variables the
    Windows program gets.
    """
    mark = b"WINEPREFIX=" + os.fsencode(prefix)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            # Gone, another user's, or a kernel thread.
            with suppress(OSError):
                if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                    found.append(int(name))
    return found


def _kill(prefix: Path) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while pids := processes_of(prefix):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} of the prefix {prefix} do not die")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _wait_for_owner(owner: int) -> None:
    """Returns when the owner has closed the pipe or is dead.

    A child that the owner forked may hold the pipe on, so its end alone says too little.
    """
    watched = select.poll()
    watched.register(0, select.POLLIN)
    with suppress(ProcessLookupError):
        watched.register(os.pidfd_open(owner), select.POLLIN)
        if os.getppid() == owner:
            watched.poll()


def main() -> int:
    owner, folder = int(sys.argv[1]), Path(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _wait_for_owner(owner)
    try:
        end_worker(folder)
    except OSError as error:
        with suppress(OSError):
            print(f"{folder} remains: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
