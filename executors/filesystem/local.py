"""One file or directory at a time."""

from __future__ import annotations

import os
import stat

from executors.filesystem import system
from executors.filesystem.errors import RefusedError, not_a_file
from executors.filesystem.streams import read_to_end, write_all
from executors.protocol.files import DirectoryEntry, Metadata
from executors.protocol.path_uri import PathUri

MAX_READ_FILE_BYTES = 512 * 1024 * 1024

_SHORT_PATH_CHARACTERS = 240
"""Up to here a path is short on every system, whatever its characters."""


def read_file(path: str) -> bytes:
    """Returns what a regular file holds, links followed.

    :raises RefusedError: it is no regular file, or is over :data:`MAX_READ_FILE_BYTES`.
    """
    with system.location(path) as (name, directory):
        descriptor, status = system.open_regular(name, directory, path)
    try:
        data = None
        if status.st_size <= MAX_READ_FILE_BYTES:
            data = read_to_end(descriptor, status.st_size, MAX_READ_FILE_BYTES)
        if data is None:
            raise RefusedError(
                f"file is too large to read: limit is {MAX_READ_FILE_BYTES} bytes; "
                f"read `{system.display(path)}` in blocks (fs/open, fs/readBlock)"
            )
        return data
    finally:
        os.close(descriptor)


def open_to_write(path: str, *, create: bool = True) -> tuple[int, os.stat_result]:
    """Opens a regular file or a character device, its content untouched; links are followed.

    :param create: a missing file, also the missing target of a link. On POSIX its permission
        bits are 0666 less the umask.
    :raises RefusedError: it is something else, which writing could block on or destroy.
    """
    with system.location(path) as (name, directory):
        flags = os.O_WRONLY | system.OPEN_FLAGS | (os.O_CREAT if create else 0)
        descriptor = os.open(name, flags, 0o666, dir_fd=directory)
    status = os.fstat(descriptor)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        os.close(descriptor)
        raise not_a_file(system.display(path), status.st_mode)
    return descriptor, status


def write_file(path: str, data: bytes) -> None:
    """Makes *data* the whole content of a file, as :func:`open_to_write` opens it.

    The file stays the same one, with its permission bits and hard links. After an error it
    holds what was written until then.
    """
    descriptor, status = open_to_write(path)
    try:
        if stat.S_ISREG(status.st_mode):
            os.ftruncate(descriptor, 0)
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def create_directory(path: str, *, recursive: bool = True) -> None:
    """Makes a directory.

    :param recursive: also its parents; and it is no error if it is there, or a link to it.
    """
    missing: list[str] = []
    while True:
        try:
            _make_directory(path)
        except FileExistsError:
            if not recursive or not _is_directory(path):
                raise
        except FileNotFoundError:
            parent = os.path.dirname(path)
            if not recursive or parent == path:
                raise
            missing.append(path)
            path = parent
            continue
        if not missing:
            return
        path = missing.pop()


def _make_directory(path: str) -> None:
    with system.location(path) as (name, directory):
        system.make_directory(name, 0o777, directory)


def _is_directory(path: str) -> bool:
    try:
        with system.location(path) as (name, directory):
            return stat.S_ISDIR(os.stat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:  # A dangling link.
        return False


def metadata(path: str) -> Metadata:
    """Returns what is known about a file, links followed.

    :raises FileNotFoundError: also for a link to nothing.
    """
    if len(path) < _SHORT_PATH_CHARACTERS:
        return _metadata(path, None)
    with system.location(path) as (name, directory):
        return _metadata(name, directory)


def _metadata(name: str, directory: int | None) -> Metadata:
    known = system.quick_metadata(name)
    if known is not None:
        is_directory, size, created_ms, modified_ms = known
        return Metadata(is_directory, not is_directory, False, size, created_ms, modified_ms)
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    is_link = system.is_link(status)
    if is_link:
        status = os.stat(name, dir_fd=directory)
    mode = status.st_mode
    return Metadata(
        is_directory=stat.S_ISDIR(mode),
        is_file=stat.S_ISREG(mode),
        is_symlink=is_link,
        size=status.st_size,
        created_at_ms=system.created_ms(name, directory, status),
        modified_at_ms=status.st_mtime_ns // 1_000_000,
    )


def read_directory(path: str) -> list[DirectoryEntry]:
    """Returns the entries of a directory, sorted by name as bytes; links are followed.

    What cannot be followed, such as a link to nothing, is listed as neither directory nor file.
    """
    listing: list[DirectoryEntry] = []
    with system.entries(path) as found:
        for entry in sorted(found, key=lambda entry: os.fsencode(entry.name)):
            try:
                is_directory, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # A loop of links, or one that leads where this user cannot go.
                is_directory = is_file = False
            shown = system.wire_name(entry.name)
            uri = None
            if not system.plain_name(entry.name):
                found_uri = PathUri.from_native(os.path.join(path, entry.name), system.CONVENTION)
                if shown != entry.name or found_uri.is_fallback:
                    uri = str(found_uri)
            listing.append(DirectoryEntry(shown, is_directory, is_file, uri))
    return listing
