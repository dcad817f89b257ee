"""How many processes this machine can keep busy."""

from __future__ import annotations

import os
import sys

if sys.version_info >= (3, 13):

    def processors() -> int:
        """Returns how many processors this process may use, at least 1."""
        return os.process_cpu_count() or 1

else:

    def processors() -> int:
        """Returns how many processors this process may use, at least 1."""
        if sys.platform == "linux":
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
