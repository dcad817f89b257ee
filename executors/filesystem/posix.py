"""Files on Linux and macOS. Names are bytes; ``str`` holds them as ``os.fsdecode`` does."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
from collections.abc import Iterator

from executors.filesystem.errors import not_a_file
from executors.filesystem.resolve import canonicalize
from executors.protocol.path_uri import Convention

assert sys.platform != "win32"

if sys.platform == "linux":
    from executors.filesystem.linux import copy_data, created_ms
else:
    from executors.filesystem.macos import copy_data, created_ms

__all__ = [
    "CONVENTION",
    "NEW_DIRECTORY_MODE",
    "OPEN_FLAGS",
    "TreeCursor",
    "adopt",
    "canonicalize",
    "copy_data",
    "copy_link",
    "created_ms",
    "display",
    "entries",
    "entry_identity",
    "entry_is_link",
    "exact",
    "is_link",
    "location",
    "make_directory",
    "open_regular",
    "plain_name",
    "quick_metadata",
    "read_at",
    "real_path",
    "set_mode",
    "unlink",
    "wire_name",
    "write_at",
]

CONVENTION = Convention.POSIX

NEW_DIRECTORY_MODE = 0o700
"""Until a copied directory gets the mode of its original, nobody else sees what is in it."""

OPEN_FLAGS = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""For any file: does not wait for the other end of a FIFO and takes no terminal."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PASSAGE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""To a directory that is only gone through: on Linux this needs no right to list it."""

_LONG_PATH_BYTES = 1023
"""The shortest PATH_MAX less its NUL (macOS; Linux has 4095). Longer paths are gone through in pieces."""

real_path = os.path.realpath
"""As :func:`canonicalize`, but what is missing stays as it is spelt."""

plain_name = re.compile(r"[A-Za-z0-9_~+=@,-][A-Za-z0-9._~+=@,-]*").fullmatch
"""Tells of most names that they read the same in a URI."""

read_at = os.pread
write_at = os.pwrite


@contextlib.contextmanager
def location(path: str) -> Iterator[tuple[str, int | None]]:
    """What to hand to ``os`` functions as path and as ``dir_fd``, for a path of any length."""
    if len(os.fsencode(path)) <= _LONG_PATH_BYTES:
        yield path, None
        return
    parent, _, name = path.rpartition("/")
    directory = _open_directory(parent, follow=True, flags=_PASSAGE)
    try:
        yield name, directory
    finally:
        os.close(directory)


