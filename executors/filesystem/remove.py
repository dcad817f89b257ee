"""Removing files and whole trees."""

from __future__ import annotations

import contextlib
import os
import stat

from executors.filesystem import system
from executors.filesystem.errors import RefusedError


def remove(path: str, *, recursive: bool = True, force: bool = True) -> None:
    """Removes a file, a link itself, or a directory; never what a link leads to.

    :param recursive: also what is in the directory, however deep; else it has to be empty.
    :param force: it is no error if *path* is missing.
    :raises RefusedError: *path* is the root of a file system tree.
    """
    if os.path.dirname(path) == path:
        raise RefusedError(f"refused to remove `{path}`: it is the root directory")
    ignored = contextlib.suppress(FileNotFoundError) if force else contextlib.nullcontext()
    with ignored, system.location(path) as (name, directory):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and not system.is_link(status):
            if recursive:
                _empty(path)
            os.rmdir(name, dir_fd=directory)
        else:
            system.unlink(name, directory)


def _empty(path: str) -> None:
    """Removes everything below the directory *path*.

    What somebody else removes at the same time is no error.
    """
    with system.TreeCursor(path) as cursor:
        pending = [cursor.scan()]
        while True:
            if pending[-1]:
                name, is_directory = pending[-1].pop()
                remove_here = system.unlink
            else:
                pending.pop()
                if not pending:
                    return
                name, is_directory = cursor.up(), False
                remove_here = _rmdir
            try:
                if is_directory:
                    cursor.down(name)
                    pending.append(cursor.scan())
                else:
                    remove_here(cursor.at(name), cursor.dir_fd)
            except FileNotFoundError:
                pass
            except OSError as error:
                error.filename = cursor.path(name)
                raise


def _rmdir(name: str, directory: int | None) -> None:
    os.rmdir(name, dir_fd=directory)
