"""What macOS offers, and every POSIX system that is not Linux."""

from __future__ import annotations

import os

from executors.filesystem.streams import copy_stream

copy_data = copy_stream


def created_ms(path: str, directory: int | None, status: os.stat_result) -> int:
    """When the file was created, links followed; 0 where the file system does not know."""
    return int(getattr(status, "st_birthtime", 0) * 1000)
