"""Win32's own answers about paths, asked in the environment: what the tests of Windows expect."""

from __future__ import annotations

import textwrap
from typing import Any, Final, Unpack

from fixtures.programs import BoundPython
from harness.client.process import StartOptions
from suites.asking import ask

_CALLS: Final = r"""
import ctypes
from ctypes import wintypes

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
kernel32.CreateFileW.restype = kernel32.FindFirstFileW.restype = wintypes.HANDLE
kernel32.CreateFileW.argtypes = [wintypes.LPCWSTR, *[wintypes.DWORD] * 2, wintypes.LPVOID,
                                 *[wintypes.DWORD] * 2, wintypes.HANDLE]
kernel32.GetFinalPathNameByHandleW.argtypes = [wintypes.HANDLE, wintypes.LPWSTR, *[wintypes.DWORD] * 2]
kernel32.CloseHandle.argtypes = kernel32.FindClose.argtypes = [wintypes.HANDLE]
NO_HANDLE = wintypes.HANDLE(-1).value

def text_of(call, *arguments):
    buffer = ctypes.create_unicode_buffer(40_000)
    if not call(buffer, len(buffer)):
        raise ctypes.WinError(ctypes.get_last_error())
    return buffer.value

def full_path(path):
    return text_of(lambda buffer, size: kernel32.GetFullPathNameW(path, size, buffer, None))

def long_path(path):
    return text_of(lambda buffer, size: kernel32.GetLongPathNameW(path, buffer, size))

def short_path(path):
    return text_of(lambda buffer, size: kernel32.GetShortPathNameW(path, buffer, size))

def final_path(path):
    "Where opening the path leads: with the names that the volume has, links followed."
    handle = kernel32.CreateFileW(path, 0, 7, None, 3, 0x02000000, None)
    if handle == NO_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        found = text_of(lambda buffer, size: kernel32.GetFinalPathNameByHandleW(handle, buffer, size, 0))
    finally:
        kernel32.CloseHandle(handle)
    return "\\" + found[7:] if found.startswith("\\\\?\\UNC\\") else found.removeprefix("\\\\?\\")

def found_name(path):
    "The last name as the directory has it."
    data = (ctypes.c_ubyte * 592)()
    handle = kernel32.FindFirstFileW(path, data)
    if handle == NO_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    kernel32.FindClose(handle)
    return bytes(data)[44:44 + 520].decode("utf-16-le", "surrogatepass").partition("\0")[0]

def attributes(path):
    "Those of the file, or None if there is none."
    kernel32.GetFileAttributesW.restype = wintypes.DWORD
    found = kernel32.GetFileAttributesW(path)
    return None if found == 0xFFFFFFFF else found

def exactly(path):
    "The path as the file system itself takes it, with nothing normalised away."
    return path if path.startswith("\\\\") else "\\\\?\\" + path

def tree(path):
    "What every file below holds."
    root = exactly(path) + "\\"
    found = [os.path.join(place, name) for place, _, names in os.walk(root) for name in names]
    return {file.removeprefix(root): open(file, encoding="latin-1").read() for file in found}

def write(path, text):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)

def attempt(call, *arguments):
    "What the call returns, or the name of its error."
    try:
        return call(*arguments)
    except OSError as error:
        return type(error).__name__
"""


def ask_win32(
    python: BoundPython, code: str, question: object = None, **options: Unpack[StartOptions]
) -> Any:
    """As :func:`suites.asking.ask`; *code* also finds the functions of ``_CALLS`` here."""
    return ask(python, _CALLS + textwrap.dedent(code), question, **options)
