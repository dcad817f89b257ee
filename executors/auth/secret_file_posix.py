"""Who may read a file, on POSIX."""

from __future__ import annotations

import os
import stat


def others_may_read(descriptor: int) -> bool:
    """Whether the mode lets anybody but the owner read it."""
    return bool(os.fstat(descriptor).st_mode & (stat.S_IRGRP | stat.S_IROTH))
