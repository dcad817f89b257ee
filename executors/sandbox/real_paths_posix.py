"""Resolves links in paths; ``os.path.realpath`` tells neither which there were nor of circles."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from executors.sandbox.real_path import RealPath

_MOST_LINKS: Final = 40
"""As many as Linux follows (path_resolution(7))."""
_ROOT: Final = RealPath("/")


class Resolver:
    """Looks at each file once, however many paths lead through it; so it is for a few moments' use."""

    def __init__(self) -> None:
        self._known: dict[str, RealPath] = {}
        self._followed = 0

    def resolve(self, path: str) -> RealPath:
        """Returns where the absolute *path* leads.

        What is not there is no error, nor is a directory that may not be looked into.

        :raises OSError: links go in circles, a name is too long, or the file system fails.
        """
        known = self._known.get(path)
        if known is None:
            self._followed = 0
            known = self._known[path] = self._walk(_ROOT, path)
        return known

    def _walk(self, here: RealPath, path: str) -> RealPath:
        """Goes down from *here*, a real directory; *path* may be absolute and may climb."""
        links = here.links
        if path.startswith("/"):
            here = RealPath("/", links)
        names = [name for name in path.split("/") if name not in ("", ".")]
        for at, name in enumerate(names):
            if not here.exists and ".." not in names[at:]:
                below = "/".join(names[at:])
                return RealPath(f"{here.path.rstrip('/')}/{below}", here.links, False, here.blocked)
            if name == "..":
                here = RealPath(os.path.dirname(here.path), here.links, here.exists, here.blocked)
            else:
                here = self._step(here, name)
        return here

    def _step(self, here: RealPath, name: str) -> RealPath:
        path = f"{here.path.rstrip('/')}/{name}"
        if not here.exists:
            return RealPath(path, here.links, exists=False, blocked=here.blocked)
        found = self._known.get(path)
        if found is None:
            found = self._known[path] = self._look(path, here.path)
        if not here.links:
            return found
        # Each once: links that lead through one another twice would double them each time.
        links = tuple(dict.fromkeys(here.links + found.links))
        return RealPath(found.path, links, found.exists, found.blocked)

    def _look(self, path: str, directory: str) -> RealPath:
        """:param path: in *directory*, which is real and there."""
        try:
            if not stat.S_ISLNK(os.lstat(path).st_mode):
                return RealPath(path)
            target = os.readlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return RealPath(path, exists=False)
        except PermissionError:
            return RealPath(path, exists=False, blocked=directory)
        self._followed += 1
        if self._followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return self._walk(RealPath(directory, (path,)), target)
