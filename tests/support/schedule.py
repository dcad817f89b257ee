"""In which order the project's own tests run, and which of them pytest-xdist never runs side by side."""

from __future__ import annotations

from typing import Final

from fixtures.workers import GroupScheduling

TOGETHER: Final = ("tests/wine/", "tests/docker/")
"""Folders whose tests run one after the other: each looks at all that there is of its kind, as at a daemon's
containers and images. Those that take long, so they begin first."""


def unit(nodeid: str) -> str:
    """Returns what a test is part of: a module or a folder."""
    module = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if module.startswith(folder)), module)


def turn(nodeid: str) -> int:
    """Returns when a test begins, the lowest first: a long unit at the end would leave processes idle."""
    place = unit(nodeid)
    return TOGETHER.index(place) if place in TOGETHER else len(TOGETHER)


class UnitScheduling(GroupScheduling):
    """The tests of a unit run in one process and in their order, as they do without pytest-xdist."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
