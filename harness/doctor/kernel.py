"""What this system's kernel lets processes do."""

import sys

if sys.platform == "win32":
    from harness.doctor.kernel_windows import facts
elif sys.platform == "darwin":
    from harness.doctor.kernel_macos import facts
else:
    from harness.doctor.kernel_linux import facts

__all__ = ["facts"]
