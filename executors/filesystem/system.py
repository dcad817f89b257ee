"""The operating system's own: ``posix.py`` or ``windows.py``, which offer the same names."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from executors.filesystem.windows import *  # noqa: F403
else:
    from executors.filesystem.posix import *  # noqa: F403
