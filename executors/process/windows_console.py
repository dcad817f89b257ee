"""Which console the processes of an executor are at, and how Ctrl-C gets there."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from ctypes import wintypes

from executors.process import windows_api as api
from executors.process import windows_conpty

assert sys.platform == "win32"

_SW_HIDE = 0
_NO_WINDOW = 2
INTERRUPT = b"\x03"
"""What Ctrl-C types."""

Write = Callable[[bytes], asyncio.Future[None] | None]

_get_console_cp = api.declare(api.kernel32, "GetConsoleCP", wintypes.UINT)
_get_console_window = api.declare(api.kernel32, "GetConsoleWindow", wintypes.HWND)
_alloc_console = api.declare(api.kernel32, "AllocConsole", wintypes.BOOL)
_free_console = api.declare(api.kernel32, "FreeConsole", wintypes.BOOL)


class _AllocConsoleOptions(ctypes.Structure):
    """ALLOC_CONSOLE_OPTIONS."""

    _fields_ = [("mode", ctypes.c_int), ("useShowWindow", wintypes.BOOL), ("showWindow", wintypes.WORD)]


def open_console() -> bool:
    """Sees to it that this process has a console, without a window if it must be a new one.

    Processes without terminal share it: a process group can be sent CTRL_BREAK only by one at the
    same console (GenerateConsoleCtrlEvent).

    :returns: whether there is one.
    """
    if _get_console_cp():
        return True
    # A console whose host has gone is still in the way of another.
    _free_console()
    # From Windows 11 24H2 on. Before, a window flashes up where a user is logged in.
    with suppress(AttributeError, OSError):
        options = _AllocConsoleOptions(mode=_NO_WINDOW)
        if api.kernel32.AllocConsoleWithOptions(ctypes.byref(options), None) == 0:
            return True
    if not _alloc_console():
        return False
    window = _get_console_window()
    if window:
        ctypes.WinDLL("user32").ShowWindow(wintypes.HWND(window), _SW_HIDE)
    return True


class ConsoleRules:
    """How Windows does it; :mod:`executors.process.wine` knows what is otherwise there.

    :ivar can_resize: whether a pseudo console can change its size.
    :ivar creation_flags: for CreateProcess, besides the usual ones.
    """

    can_resize = True
    creation_flags = 0

    def terminal_streams(self) -> tuple[int | None, int | None, int | None]:
        """The standard handles for a process at a pseudo console.

        None for each lets the system open the console's own; without that word a process would get
        those of this process where they are redirected.
        """
        return None, None, None

    def create(self, call: Callable[[], None]) -> None:
        """Has *call* create a process.

        :raises OSError: what it raises.
        """
        call()

    def created(self, process: int, thread: int) -> None:
        """A process was made, with :attr:`creation_flags`."""

    def interrupt_group(self, group: int) -> None:
        """Does to a process group at our own console what Ctrl-C would.

        CTRL_BREAK, since processes in a group of their own ignore CTRL_C until they ask for it.

        :raises OSError: the system's own.
        """
        api.generate_console_ctrl_event(api.CTRL_BREAK_EVENT, group)

    def enter(
        self, console: windows_conpty.PseudoConsole, data: bytes, write: Write
    ) -> asyncio.Future[None] | None:
        """Types *data* at a pseudo console by *write*; returns when there is room for more, as that does."""
        return write(data)
