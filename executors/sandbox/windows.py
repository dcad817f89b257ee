"""The sandbox of Windows: its backends, and what symbolic entries of an intent mean."""

from __future__ import annotations

import os
import sys
from ctypes import wintypes
from pathlib import Path

from executors.process import windows_api as api
from executors.sandbox.backend import SandboxBackend
from executors.sandbox.places import Places, temporary_directory

assert sys.platform == "win32"

_get_logical_drives = api.declare(api.kernel32, "GetLogicalDrives", wintypes.DWORD)


def backends() -> list[SandboxBackend]:
    """Returns those that there are for this system, the cheapest first."""
    from executors.sandbox.restricted_token_windows import RestrictedTokenBackend

    return [RestrictedTokenBackend()]


def places() -> Places:
    drives = _get_logical_drives()
    return Places(
        "windows",
        roots=tuple(Path(f"{chr(ord('A') + number)}:\\") for number in range(26) if drives & 1 << number),
        minimal=(Path(os.path.dirname(api.system_directory())),),
        temporary=temporary_directory(Path(os.path.dirname(api.system_directory()), "Temp")),
        slash_tmp=(),
    )
