"""The event loop of the executor."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from executors.transport.event_loop_windows import new_event_loop
else:
    from asyncio import new_event_loop

__all__ = ["new_event_loop"]
