"""Starts and watches processes; the backend of this operating system is chosen here, once."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from executors.process.environment import WINDOWS as ENVIRONMENT_RULES
    from executors.process.windows import WindowsBackend as SystemBackend
else:
    from executors.process.environment import POSIX as ENVIRONMENT_RULES
    from executors.process.posix import PosixBackend as SystemBackend

__all__ = ["ENVIRONMENT_RULES", "SystemBackend"]
