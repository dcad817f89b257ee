"""The files that govern a Git repository: whoever may write them says what the next ``git`` runs.

See gitrepository-layout(5): ``.git`` is the directory itself or a file that points to it, and ``commondir``
in it, where there is one, points to the directory with hooks and configuration.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterator
from typing import Final

from executors.sandbox.real_path import RealPath
from executors.sandbox.real_paths import Resolver

NAME: Final = ".git"
_POINTER: Final = b"gitdir: "
_MOST_BYTES: Final = 8192
"""More than any path has, so a longer file points nowhere."""
# Neither a link nor what waits for a writer is opened.
_OPEN: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
)


class Kind(enum.Enum):
    """What is at a path."""

    ABSENT = enum.auto()
    LINK = enum.auto()
    OTHER = enum.auto()
    """Or what cannot be told."""


def kind(git: str) -> Kind:
    try:
        mode = os.lstat(git).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Kind.ABSENT
    except OSError:
        return Kind.OTHER
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER


def governing(git: str, resolver: Resolver) -> Iterator[RealPath]:
    """Yields what governs a repository besides *git*: where a pointer file and ``commondir`` lead to.

    What is unreadable, too large or no pointer at all is nothing to Git either, and leads nowhere.

    :param git: path of a ``.git`` without links.
    :raises OSError: what is pointed to cannot be resolved.
    """
    directory = git
    content = _content(git)
    if content is not None:
        if not content.startswith(_POINTER):
            return
        found = _pointed(content.removeprefix(_POINTER), os.path.dirname(git), resolver)
        yield found
        directory = found.path
    content = _content(os.path.join(directory, "commondir"))
    if content is not None:
        yield _pointed(content, directory, resolver)


def _pointed(content: bytes, directory: str, resolver: Resolver) -> RealPath:
    # Git takes the path for a C string.
    target = os.fsdecode(content.partition(b"\0")[0].rstrip(b"\r\n"))
    return resolver.resolve(os.path.join(directory, target))


def _content(path: str) -> bytes | None:
    """The content of a file; None for what is not there, is no ordinary file, or is too large."""
    try:
        fd = os.open(path, _OPEN)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        content = os.read(fd, _MOST_BYTES + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    return content if len(content) <= _MOST_BYTES else None
