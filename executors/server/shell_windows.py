"""The user's shell on Windows, and the encoding of what it prints."""

from __future__ import annotations

import ctypes
import os
import sys

from executors.process import wine

assert sys.platform == "win32"


def user_shell() -> tuple[str, str]:
    """Returns ``cmd`` and its path: COMSPEC, else the one in the system directory."""
    root = os.environ.get("SYSTEMROOT", r"C:\Windows")
    comspec = os.environ.get("COMSPEC", "")
    default = os.path.join(root, "System32", "cmd.exe")
    return "cmd", comspec if os.path.isfile(comspec) else default


def console_code_page() -> int | None:
    """Returns the output code page of the console that processes without terminal share or get."""
    return int(ctypes.WinDLL("kernel32").GetConsoleOutputCP()) or wine.code_page_without_console()
