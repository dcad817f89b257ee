"""What the service needs of the machine: open files, and to be the only one at its database."""

from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from harness.client.errors import ClientError

_MOST_FILES: Final = 1_048_576
_HANDOVER_SECONDS: Final = 6.0


class NotAlone(ClientError):
    """Another instance serves the same database; the text says which."""


def raise_open_files() -> int:
    """Has this process open as many files as it may; returns how many connections fit, with room for
    requests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # The system has a lower limit still; what there is has to do.
    return (_MOST_FILES if soft == resource.RLIM_INFINITY else soft) * 7 // 8


def is_readable_by_others(path: Path) -> bool:
    """Whether others than the owner of a file can read it."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


@contextmanager
def sole_instance(database: Path, seconds: float = _HANDOVER_SECONDS) -> Iterator[None]:
    """Keeps other instances from the same database, which know nothing of each other's connections.

    :param seconds: how long one that is about to end is waited for.
    :raises NotAlone: another one goes on.
    """
    lock = FileLock(f"{database.resolve()}.instance", timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise NotAlone(
            f"another crossexec rendezvous serves {database}: end it, or name another file by --database"
        ) from None
    except OSError as error:
        raise NotAlone(f"the file {lock.lock_file} cannot be used: {error}") from None
    try:
        yield
    finally:
        lock.release()
