r"""Files on Windows. Paths get the ``\\?\`` prefix where they are too long for the ordinary form."""

from __future__ import annotations

import _winapi
import contextlib
import ctypes
import msvcrt
import os
import re
import stat
import sys
from collections.abc import Iterator
from ctypes import wintypes

from executors.filesystem import windows_paths
from executors.filesystem.errors import RefusedError, not_a_file
from executors.filesystem.streams import copy_stream, write_all
from executors.protocol.path_uri import Convention

assert sys.platform == "win32"

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

CONVENTION = Convention.WINDOWS

NEW_DIRECTORY_MODE = 0o777
"""Any other would replace what the directory inherits."""

OPEN_FLAGS = os.O_BINARY | os.O_NOINHERIT

_LINKS = frozenset({stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT})

canonicalize = windows_paths.canonicalize
copy_data = copy_stream

plain_name = re.compile(r"[A-Za-z0-9_~+=@,-]{5,}(?:[A-Za-z0-9._~+=@,-]*[A-Za-z0-9_~+=@,-])?").fullmatch
"""Tells of many names that they read the same in a URI: not of those that may be a device's."""
exact = windows_paths.exact
extended = windows_paths.extended
real_path = windows_paths.real_path


@contextlib.contextmanager
def location(path: str) -> Iterator[tuple[str, int | None]]:
    """What to hand to ``os`` functions as path and as ``dir_fd``, for a path of any length."""
    yield extended(path), None


