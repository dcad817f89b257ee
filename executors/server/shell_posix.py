"""The user's shell on POSIX systems."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

_NAMES = {"bash": "bash", "zsh": "zsh", "sh": "sh", "pwsh": "powershell"}


def user_shell() -> tuple[str, str]:
    """Returns name and path of the user's shell if it is bash, zsh, sh or PowerShell; else of one there is.

    The password database knows it (getpwuid(3)), else the variable SHELL. A shell of another
    language, such as fish, is passed over, since no commands are written for it.
    """
    for path in _candidates():
        name = _NAMES.get(os.path.basename(path))
        if name is not None and os.path.isabs(path) and os.access(path, os.X_OK):
            return name, path
    return "sh", "/bin/sh"


def _candidates() -> list[str]:
    found = []
    # In many containers the user has no entry.
    with suppress(KeyError):
        found.append(pwd.getpwuid(os.getuid()).pw_shell)
    found.append(os.environ.get("SHELL", ""))
    directories = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/bin", "/usr/bin"]
    found += [os.path.join(directory, name) for name in ("bash", "zsh", "sh") for directory in directories]
    return found


def console_code_page() -> int | None:
    """Returns None: there are no code pages."""
    return None
