"""The Win32 functions that starting and watching processes needs, typed once.

Sources: Microsoft's reference of processthreadsapi.h, jobapi2.h, namedpipeapi.h and
consoleapi.h. A function that fails raises OSError with the system's number and words.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import wintypes
from ctypes.wintypes import MAX_PATH
from typing import Any

assert sys.platform == "win32"

ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5
ERROR_INVALID_PARAMETER = 87
ERROR_BROKEN_PIPE = 109
ERROR_FILENAME_EXCED_RANGE = 206
ERROR_MORE_DATA = 234
ERROR_DIRECTORY = 267

CREATE_SUSPENDED = 0x00000004
CREATE_NEW_PROCESS_GROUP = 0x00000200
CREATE_UNICODE_ENVIRONMENT = 0x00000400
EXTENDED_STARTUPINFO_PRESENT = 0x00080000
CREATE_NO_WINDOW = 0x08000000
STARTF_USESTDHANDLES = 0x00000100

PROC_THREAD_ATTRIBUTE_HANDLE_LIST = 0x00020002
PROC_THREAD_ATTRIBUTE_JOB_LIST = 0x0002000D
PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE = 0x00020016

CTRL_C_EVENT = 0
CTRL_BREAK_EVENT = 1

kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)


class StartupInfo(ctypes.Structure):
    """STARTUPINFOEXW: STARTUPINFOW with a list of attributes."""

    _fields_ = [
        ("cb", wintypes.DWORD),
        ("lpReserved", wintypes.LPWSTR),
        ("lpDesktop", wintypes.LPWSTR),
        ("lpTitle", wintypes.LPWSTR),
        ("dwX", wintypes.DWORD),
        ("dwY", wintypes.DWORD),
        ("dwXSize", wintypes.DWORD),
        ("dwYSize", wintypes.DWORD),
        ("dwXCountChars", wintypes.DWORD),
        ("dwYCountChars", wintypes.DWORD),
        ("dwFillAttribute", wintypes.DWORD),
        ("dwFlags", wintypes.DWORD),
        ("wShowWindow", wintypes.WORD),
        ("cbReserved2", wintypes.WORD),
        ("lpReserved2", ctypes.c_void_p),
        ("hStdInput", wintypes.HANDLE),
        ("hStdOutput", wintypes.HANDLE),
        ("hStdError", wintypes.HANDLE),
        ("lpAttributeList", ctypes.c_void_p),
    ]


class ProcessInformation(ctypes.Structure):
    _fields_ = [
        ("hProcess", wintypes.HANDLE),
        ("hThread", wintypes.HANDLE),
        ("dwProcessId", wintypes.DWORD),
        ("dwThreadId", wintypes.DWORD),
    ]


class Coord(ctypes.Structure):
    """COORD: columns, then rows."""

    _fields_ = [("X", ctypes.c_short), ("Y", ctypes.c_short)]


def failure(subject: str | None = None, code: int | None = None) -> OSError:
    """Returns the error of the last call on this thread, or that of *code*.

    :param subject: the file or whatever it was about.
    """
    number = ctypes.get_last_error() if code is None else code
    return OSError(0, ctypes.FormatError(number).strip().rstrip("."), subject, number)


def declare(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Returns the function with its types set; looked up once, since each look-up takes its time."""
    function = getattr(library, name)
    function.restype = result
    function.argtypes = arguments
    return function


def checked(name: str, *arguments: Any, library: Any = kernel32) -> Callable[..., None]:
    """Returns a function that raises what the system says where *name* of *library* returns FALSE."""
    function = declare(library, name, wintypes.BOOL, *arguments)

    def call(*values: Any) -> None:
        if not function(*values):
            raise failure()

    call.__name__ = name
    return call


_P = ctypes.c_void_p
_H = wintypes.HANDLE
_D = wintypes.DWORD