@contextlib.contextmanager
def entries(path: str, *, follow: bool = True) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of a directory, as long as the context lasts.

    :param follow: whether *path* itself may be a link or junction.
    """
    path = extended(path)
    if not follow:
        _refuse_link(path)
    with os.scandir(path) as found:
        yield found


def _refuse_link(path: str) -> None:
    status = os.lstat(path)
    if is_link(status) or not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(20, "Not a directory", path)


def entry_identity(entry: os.DirEntry[str]) -> tuple[int, int]:
    """Tells files apart, links followed."""
    status = os.stat(entry.path)  # What a directory entry itself says here lacks the two.
    return status.st_dev, status.st_ino


def entry_is_link(entry: os.DirEntry[str]) -> bool:
    """Symbolic link or junction."""
    return entry.is_symlink() or is_link(entry.stat(follow_symlinks=False))


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_create_file = _kernel32.CreateFileW
_create_file.restype = wintypes.HANDLE
_create_file.argtypes = (
    wintypes.LPCWSTR,
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.LPVOID,
    wintypes.DWORD,
    wintypes.DWORD,
    wintypes.HANDLE,
)
_GENERIC_READ = 0x80000000
_SHARE_ALL = 0x7  # read, write, delete
_OPEN_EXISTING = 3
_FILE_ATTRIBUTE_NORMAL = 0x80
_INVALID_HANDLE = wintypes.HANDLE(-1).value


def open_regular(
    name: str, directory: int | None, shown: str, *, follow: bool = True
) -> tuple[int, os.stat_result]:
    """Opens a regular file to read, so that others may still rename and delete it.

    :param directory: None.
    :param shown: the path for the error.
    :raises RefusedError: it is something else.
    """
    status = os.stat(name, follow_symlinks=follow)
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(display(shown), status.st_mode)
    handle = _create_file(name, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, _FILE_ATTRIBUTE_NORMAL, None)
    if handle == _INVALID_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        descriptor = msvcrt.open_osfhandle(handle, os.O_RDONLY | OPEN_FLAGS)
    except BaseException:
        _winapi.CloseHandle(handle)
        raise
    return descriptor, os.fstat(descriptor)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """As ``os.pread``, but moves the position: one call at a time on a descriptor."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, length)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> int:
    """As ``os.pwrite``, but moves the position: one call at a time on a descriptor."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    write_all(descriptor, data)
    return len(data)


def created_ms(path: str, directory: int | None, status: os.stat_result) -> int:
    """When the file was created, links followed."""
    return int(getattr(status, "st_birthtime", status.st_ctime) * 1000)


class _Attributes(ctypes.Structure):
    """WIN32_FILE_ATTRIBUTE_DATA; its times are 100 ns since 1601."""

    _fields_ = (
        ("attributes", wintypes.DWORD),
        ("created", wintypes.FILETIME),
        ("accessed", wintypes.FILETIME),
        ("modified", wintypes.FILETIME),
        ("size_high", wintypes.DWORD),
        ("size_low", wintypes.DWORD),
    )


_get_file_attributes = _kernel32.GetFileAttributesExW
_get_file_attributes.restype = wintypes.BOOL
_get_file_attributes.argtypes = (wintypes.LPCWSTR, ctypes.c_int, ctypes.POINTER(_Attributes))
# Devices are not, and a second colon is that of a stream.
_on_a_drive = re.compile(r"(?:\\\\\?\\)?[A-Za-z]:\\[^:]*").fullmatch


def quick_metadata(name: str) -> tuple[bool, int, int, int] | None:
    """Returns whether it is a directory, its size, and when it was created and written, in ms of the epoch.

    One call that opens nothing, in place of the five of ``os.stat``.

    :returns: None for what takes more than that: links, what is not there, whatever is no drive's.
    """
    found = _Attributes()
    if not _on_a_drive(name) or not _get_file_attributes(name, 0, ctypes.byref(found)):
        return None
    if found.attributes & (stat.FILE_ATTRIBUTE_REPARSE_POINT | stat.FILE_ATTRIBUTE_DEVICE):
        return None
    is_directory = bool(found.attributes & stat.FILE_ATTRIBUTE_DIRECTORY)
    size = found.size_high << 32 | found.size_low
    return is_directory, size, _epoch_ms(found.created), _epoch_ms(found.modified)


def _epoch_ms(time: wintypes.FILETIME) -> int:
    return ((time.dwHighDateTime << 32 | time.dwLowDateTime) - 116_444_736_000_000_000) // 10_000


def unlink(name: str, directory: int | None) -> None:
    """Removes a file, link or junction itself, also if it is marked read-only, as git marks its objects."""
    try:
        os.unlink(name)
    except PermissionError:
        if os.lstat(name).st_file_attributes & stat.FILE_ATTRIBUTE_READONLY:
            os.chmod(name, stat.S_IWRITE)
            os.unlink(name)
        else:
            raise


def is_link(status: os.stat_result) -> bool:
    """Whether the result of ``os.lstat`` is of something that leads elsewhere: symbolic link or junction."""
    return stat.S_ISLNK(status.st_mode) or status.st_reparse_tag in _LINKS


def copy_link(source: str, source_dir: int | None, target: str, target_dir: int | None) -> None:
    """Symbolic links need the right to make them (Developer Mode or an administrator); junctions do not."""
    status = os.lstat(source)
    destination = os.readlink(source)
    if status.st_reparse_tag == stat.IO_REPARSE_TAG_MOUNT_POINT:
        # There is no public function for it.
        _winapi.CreateJunction(destination.removeprefix("\\\\?\\"), target)
    else:
        directory = bool(status.st_file_attributes & stat.FILE_ATTRIBUTE_DIRECTORY)
        os.symlink(destination, target, target_is_directory=directory)


def set_mode(descriptor: int, mode: int) -> None:
    """Nothing: who may do what with a file is inherited from its directory."""


def adopt(descriptor: int, status: os.stat_result) -> None:
    """Nothing: see :func:`set_mode`."""


def display(path: str) -> str:
    r"""The path as text for a message, without a needless ``\\?\``; U+FFFD stands for lone surrogates."""
    return wire_name(windows_paths.ordinary(path))


def wire_name(name: str) -> str:
    """A file name as Unicode text, which differs from the name where that has lone surrogates."""
    if name.isascii():
        return name
    return name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def make_directory(name: str, mode: int, directory: int | None) -> None:
    """:raises RefusedError: *name* is a device; Wine 8.0 reports success there and makes nothing."""
    if windows_paths.is_device(name):
        raise RefusedError(f"path `{display(name)}` is a device: no directory can be made there")
    os.mkdir(name, mode)


class TreeCursor:
    """A place in a directory tree, which enters no link or junction on its way down."""

    dir_fd: int | None = None

    def __init__(self, path: str, *, follow: bool = False) -> None:
        """:param follow: whether *path* itself may be a link."""
        # Always long: what lies below may be.
        self._path = path if path.startswith("\\\\") else f"\\\\?\\{path}"
        self._path = extended(self._path)
        self._names: list[str] = []
        if not follow:
            _refuse_link(self._path)

    def __enter__(self) -> TreeCursor:
        return self

    def __exit__(self, *unused: object) -> None:
        pass

    def at(self, name: str) -> str:
        return extended(self.path(name))

    def path(self, name: str) -> str:
        """The whole path of an entry here."""
        return "\\".join([self._path.rstrip("\\"), *self._names, name])

    def _here(self) -> str:
        return extended("\\".join([self._path.rstrip("\\"), *self._names]) if self._names else self._path)

    @property
    def identity(self) -> tuple[int, int]:
        status = os.stat(self._here())
        return status.st_dev, status.st_ino

    @property
    def mode(self) -> int:
        return os.stat(self._here()).st_mode

    def scan(self) -> list[tuple[str, bool]]:
        """The names here, sorted, and whether each is a directory; a link or junction is none."""
        with os.scandir(self._here()) as found:
            return sorted((entry.name, entry.is_dir() and not entry_is_link(entry)) for entry in found)

    def set_mode(self, mode: int) -> None:
        """Nothing: see :func:`set_mode`."""

    def down(self, name: str) -> None:
        """:raises NotADirectoryError: for a link or junction, also for one that was a directory just now."""
        _refuse_link(self.at(name))
        self._names.append(name)

    def up(self) -> str:
        """Returns the name of the directory that was left."""
        return self._names.pop()
