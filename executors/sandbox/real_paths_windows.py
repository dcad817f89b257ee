"""Resolves links and junctions in paths, and case and short names with them."""

from __future__ import annotations

import os
from pathlib import PureWindowsPath

from executors.sandbox.real_path import RealPath


class Resolver:
    """As :class:`executors.sandbox.real_paths_posix.Resolver`, but tells only of links in the path itself."""

    def __init__(self) -> None:
        self._known: dict[str, RealPath] = {}

    def resolve(self, path: str) -> RealPath:
        """Returns where the absolute *path* leads.

        :raises OSError: the file system fails.
        """
        known = self._known.get(path)
        if known is None:
            real = os.path.realpath(path)
            places = [str(place) for place in (PureWindowsPath(path), *PureWindowsPath(path).parents)]
            links = tuple(place for place in places if _is_link(place))
            known = self._known[path] = RealPath(real, links, os.path.lexists(real))
        return known


def _is_link(path: str) -> bool:
    try:
        # A junction, too, has a target to read.
        os.readlink(path)
    except (OSError, ValueError):
        return False
    return True