_get_system_directory = declare(
    kernel32, "GetSystemDirectoryW", wintypes.UINT, wintypes.LPWSTR, wintypes.UINT
)
close_handle = checked("CloseHandle", _H)
_get_exit_code = checked("GetExitCodeProcess", _H, ctypes.POINTER(_D))
_WAIT_OBJECT_0 = 0
_wait_for_single_object = declare(kernel32, "WaitForSingleObject", _D, _H, _D)
open_process_or_null = declare(kernel32, "OpenProcess", _H, _D, wintypes.BOOL, _D)
_CREATION = (
    wintypes.LPCWSTR,
    _P,
    _P,
    _P,
    wintypes.BOOL,
    _D,
    _P,
    wintypes.LPCWSTR,
    _P,
    ctypes.POINTER(ProcessInformation),
)
create_process = checked("CreateProcessW", *_CREATION)
create_process_as_user = checked("CreateProcessAsUserW", _H, *_CREATION, library=advapi32)
_initialize_attributes = declare(
    kernel32, "InitializeProcThreadAttributeList", wintypes.BOOL, _P, _D, _D, ctypes.POINTER(ctypes.c_size_t)
)
_update_attribute = checked("UpdateProcThreadAttribute", _P, _D, ctypes.c_size_t, _P, ctypes.c_size_t, _P, _P)
_delete_attributes = declare(kernel32, "DeleteProcThreadAttributeList", None, _P)

create_job_or_null = declare(kernel32, "CreateJobObjectW", _H, _P, wintypes.LPCWSTR)
set_job_information = checked("SetInformationJobObject", _H, ctypes.c_int, _P, _D)
query_job_information = checked("QueryInformationJobObject", _H, ctypes.c_int, _P, _D, ctypes.POINTER(_D))
terminate_job = checked("TerminateJobObject", _H, wintypes.UINT)
is_process_in_job = checked("IsProcessInJob", _H, _H, ctypes.POINTER(wintypes.BOOL))

generate_console_ctrl_event = checked("GenerateConsoleCtrlEvent", _D, _D)
set_console_ctrl_handler = checked("SetConsoleCtrlHandler", _P, wintypes.BOOL)


class Handle:
    """Owns a kernel handle; it is closed at the latest when this object is collected."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value: int | None = value

    def __int__(self) -> int:
        """
        :raises ValueError: it is closed.
        """
        if self.value is None:
            raise ValueError("the handle is closed")
        return self.value

    def close(self) -> None:
        value, self.value = self.value, None
        if value is not None:
            close_handle(value)

    def __del__(self) -> None:
        self.close()


def exit_code(process: int) -> int:
    """Returns the status of an ended process as a signed 32-bit number."""
    code = _D()
    _get_exit_code(process, ctypes.byref(code))
    return ctypes.c_int32(code.value).value


def system_directory() -> str:
    """Returns the path of System32, whatever the environment says."""
    buffer = ctypes.create_unicode_buffer(MAX_PATH)
    if not _get_system_directory(buffer, len(buffer)):
        raise failure()
    return buffer.value


def has_ended(process: int) -> bool:
    return _wait_for_single_object(process, 0) == _WAIT_OBJECT_0


class AttributeList:
    """The attributes of a new process (UpdateProcThreadAttribute); to be deleted after its start.

    :param attributes: pairs of attribute and ctypes value. Windows keeps pointers to the values,
        so they are held here; a pseudo console is given by its handle itself.
    """

    def __init__(self, attributes: list[tuple[int, Any]]) -> None:
        self._values = attributes
        size = ctypes.c_size_t()
        # Fails by design and says how large the list must be.
        _initialize_attributes(None, len(attributes), 0, ctypes.byref(size))
        self.buffer = ctypes.create_string_buffer(size.value)
        if not _initialize_attributes(self.buffer, len(attributes), 0, ctypes.byref(size)):
            raise failure()
        try:
            for attribute, value in attributes:
                if attribute == PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE:
                    _update_attribute(self.buffer, 0, attribute, value, ctypes.sizeof(_P), None, None)
                else:
                    address, length = ctypes.addressof(value), ctypes.sizeof(value)
                    _update_attribute(self.buffer, 0, attribute, address, length, None, None)
        except BaseException:
            self.delete()
            raise

    def delete(self) -> None:
        _delete_attributes(self.buffer)


def handle_array(handles: list[int]) -> Any:
    return (_H * len(handles))(*handles)
