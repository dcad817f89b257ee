"""What :mod:`canary_program` tries on Windows besides; it is imported there, on its own."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from ctypes import wintypes
from typing import Any

assert sys.platform == "win32"

DONE = "done"
Facts = dict[str, Any]

_VM_READ = 0x10
_VM_WRITE = 0x20
_VM_OPERATION = 0x08
_FILE_OBJECT = 1

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.OpenProcess.restype = wintypes.HANDLE
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)


def _open(facts: Facts, access: int) -> wintypes.HANDLE:
    handle = _kernel32.OpenProcess(access, False, facts["victim"])
    if not handle:
        raise ctypes.WinError(ctypes.get_last_error())
    return wintypes.HANDLE(handle)


def read_memory(facts: Facts) -> str:
    handle = _open(facts, _VM_READ)
    buffer = ctypes.create_string_buffer(128)
    try:
        address = ctypes.c_void_p(facts["address"])
        if not _kernel32.ReadProcessMemory(handle, address, buffer, ctypes.c_size_t(len(buffer)), None):
            raise ctypes.WinError(ctypes.get_last_error())
    finally:
        _kernel32.CloseHandle(handle)
    return DONE if facts["token"].encode() in buffer.raw else ""


def write_memory(facts: Facts) -> str:
    """To be let open it is enough: nothing is written."""
    _kernel32.CloseHandle(_open(facts, _VM_WRITE | _VM_OPERATION))
    return DONE


def change_permissions(facts: Facts) -> str:
    """Takes the access list of a file away, as its owner may."""
    path = os.path.join(facts["outside"], facts["attempt"], "file")
    dacl = 4
    code = _advapi32.SetNamedSecurityInfoW(ctypes.c_wchar_p(path), _FILE_OBJECT, dacl, None, None, None, None)
    if code:
        raise ctypes.WinError(code)
    return DONE


def send_signal(facts: Facts) -> str:
    os.kill(facts["victim"], signal.SIGTERM)
    return DONE


ATTEMPTS: dict[str, Callable[[Facts], str]] = {
    "read memory of a process": read_memory,
    "write memory of a process": write_memory,
    "change permissions": change_permissions,
    "signal a process": send_signal,
}
