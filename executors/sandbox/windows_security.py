"""Tokens, access lists and integrity labels, as far as the sandbox of Windows needs them.

Sources: Microsoft's reference of securitybaseapi.h, aclapi.h and sddl.h.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from ctypes import wintypes
from typing import Any, Final

from executors.process import windows_api as api
from executors.process import wine

assert sys.platform == "win32"

_TOKEN_ACCESS: Final = 0x0002 | 0x0001 | 0x0008 | 0x0080
"""TOKEN_DUPLICATE, TOKEN_ASSIGN_PRIMARY, TOKEN_QUERY and TOKEN_ADJUST_DEFAULT."""
_DISABLE_MAX_PRIVILEGE: Final = 0x1
_WRITE_RESTRICTED: Final = 0x8
_TOKEN_GROUPS: Final = 2
_TOKEN_INTEGRITY_LEVEL: Final = 25
_INTEGRITY: Final = 0x20
_LOGON_ID: Final = 0xC000_0000
_FILE_OBJECT: Final = 1
_DACL: Final = 0x4
_LABEL: Final = 0x10
_GRANT: Final = 1
_REVOKE: Final = 4
_INHERIT: Final = 3
_ALL_ACCESS: Final = 0x001F_01FF
"""FILE_ALL_ACCESS, without changing the access list (WRITE_DAC) and the owner (WRITE_OWNER) below."""
_OWNERSHIP: Final = 0x0004_0000 | 0x0008_0000
_SDDL_VERSION: Final = 1
_LOW: Final = "S-1-16-4096"

_P = ctypes.c_void_p
_D = wintypes.DWORD


class _SidAndAttributes(ctypes.Structure):
    _fields_ = [("Sid", _P), ("Attributes", _D)]


class _Trustee(ctypes.Structure):
    _fields_ = [
        ("pMultipleTrustee", _P),
        ("MultipleTrusteeOperation", ctypes.c_int),
        ("TrusteeForm", ctypes.c_int),
        ("TrusteeType", ctypes.c_int),
        ("ptstrName", _P),
    ]


class _ExplicitAccess(ctypes.Structure):
    _fields_ = [
        ("grfAccessPermissions", _D),
        ("grfAccessMode", ctypes.c_int),
        ("grfInheritance", _D),
        ("Trustee", _Trustee),
    ]


_checked = functools.partial(api.checked, library=api.advapi32)


def _coded(name: str, *arguments: Any) -> Any:
    """A function that returns the number of its error."""
    function = api.declare(api.advapi32, name, _D, *arguments)

    def call(subject: str | None, *values: Any) -> None:
        code = function(*values)
        if code:
            raise api.failure(subject, code)

    return call


_open_token = _checked("OpenProcessToken", wintypes.HANDLE, _D, ctypes.POINTER(wintypes.HANDLE))
_restrict = _checked(
    "CreateRestrictedToken",
    wintypes.HANDLE,
    _D,
    _D,
    _P,
    _D,
    _P,
    _D,
    _P,
    ctypes.POINTER(wintypes.HANDLE),
)
_query = _checked("GetTokenInformation", wintypes.HANDLE, ctypes.c_int, _P, _D, ctypes.POINTER(_D))
_set = _checked("SetTokenInformation", wintypes.HANDLE, ctypes.c_int, _P, _D)
_to_sid = _checked("ConvertStringSidToSidW", wintypes.LPCWSTR, ctypes.POINTER(_P))
_to_descriptor = _checked(
    "ConvertStringSecurityDescriptorToSecurityDescriptorW",
    wintypes.LPCWSTR,
    _D,
    ctypes.POINTER(_P),
    _P,
)
_get_sacl = _checked("GetSecurityDescriptorSacl", _P, _P, ctypes.POINTER(_P), _P)
_get_security = _coded(
    "GetNamedSecurityInfoW", wintypes.LPCWSTR, ctypes.c_int, _D, _P, _P, _P, _P, ctypes.POINTER(_P)
)
_set_security = _coded("SetNamedSecurityInfoW", wintypes.LPCWSTR, ctypes.c_int, _D, _P, _P, _P, _P)
_set_entries = _coded("SetEntriesInAclW", wintypes.ULONG, _P, _P, ctypes.POINTER(_P))
_get_length = api.declare(api.advapi32, "GetLengthSid", _D, _P)
_local_free = api.declare(api.kernel32, "LocalFree", _P, _P)
_current_process = api.declare(api.kernel32, "GetCurrentProcess", wintypes.HANDLE)


class Sid:
    """A security identifier, by its text such as ``S-1-1-0``."""

    def __init__(self, text: str) -> None:
        self.address = _P()
        _to_sid(text, ctypes.byref(self.address))

    def __del__(self) -> None:
        if self.address:
            _local_free(self.address)


def restricted_token(sid: Sid) -> api.Handle:
    """Returns a token of this process's user that may write only where *sid* or this logon may, with no
    privileges and low integrity.

    :raises OSError: the system refuses.
    """
    own = wintypes.HANDLE()
    _open_token(_current_process(), _TOKEN_ACCESS, ctypes.byref(own))
    process_token = api.Handle(int(own.value or 0))
    try:
        groups, logon = _logon_sid(int(process_token))
        entries = [_SidAndAttributes(sid.address, 0)]
        if logon is not None:
            # Consoles and pipes of this logon are written to in its name.
            entries.append(_SidAndAttributes(logon, 0))
        array = (_SidAndAttributes * len(entries))(*entries)
        made = wintypes.HANDLE()
        flags = _DISABLE_MAX_PRIVILEGE | _WRITE_RESTRICTED
        _restrict(int(process_token), flags, 0, None, 0, None, len(entries), array, ctypes.byref(made))
        del groups
    finally:
        process_token.close()
    token = api.Handle(int(made.value or 0))
    low = Sid(_LOW)
    label = _SidAndAttributes(low.address, _INTEGRITY)
    size = ctypes.sizeof(label) + _get_length(low.address)
    _set(int(token), _TOKEN_INTEGRITY_LEVEL, ctypes.byref(label), size)
    return token


def _logon_sid(token: int) -> tuple[Any, int | None]:
    """Returns a buffer, and the address in it of the identifier of this logon; None if it has none."""
    size = _D()
    try:
        _query(token, _TOKEN_GROUPS, None, 0, ctypes.byref(size))
    except OSError:
        # By design: it says how large the buffer must be.
        if not size.value:
            raise
    buffer = ctypes.create_string_buffer(size.value)
    _query(token, _TOKEN_GROUPS, buffer, size, ctypes.byref(size))
    count = _D.from_buffer(buffer).value
    offset = ctypes.sizeof(_P)
    for group in (_SidAndAttributes * count).from_buffer(buffer, offset):
        if group.Attributes & _LOGON_ID == _LOGON_ID:
            return buffer, group.Sid
    return buffer, None


def grant(path: str, sid: Sid) -> None:
    """Lets *sid* write to *path* and all below it, and programs of low integrity as far as the list allows.

    :raises OSError: the system refuses, as where the user may not change the list.
    """
    _change_list(path, sid, _GRANT)
    try:
        _set_label(path, "S:(ML;OICI;NW;;;LW)")
    except BaseException:
        _change_list(path, sid, _REVOKE)
        raise


def revoke(path: str, sid: Sid) -> None:
    """Takes back what :func:`grant` has given."""
    try:
        _change_list(path, sid, _REVOKE)
    finally:
        _set_label(path, "S:")


def _change_list(path: str, sid: Sid, mode: int) -> None:
    old, descriptor, new = _P(), _P(), _P()
    _get_security(
        path, path, _FILE_OBJECT, _DACL, None, None, ctypes.byref(old), None, ctypes.byref(descriptor)
    )
    try:
        # TRUSTEE_IS_SID is 0.
        trustee = _Trustee(None, 0, 0, 0, sid.address)
        access = _ExplicitAccess(_ALL_ACCESS & ~_OWNERSHIP, mode, _INHERIT, trustee)
        _set_entries(path, 1, ctypes.byref(access), old, ctypes.byref(new))
        _set_security(path, path, _FILE_OBJECT, _DACL, None, None, new, None)
    finally:
        _local_free(new)
        _local_free(descriptor)


def _set_label(path: str, text: str) -> None:
    if wine.wine_version() is not None:
        # It has no labels of files, nor checks any.
        return
    descriptor, sacl, present, defaulted = _P(), _P(), wintypes.BOOL(), wintypes.BOOL()
    _to_descriptor(text, _SDDL_VERSION, ctypes.byref(descriptor), None)
    try:
        _get_sacl(descriptor, ctypes.byref(present), ctypes.byref(sacl), ctypes.byref(defaulted))
        _set_security(path, path, _FILE_OBJECT, _LABEL, None, None, None, sacl)
    finally:
        _local_free(descriptor)
