"""What canaries have at hand on Windows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from executors.process import windows_api as api
from executors.sandbox.canary_kit import Kit, Listener

assert sys.platform == "win32"


def _listen(folder: Path) -> dict[str, Listener]:
    return {}


KIT: Final = Kit(
    modules=("canary_attempts_windows",),
    program=(os.path.join(api.system_directory(), "cmd.exe"), "/d", "/c", "rem"),
    listen=_listen,
    files=("change permissions",),
    hidden=(),
    network={},
    processes=("read memory of a process", "write memory of a process", "signal a process"),
)