def _open_directory(path: str, *, follow: bool, flags: int = _DIRECTORY) -> int:
    rest = os.fsencode(path)
    directory: int | None = None
    try:
        while len(rest) > _LONG_PATH_BYTES:
            cut = rest.rfind(b"/", 1, _LONG_PATH_BYTES)
            if cut < 0:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
            deeper = os.open(rest[:cut], _PASSAGE, dir_fd=directory)
            if directory is not None:
                os.close(directory)
            directory = deeper
            rest = rest[cut + 1 :]
        return os.open(rest, flags if follow else flags | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        if directory is not None:
            os.close(directory)


@contextlib.contextmanager
def entries(path: str, *, follow: bool = True) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of a directory, as long as the context lasts; their ``path`` is of no use.

    :param follow: whether *path* itself may be a link.
    """
    directory = _open_directory(path, follow=follow)
    try:
        with os.scandir(directory) as found:
            yield found
    finally:
        os.close(directory)


def entry_identity(entry: os.DirEntry[str]) -> tuple[int, int]:
    """Tells files apart, links followed."""
    status = entry.stat()
    return status.st_dev, status.st_ino


def entry_is_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink()


def open_regular(
    name: str, directory: int | None, shown: str, *, follow: bool = True
) -> tuple[int, os.stat_result]:
    """Opens a regular file to read.

    Whatever else it is, is not even opened: that can hang, or do something to a device.

    :param shown: the path for the error.
    :raises RefusedError: it is something else.
    """
    status = os.stat(name, dir_fd=directory, follow_symlinks=follow)
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(display(shown), status.st_mode)
    flags = os.O_RDONLY | OPEN_FLAGS | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise not_a_file(display(shown), status.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status


def quick_metadata(name: str) -> tuple[bool, int, int, int] | None:
    """None: there is nothing quicker than ``os.stat``."""
    return None


def unlink(name: str, directory: int | None) -> None:
    """Removes a file or a link itself."""
    os.unlink(name, dir_fd=directory)


def is_link(status: os.stat_result) -> bool:
    """Whether the result of ``os.lstat`` is of something that leads elsewhere."""
    return stat.S_ISLNK(status.st_mode)


def copy_link(source: str, source_dir: int | None, target: str, target_dir: int | None) -> None:
    os.symlink(os.readlink(source, dir_fd=source_dir), target, dir_fd=target_dir)


def set_mode(descriptor: int, mode: int) -> None:
    """Gives an open file or directory the permission bits of *mode*."""
    os.fchmod(descriptor, stat.S_IMODE(mode))


def exact(path: str) -> str:
    """Returns *path*, which has one meaning only here.

    :raises ValueError: never; on Windows, for what no file can be named.
    """
    return path


def make_directory(name: str, mode: int, directory: int | None) -> None:
    os.mkdir(name, mode, dir_fd=directory)


def adopt(descriptor: int, status: os.stat_result) -> None:
    """Gives a new file the owner and permission bits of the one that it will replace.

    :raises PermissionError: it belongs to somebody else, and this is not root.
    """
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def display(path: str) -> str:
    """The path as text for a message; U+FFFD stands for bytes that are not UTF-8."""
    return path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


wire_name = display
"""A file name as Unicode text, which differs from the name where that is not UTF-8."""


_KEPT_DESCRIPTORS = 32
"""Of the directories above the current one. Further up, ``..`` leads back."""


class TreeCursor:
    """A place in a directory tree, which follows no link on its way down and is not misled by renames.

    However deep the place is, the open descriptors are few and no path is longer than one name.
    """

    dir_fd: int | None
    """For the ``os`` functions, together with :meth:`at`."""

    def __init__(self, path: str, *, follow: bool = False) -> None:
        """:param follow: whether *path* itself may be a link."""
        self._names = [path]
        self._above: list[_Level] = []
        self._descriptor = self.dir_fd = _open_directory(path, follow=follow)

    def __enter__(self) -> TreeCursor:
        return self

    def __exit__(self, *unused: object) -> None:
        os.close(self._descriptor)
        for level in self._above:
            level.forget()

    def at(self, name: str) -> str:
        return name

    def path(self, name: str) -> str:
        """The whole path of an entry here, for messages."""
        return "/".join([*self._names, name])

    @property
    def identity(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_dev, status.st_ino

    @property
    def mode(self) -> int:
        return os.fstat(self._descriptor).st_mode

    def scan(self) -> list[tuple[str, bool]]:
        """The names here, sorted, and whether each is a directory; a link is none.

        There are none if the directory itself has been removed.
        """
        try:
            with os.scandir(self._descriptor) as found:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda entry: os.fsencode(entry[0]))

    def set_mode(self, mode: int) -> None:
        set_mode(self._descriptor, mode)

    def down(self, name: str) -> None:
        """:raises OSError: ENOTDIR or ELOOP for a link, also for one that was a directory just now."""
        descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._descriptor)
        self._above.append(_Level(self._descriptor, self.identity))
        if len(self._above) > _KEPT_DESCRIPTORS:
            self._above[-1 - _KEPT_DESCRIPTORS].forget()
        self._names.append(name)
        self._descriptor = self.dir_fd = descriptor

    def up(self) -> str:
        """Returns the name of the directory that was left.

        :raises OSError: ESTALE: it has been moved or removed, and its parent cannot be found any more.
        """
        level = self._above[-1]
        descriptor = level.descriptor if level.descriptor is not None else self._parent(level)
        self._above.pop()
        os.close(self._descriptor)
        self._descriptor = self.dir_fd = descriptor
        return self._names.pop()

    def _parent(self, level: _Level) -> int:
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open("..", _DIRECTORY, dir_fd=self._descriptor)
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == level.identity:
                return descriptor
            os.close(descriptor)
        found = "the directory was moved or removed during the operation"
        raise OSError(errno.ESTALE, found, "/".join(self._names))


class _Level:
    """A directory above the current one."""

    __slots__ = ("descriptor", "identity")

    def __init__(self, descriptor: int, identity: tuple[int, int]) -> None:
        self.descriptor: int | None = descriptor
        self.identity = identity

    def forget(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
