"""The user's shell on Windows."""

from __future__ import annotations

import os


def user_shell() -> tuple[str, str]:
    """Returns ``cmd`` and its path: COMSPEC, else the one in the system directory."""
    root = os.environ.get("SYSTEMROOT", r"C:\Windows")
    comspec = os.environ.get("COMSPEC", "")
    default = os.path.join(root, "System32", "cmd.exe")
    return "cmd", comspec if os.path.isfile(comspec) else default
