"""How the C library keeps the memory of large buffers."""

from __future__ import annotations

import ctypes
import sys

# Numbers of malloc.h; see mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LARGEST_KEPT_BYTES = 4 * 1024 * 1024
_MOST_KEPT_BYTES = 16 * 1024 * 1024


def keep_freed_memory() -> None:
    """Has glibc serve buffers of a block or two from its heap; elsewhere nothing is changed.

    By default each of them is mapped anew and given back at once, and the page faults cost more
    than all that is done with it: measured, 2 to 4 times the CPU time of a block that is written.
    One arena, since buffers are filled on one thread and freed on another.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # musl has none.
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
