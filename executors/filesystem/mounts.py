"""Whether a call on the files of this machine can hang: on a network or a user's own file system."""

from __future__ import annotations

import sys

if sys.platform == "linux":
    from executors.filesystem.mounts_linux import all_local
else:

    def all_local() -> bool:
        """False: unknown here, so that every call has to be made where it may block."""
        return False


__all__ = ["all_local"]
