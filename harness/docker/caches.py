"""What was made once for containers, images and bundles: what of it is in use, and its removal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from harness import holding
from harness.cleaning import Cleaned, Removed, freed_by, names_in_use, sweep
from harness.docker.bundle import names_of_bundles
from harness.docker.daemon import Daemon, open_daemon
from harness.docker.errors import DockerFailed
from harness.docker.image import LOCKED, REPOSITORY, TEMPORARY, default_tag
from harness.docker.target import known_pythons, name_of_probe
from harness.shared import remove, try_lock

_KINDS: Final = {
    "executor-": "executor for containers",
    "packages-": "packages for containers",
    "python-": "note about an image's Python",
}


@contextmanager
def images_in_use(cache: Path) -> Iterator[None]:
    """Whoever cleans up leaves images alone as long as the context lasts."""
    cache.mkdir(parents=True, exist_ok=True)
    with holding.held(cache):
        yield


def in_use(cache: Path) -> list[str]:
    """Returns, for people, what is made or used at this moment."""
    if not cache.is_dir():
        return []
    found = names_in_use(cache, _KINDS)
    with try_lock(cache / LOCKED) as is_free, holding.claimed(cache) as is_unused:
        if not is_free:
            found.append("an image that is being made")
        if not is_unused:
            found.append("a run in a container")
    return found


def clean(cache: Path, everything: bool) -> Cleaned:
    """Removes images and bundles that the present code would not use; with *everything*, the others too.

    What somebody uses stays.
    """
    cleaned = Cleaned()
    if not cache.is_dir():
        return cleaned
    is_wanted: Callable[[str], bool] = _nothing if everything else _everything
    try:
        with open_daemon() as daemon:
            if not everything:
                is_wanted = _wanted(daemon, cache)
            cleaned += _remove_images(daemon, cache, everything)
    except DockerFailed as error:
        cleaned.kept.append(f"{'images' if everything else 'what is old'} of containers: {error}")
    cleaned += sweep(cache, _KINDS, is_wanted)
    cleaned += _remove_temporary(cache)
    return cleaned


def _everything(name: str) -> bool:
    return True


def _nothing(name: str) -> bool:
    return False


def _wanted(daemon: Daemon, cache: Path) -> Callable[[str], bool]:
    images: list[dict[str, Any]] = daemon.api.images(all=True)
    ids = [str(image["Id"]) for image in images]
    wanted = names_of_bundles(known_pythons(ids, cache)) | {name_of_probe(id) for id in ids}
    return wanted.__contains__


def _remove_images(daemon: Daemon, cache: Path, everything: bool) -> Cleaned:
    """Removes the images that were built here, but for the present one."""
    from docker.errors import APIError

    cleaned = Cleaned()
    # podman puts a registry before the name.
    built = re.compile(rf"(localhost/)?{REPOSITORY}:[0-9a-f]{{16}}")
    tags = [
        (tag, image["Size"])
        for image in daemon.api.images(REPOSITORY)
        for tag in image.get("RepoTags") or ()
        if built.fullmatch(tag) and (everything or not tag.endswith(default_tag()))
    ]
    with try_lock(cache / LOCKED) as is_free, holding.claimed(cache) as is_unused:
        for tag, size in tags:
            if not (is_free and is_unused):
                cleaned.kept.append(f"image {tag}: a run in a container is under way")
                continue
            try:
                daemon.api.remove_image(tag)
            except APIError as error:
                cleaned.kept.append(f"image {tag}: {error.explanation}")
            else:
                cleaned.removed.append(Removed("image of containers", int(size)))
    return cleaned


def _remove_temporary(cache: Path) -> Cleaned:
    """Removes what was to become an image when its maker was killed."""
    cleaned = Cleaned()
    with try_lock(cache / LOCKED) as is_free:
        for folder in cache.glob(f"{TEMPORARY}*") if is_free else ():
            if folder.is_dir():
                size = freed_by(folder)
                remove(folder)
                cleaned.removed.append(Removed("half-made image of containers", size))
    return cleaned
