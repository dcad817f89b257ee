"""Copying files and whole trees."""

from __future__ import annotations

import os
import stat

from executors.filesystem import system
from executors.filesystem.errors import RefusedError
from executors.filesystem.local import create_directory

_NEW_FILE = os.O_WRONLY | os.O_CREAT | system.OPEN_FLAGS
_COPIED_BITS = ~(stat.S_ISUID | stat.S_ISGID)
"""A copy may have another owner, in whose name a program must not run because of the original."""


def copy(source: str, destination: str, *, recursive: bool) -> None:
    """Copies a file, a symbolic link as such, or a directory with all that is in it.

    A file replaces the content of an existing file, and gives it its permission bits; a link
    replaces nothing. A directory is merged into an existing one, else its parents are made;
    each directory that is made gets the original's permission bits. FIFOs, sockets and devices
    in a tree are left out. The first failure ends the copy, and what was copied stays.

    :raises RefusedError: the source is a directory and *recursive* is false; it is no file,
        directory or link; or the two are the same, or the destination is inside the source.
    """
    with system.location(source) as (name, directory):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and not system.is_link(status):
            if not recursive:
                raise RefusedError("fs/copy requires recursive: true when sourcePath is a directory")
            _refuse_inside(destination, os.stat(name, dir_fd=directory))
            _copy_tree(source, destination, status.st_mode)
            return
        with system.location(destination) as (target, target_dir):
            if not _copy_entry(name, directory, target, target_dir, source):
                raise _unsupported()


def _unsupported() -> RefusedError:
    return RefusedError("fs/copy only supports regular files, directories, and symlinks")


def _into_itself() -> RefusedError:
    return RefusedError("fs/copy cannot copy a directory to itself or one of its descendants")


def _refuse_inside(path: str, status: os.stat_result) -> None:
    """:raises RefusedError: *path*, which may be missing, is the directory of *status* or below it."""
    # The real path, not the spelling: a link on the way can lead into the source.
    path = system.real_path(path)
    while True:
        try:
            with system.location(path) as (name, directory):
                above = os.stat(name, dir_fd=directory)
        except OSError:
            pass  # Missing, or below a file, which the copy itself will find.
        else:
            if os.path.samestat(above, status):
                raise _into_itself()
        last, path = path, os.path.dirname(path)
        if path == last:
            return


def _copy_entry(name: str, directory: int | None, target: str, target_dir: int | None, shown: str) -> bool:
    """Copies what is no directory; returns whether it is of a kind that can be copied.

    :param shown: the path of the source for an error.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if system.is_link(status):
        system.copy_link(name, directory, target, target_dir)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(name, directory, target, target_dir, shown)
    else:
        return False
    return True


def _copy_file(name: str, directory: int | None, target: str, target_dir: int | None, shown: str) -> None:
    source, status = system.open_regular(name, directory, shown, follow=False)
    try:
        copied = os.open(target, _NEW_FILE, status.st_mode & 0o777, dir_fd=target_dir)
        try:
            existing = os.fstat(copied)
            if not stat.S_ISREG(existing.st_mode):
                raise _unsupported()
            # Only now that it is known to be another file may it lose its content.
            if os.path.samestat(existing, status):
                raise RefusedError(f"fs/copy cannot copy the file `{system.display(shown)}` to itself")
            os.ftruncate(copied, 0)
            system.copy_data(source, copied)
            mode = status.st_mode & _COPIED_BITS
            if mode != existing.st_mode:
                system.set_mode(copied, mode)
        finally:
            os.close(copied)
    finally:
        os.close(source)


def _copy_tree(source: str, destination: str, mode: int) -> None:
    create_directory(os.path.dirname(destination))
    with system.location(destination) as (target, target_dir):
        made = _make_directory(target, target_dir, follow=True)
    with system.TreeCursor(source) as here, system.TreeCursor(destination, follow=True) as there:
        root = there.identity
        pending = [here.scan()]
        modes = [mode if made else None]
        while True:
            if not pending[-1]:
                pending.pop()
                # Last, because a directory that is read-only could not be filled.
                if (bits := modes.pop()) is not None:
                    there.set_mode(bits)
                if not pending:
                    return
                here.up()
                there.up()
                continue
            name, is_directory = pending[-1].pop()
            try:
                if is_directory:
                    here.down(name)
                    if here.identity == root:
                        raise _into_itself()  # Moved there after the check.
                    made = _make_directory(there.at(name), there.dir_fd)
                    there.down(name)
                    modes.append(here.mode if made else None)
                    pending.append(here.scan())
                else:
                    _copy_entry(here.at(name), here.dir_fd, there.at(name), there.dir_fd, here.path(name))
            except RefusedError:
                raise
            except OSError as error:
                error.filename = here.path(name)
                raise


def _make_directory(name: str, directory: int | None, *, follow: bool = False) -> bool:
    """Returns False if the directory was there, by *follow* also at the end of a link."""
    try:
        system.make_directory(name, system.NEW_DIRECTORY_MODE, directory)
    except FileExistsError:
        status = os.stat(name, dir_fd=directory, follow_symlinks=follow)
        if not stat.S_ISDIR(status.st_mode):
            raise
        return False
    return True
