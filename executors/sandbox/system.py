"""The sandbox of this operating system, chosen here, once."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from executors.sandbox.canary_windows import KIT as KIT
    from executors.sandbox.windows import backends as backends
    from executors.sandbox.windows import places as places
elif sys.platform == "darwin":
    from executors.sandbox.canary_macos import KIT as KIT
    from executors.sandbox.macos import backends as backends
    from executors.sandbox.macos import places as places
else:
    from executors.sandbox.canary_linux import KIT as KIT
    from executors.sandbox.linux import backends as backends
    from executors.sandbox.linux import places as places
