"""What dead runs have left on this machine."""

from __future__ import annotations

from harness.docker.containers import remove_dead
from harness.docker.daemon import Daemon
from harness.docker.folder import remove_dead_folders


def remove_leftovers(daemon: Daemon) -> list[str]:
    """Removes containers and folders of runs of this machine that are dead; a live run's stay.

    :returns: what was removed, for people.
    :raises DockerFailed: something cannot be removed.
    """
    containers = [f"container {id[:12]}" for id in remove_dead(daemon)]
    return containers + [f"folder {folder}" for folder in remove_dead_folders()]
