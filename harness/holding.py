"""Files and folders that processes hold while they use them: this system's way."""

import sys

if sys.platform == "win32":
    from harness.holding_windows import claimed, held, try_lock
else:
    from harness.holding_posix import claimed, held, try_lock

__all__ = ["claimed", "held", "try_lock"]
