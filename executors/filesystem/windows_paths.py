r"""What a path means on Windows: exact and long paths, links and the names of open files."""

from __future__ import annotations

import _winapi
import ctypes
import os
import re
import sys
from ctypes import wintypes

from executors.protocol.path_uri import Convention, PathUri

assert sys.platform == "win32"

_ORDINARY_LENGTH = 240
"""MAX_PATH (260) less room for an 8.3 name, which a directory needs, and less a margin."""

_VERBATIM = "\\\\?\\"
_VERBATIM_SHARE = "\\\\?\\UNC\\"
_DEVICES = "\\\\.\\"

_NAME_OF_NOTHING = re.compile(r"[\\/][. ]+(?=[\\/]|\Z)")

_ERROR_FILE_NOT_FOUND = 2
_ERROR_PATH_NOT_FOUND = 3
_NO_FINAL_NAME = frozenset({1, 50, 234, 1005})
"""Of GetFinalPathNameByHandle, for a file that can be opened: ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED
and ERROR_UNRECOGNIZED_VOLUME on volumes that the mount manager does not know (RAM disks, some file
servers); ERROR_MORE_DATA for paths over MAX_PATH under Wine 8.0."""

_FILE_NAME_INFO = 2
_SHARE_ALL = 0x7  # read, write, delete
_BACKUP_SEMANTICS = 0x02000000  # Opens directories too.
_MOST_NAME_BYTES = 2 * 0x8000

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_get_file_information = _kernel32.GetFileInformationByHandleEx
_get_file_information.restype = wintypes.BOOL
_get_file_information.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)


def exact(path: str) -> str:
    r"""Returns the absolute *path* as the file system itself takes it, beginning with ``\\?\``.

    What Win32 makes of a path (GetFullPathNameW: dots and blanks at the end of a name vanish,
    ``NUL`` is a device) is settled here once: the result has one meaning in every call, of any
    length, and so has each name below it that a directory tells. Paths that begin with ``\\?\``
    stay, as do those of devices, ``\\.\NUL``.

    :raises ValueError: a name has nothing but dots and blanks. Win32 takes it for the directory
        that it would be in, so that removing ``C:\x\...`` would remove ``C:\x``.
    """
    if path.startswith((_VERBATIM, _DEVICES)):
        return path
    if _NAME_OF_NOTHING.search(path):
        raise ValueError(f"'{ordinary(path)}' has a name of dots and blanks only, which is none on Windows")
    full = os.path.abspath(path)
    if full.startswith(_DEVICES):
        return full
    return _VERBATIM_SHARE + full[2:] if full.startswith("\\\\") else _VERBATIM + full


def ordinary(path: str) -> str:
    r"""Returns *path* without ``\\?\`` where that changes nothing."""
    if path.startswith(_VERBATIM):
        uri = PathUri.from_native(path, Convention.WINDOWS)
        if not uri.is_fallback:
            return uri.to_native("windows")
    return path


def is_device(path: str) -> bool:
    """Whether the result of :func:`exact` is in the namespace of devices."""
    return path.startswith(_DEVICES)


def extended(path: str) -> str:
    r"""Returns *path* with the ``\\?\`` prefix if it is too long for the ordinary form."""
    if len(path) < _ORDINARY_LENGTH or path.startswith((_VERBATIM, _DEVICES)):
        return path
    return _VERBATIM_SHARE + path[2:] if path.startswith("\\\\") else _VERBATIM + path


def canonicalize(path: str) -> str:
    """Returns the absolute *path* with every link resolved, in the case that the file system has.

    :raises OSError: something on the way is missing or cannot be entered.
    """
    path = ordinary(path)
    given = extended(path)
    try:
        return _ordinary(os.path.realpath(given, strict=True), path)
    except OSError as error:
        if error.winerror not in _NO_FINAL_NAME:
            raise
        found = _name_on_volume(given, os.path.splitdrive(path)[0])
        if found is None:
            raise
        return found


def real_path(path: str) -> str:
    """As :func:`canonicalize`, but what is missing stays as it is spelt.

    :raises OSError: something on the way cannot be entered.
    """
    path = ordinary(path)
    try:
        return _ordinary(os.path.realpath(extended(path)), path)
    except OSError as error:
        # realpath does not catch every error that a volume has in place of a name.
        if error.winerror not in _NO_FINAL_NAME:
            raise
    try:
        return canonicalize(path)
    except OSError as error:
        parent, name = os.path.split(path)
        missing = error.winerror in (_ERROR_FILE_NOT_FOUND, _ERROR_PATH_NOT_FOUND)
        if not missing or not name or os.path.lexists(extended(path)):
            raise
        return os.path.join(real_path(parent), name)


def _ordinary(resolved: str, path: str) -> str:
    """*resolved* without the prefix that only the length of *path* had called for."""
    if path.startswith(_VERBATIM) or len(path) < _ORDINARY_LENGTH:
        return resolved
    if resolved.startswith(_VERBATIM_SHARE):
        return "\\\\" + resolved[len(_VERBATIM_SHARE) :]
    return resolved.removeprefix(_VERBATIM)


def _name_on_volume(given: str, drive: str) -> str | None:
    """Returns what the volume itself calls the file, or None if that is on another drive or share."""
    handle = _winapi.CreateFile(given, 0, _SHARE_ALL, 0, _winapi.OPEN_EXISTING, _BACKUP_SEMANTICS, 0)
    try:
        buffer = ctypes.create_string_buffer(4 + _MOST_NAME_BYTES)
        if not _get_file_information(handle, _FILE_NAME_INFO, buffer, len(buffer)):
            raise ctypes.WinError(ctypes.get_last_error())
    finally:
        _winapi.CloseHandle(handle)
    length = int.from_bytes(buffer.raw[:4], "little")
    name = buffer.raw[4 : 4 + length].decode("utf-16-le", "surrogatepass")
    # Of a file on a share the name begins with server and share.
    found = f"\\{name}" if drive.startswith("\\\\") else drive[:1].upper() + drive[1:] + name
    try:
        same = os.path.samefile(extended(found), given)
    except OSError:
        return None
    return found if same else None
