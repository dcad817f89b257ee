"""Listing a tree, breadth first, within limits."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from itertools import islice

from executors.filesystem import system
from executors.filesystem.errors import os_text
from executors.protocol.files import WalkEntry, WalkError, WalkResult
from executors.protocol.path_uri import PathUri

_LEAST_BATCH = 1000


def walk(
    path: str,
    *,
    max_depth: int,
    max_directories: int,
    max_entries: int,
    follow: bool,
    prune_hidden: bool = False,
) -> WalkResult:
    """Lists files and directories below *path* level by level, each directory sorted by name as bytes.

    The root is not listed; if it is no directory, nothing is. Links, and what is neither file
    nor directory, are left out. What cannot be read is an error in the result.

    :param max_depth: how many levels below the root are entered; more levels are no truncation.
    :param max_directories: how many directories are read, the root among them.
    :param max_entries: how many entries are looked at, those that are left out among them.
    :param follow: lists links to directories as directories and enters them, under the link's
        path, each real directory once; else a root that is a link has nothing below it.
    :param prune_hidden: lists directories, and links to them, whose name begins with a dot without
        entering them; the root is entered whatever its name.
    :raises OSError: the root is missing or cannot be read.
    """
    result = WalkResult(entries=[], errors=[], truncated=False)
    with system.location(path) as (name, directory):
        root = os.stat(name, dir_fd=directory)
        is_link = system.is_link(os.stat(name, dir_fd=directory, follow_symlinks=False))
    if not stat.S_ISDIR(root.st_mode) or (is_link and not follow):
        return result
    entered = {(root.st_dev, root.st_ino)}
    queue = deque([(path, _uri(path), 0)])
    room = max_entries
    while queue:
        if not max_directories:
            result.truncated = True
            break
        max_directories -= 1
        place, uri, depth = queue.popleft()
        try:
            with system.entries(place, follow=follow) as found:
                listing = _first(found, room + 1)
                if len(listing) > room:
                    result.truncated = True
                    del listing[room:]
                room -= len(listing)
                # Nothing can be added to the URI of a root, or of a path that only a fallback holds.
                extensible = not uri.endswith("/") and "%00" not in uri
                for entry in listing:
                    if extensible and system.plain_name(entry.name):
                        entry_uri = f"{uri}/{entry.name}"
                    else:
                        entry_uri = _uri(os.path.join(place, entry.name))
                    try:
                        kind = _kind(entry, follow)
                        if kind is None:
                            continue
                        result.entries.append(WalkEntry(entry_uri, kind))
                        if kind == "file" or depth == max_depth:
                            continue
                        if prune_hidden and entry.name.startswith("."):
                            continue
                        if follow:
                            identity = system.entry_identity(entry)
                            if identity in entered:
                                continue
                            entered.add(identity)
                        queue.append((os.path.join(place, entry.name), entry_uri, depth + 1))
                    except OSError as error:
                        result.errors.append(WalkError(entry_uri, os_text(error)))
        except OSError as error:
            if place is path:
                raise
            result.errors.append(WalkError(uri, os_text(error)))
        if result.truncated:
            break
    return result


def _uri(path: str) -> str:
    return str(PathUri.from_native(path, system.CONVENTION))


def _first(found: Iterator[os.DirEntry[str]], count: int) -> list[os.DirEntry[str]]:
    """The first *count* by name, without ever holding all entries of a huge directory."""
    first: list[os.DirEntry[str]] = []
    while batch := list(islice(found, max(count, _LEAST_BATCH))):
        first = sorted(first + batch, key=_name_bytes)[:count]
    return first


def _name_bytes(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)


def _kind(entry: os.DirEntry[str], follow: bool) -> str | None:
    if system.entry_is_link(entry):
        return "directory" if follow and entry.is_dir() else None
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else None
