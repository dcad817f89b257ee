"""Resolves links in paths of any length, on POSIX systems.

``os.path.realpath`` hands whole paths to the system, which takes none above PATH_MAX.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque

_MOST_LINKS = 40
"""As many as Linux follows (path_resolution(7))."""

_PASSAGE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def canonicalize(path: str) -> str:
    """Returns the absolute *path* with every link resolved.

    :raises OSError: something on the way is missing, is no directory, or cannot be entered.
    """
    try:
        return os.path.realpath(path, strict=True)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    return _Resolution(path).run()


class _Resolution:
    """Goes down one name at a time, each relative to the directory above it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = deque(path.split("/"))
        self._names: list[str] = []
        self._links = 0
        self._here = os.open("/", _PASSAGE)

    def run(self) -> str:
        try:
            while self._rest:
                self._step(self._rest.popleft())
        except OSError as error:
            # The name alone would not tell which of many directories it is missing from.
            raise OSError(error.errno, os.strerror(error.errno or 0), self._path) from None
        finally:
            os.close(self._here)
        return "/" + "/".join(self._names)

    def _step(self, name: str) -> None:
        if name in ("", "."):
            return
        if name == "..":
            del self._names[-1:]
            self._enter("..")
        elif stat.S_ISLNK(os.lstat(name, dir_fd=self._here).st_mode):
            self._follow(os.readlink(name, dir_fd=self._here))
        else:
            if any(part not in ("", ".") for part in self._rest):
                self._enter(name)
            self._names.append(name)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            self._names.clear()
            self._enter("/")
        self._rest.extendleft(reversed(target.split("/")))

    def _enter(self, name: str) -> None:
        deeper = os.open(name, _PASSAGE, dir_fd=self._here)
        os.close(self._here)
        self._here = deeper
