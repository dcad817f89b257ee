r"""All that is otherwise under Wine. Measured under Wine 8.0 (Debian 12); Windows never comes here.

- Standard handles of a process at a pseudo console stay NULL, where Windows opens the console's.
  The console device's ``Input`` and ``Output``, which any process may open, mean the console of
  whoever uses them, so they are given to every such process.
- A byte 3 on its input makes the host of a pseudo console end, and with it the console. The
  control event is sent to the console instead, also to a program that wants to read the byte.
- CTRL_BREAK reaches nobody (8.0: error 6; 9.0 kills without asking handlers). CTRL_C does, in
  processes that do not ignore it, as those in a new process group do until they say otherwise:
  the flag is cleared before they run. A C handler sees CTRL_C, Python SIGINT. Where there is
  no handler the exit code is 0, not STATUS_CONTROL_C_EXIT.
- CreateProcess fails with ERROR_INTERNAL_ERROR once in some thousand starts: the new process ended before
  it was set up. Nothing of the program has run then, and another attempt does it.
- ResizePseudoConsole answers E_NOTIMPL.
- GetConsoleCP is 0 at a console whose host could not start, as without a display.
- cmd prints the parenthesis of ``echo(``, expands ``%^NAME%``, and in the arguments of a batch
  file expands what ``%%cd:~,%`` keeps from it in Microsoft's.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from ctypes import wintypes
from typing import Any

from executors.process import windows_api as api
from executors.process import windows_conpty, windows_console

assert sys.platform == "win32"

_ERROR_INTERNAL_ERROR = 1359
_START_ATTEMPTS = 3
_GENERIC_READ_WRITE = 0xC0000000
_SYNCHRONIZE = 0x00100000
_SHARE_READ_WRITE = 3
_OPEN = 1
_SYNCHRONOUS = 0x20
_INHERIT = 0x2
_NO_CASE = 0x40
# IOCTL_CONDRV_CTRL_EVENT of Wine's console device: function 19 of FILE_DEVICE_CONSOLE, buffered, any access.
_SEND_CONTROL_EVENT = 0x0050004C
# 64-bit: the address of the parameters in the PEB, and that of ConsoleFlags in them.
_PARAMETERS_OFFSET = 0x20
_CONSOLE_FLAGS_OFFSET = 0x18
_PROCESS_BASIC_INFORMATION = 0
# Wine's HPCON points to three handles: signal, reference, process.
_REFERENCE = 1

_ntdll = ctypes.WinDLL("ntdll")


def wine_version() -> str | None:
    """Returns the version of Wine; None on Windows."""
    try:
        function = _ntdll.wine_get_version
    except AttributeError:
        return None
    function.restype = ctypes.c_char_p
    version: bytes = function()
    return version.decode()


def console_rules() -> windows_console.ConsoleRules:
    """Returns the rules of the system that this process runs on."""
    return windows_console.ConsoleRules() if wine_version() is None else WineConsoleRules()


def code_page_without_console() -> int:
    """Returns the code page of what programs print if this process has no console.

    They get a console of their own, whose code page is the OEM one; under Wine they get none and
    take GetConsoleOutputCP's 0 for the ANSI one.
    """
    function = api.kernel32.GetOEMCP if wine_version() is None else api.kernel32.GetACP
    return int(function())


class _UnicodeString(ctypes.Structure):
    _fields_ = [("Length", wintypes.USHORT), ("MaximumLength", wintypes.USHORT), ("Buffer", wintypes.LPWSTR)]


class _ObjectAttributes(ctypes.Structure):
    _fields_ = [
        ("Length", wintypes.ULONG),
        ("RootDirectory", wintypes.HANDLE),
        ("ObjectName", ctypes.POINTER(_UnicodeString)),
        ("Attributes", wintypes.ULONG),
        ("SecurityDescriptor", ctypes.c_void_p),
        ("SecurityQualityOfService", ctypes.c_void_p),
    ]


class _BasicInformation(ctypes.Structure):
    """PROCESS_BASIC_INFORMATION."""

    _fields_ = [("ExitStatus", ctypes.c_void_p), ("Peb", ctypes.c_void_p), ("Rest", ctypes.c_void_p * 4)]


_read_memory = api.checked(
    "ReadProcessMemory", wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)
_write_memory = api.checked(
    "WriteProcessMemory", wintypes.HANDLE, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)
_device_io_control = api.checked(
    "DeviceIoControl",
    wintypes.HANDLE,
    wintypes.DWORD,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.c_void_p,
    wintypes.DWORD,
    ctypes.POINTER(wintypes.DWORD),
    ctypes.c_void_p,
)
_resume_thread = api.declare(api.kernel32, "ResumeThread", wintypes.DWORD, wintypes.HANDLE)


def _native(name: str, *arguments: Any) -> Any:
    return api.declare(_ntdll, name, ctypes.c_long, *arguments)


_create_file = _native(
    "NtCreateFile",
    ctypes.POINTER(wintypes.HANDLE),
    wintypes.DWORD,
    ctypes.POINTER(_ObjectAttributes),
    ctypes.c_void_p,
    ctypes.c_void_p,
    wintypes.ULONG,
    wintypes.ULONG,
    wintypes.ULONG,
    wintypes.ULONG,
    ctypes.c_void_p,
    wintypes.ULONG,
)
_query_process = _native(
    "NtQueryInformationProcess",
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.ULONG,
    ctypes.c_void_p,
)
_to_error = api.declare(_ntdll, "RtlNtStatusToDosError", wintypes.ULONG, ctypes.c_long)


class WineConsoleRules(windows_console.ConsoleRules):
    """See :class:`executors.process.windows_console.ConsoleRules`.

    :raises OSError: this Wine has no such console device.
    """

    can_resize = False
    creation_flags = api.CREATE_SUSPENDED

    def __init__(self) -> None:
        self._input = _open_console_device("Input")
        self._output = _open_console_device("Output")

    def terminal_streams(self) -> tuple[int | None, int | None, int | None]:
        return int(self._input), int(self._output), int(self._output)

    def create(self, call: Callable[[], None]) -> None:
        for attempts_left in reversed(range(_START_ATTEMPTS)):
            try:
                return call()
            except OSError as error:
                if error.winerror != _ERROR_INTERNAL_ERROR or not attempts_left:
                    raise

    def created(self, process: int, thread: int) -> None:
        _clear_console_flags(process)
        _resume_thread(thread)

    def interrupt_group(self, group: int) -> None:
        api.generate_console_ctrl_event(api.CTRL_C_EVENT, group)

    def enter(
        self, console: windows_conpty.PseudoConsole, data: bytes, write: windows_console.Write
    ) -> asyncio.Future[None] | None:
        first, *others = data.split(windows_console.INTERRUPT)
        room = write(first)
        for piece in others:
            _interrupt_console(console)
            room = write(piece)
        return room


def _open_console_device(name: str) -> api.Handle:
    """Returns an inheritable handle."""
    path = f"\\Device\\ConDrv\\{name}"
    text = _UnicodeString(2 * len(path), 2 * len(path) + 2, path)
    attributes = _ObjectAttributes(
        Length=ctypes.sizeof(_ObjectAttributes),
        ObjectName=ctypes.pointer(text),
        Attributes=_INHERIT | _NO_CASE,
    )
    handle = wintypes.HANDLE()
    status = _create_file(
        ctypes.byref(handle),
        _GENERIC_READ_WRITE | _SYNCHRONIZE,
        ctypes.byref(attributes),
        (ctypes.c_uint64 * 2)(),
        None,
        0,
        _SHARE_READ_WRITE,
        _OPEN,
        _SYNCHRONOUS,
        None,
        0,
    )
    if status or handle.value is None:
        raise api.failure(path, _to_error(status))
    return api.Handle(handle.value)


def _clear_console_flags(process: int) -> None:
    """Lets a process that has not run yet, and those that it starts, take CTRL_C."""
    information = _BasicInformation()
    status = _query_process(
        process, _PROCESS_BASIC_INFORMATION, ctypes.byref(information), ctypes.sizeof(information), None
    )
    if status:
        raise api.failure(None, _to_error(status))
    parameters = ctypes.c_uint64()
    _read_memory(
        process,
        information.Peb + _PARAMETERS_OFFSET,
        ctypes.byref(parameters),
        ctypes.sizeof(parameters),
        None,
    )
    flags = wintypes.ULONG(0)
    _write_memory(
        process, parameters.value + _CONSOLE_FLAGS_OFFSET, ctypes.byref(flags), ctypes.sizeof(flags), None
    )


def _interrupt_console(console: windows_conpty.PseudoConsole) -> None:
    """Sends CTRL_C to the processes at a pseudo console that are in our process group, as all there are."""
    reference = ctypes.cast(console.value, ctypes.POINTER(wintypes.HANDLE))[_REFERENCE]
    event = (ctypes.c_uint32 * 2)(api.CTRL_C_EVENT, 0)
    _device_io_control(
        reference,
        _SEND_CONTROL_EVENT,
        ctypes.byref(event),
        ctypes.sizeof(event),
        None,
        0,
        ctypes.byref(wintypes.DWORD()),
        None,
    )
