"""What macOS lets this process do."""

from __future__ import annotations

import os
import platform
from typing import Final

from harness.doctor.model import Fact, State

_GROUP: Final = "kernel"
_SANDBOX: Final = "/usr/bin/sandbox-exec"


def facts() -> list[Fact]:
    version = f"macOS {platform.mac_ver()[0]}, {platform.machine()}"
    has = os.access(_SANDBOX, os.X_OK)
    return [
        Fact(_GROUP, "version", State.OK, version),
        Fact(
            _GROUP,
            "Seatbelt",
            State.OK if has else State.MISSING,
            _SANDBOX if has else f"no {_SANDBOX}",
            "" if has else "it is part of macOS: look for what has removed it",
        ),
        Fact(
            _GROUP,
            "features of Linux",
            State.NOT_NEEDED,
            "namespaces, overlayfs, seccomp, cgroups and Landlock are Linux's, and so is bubblewrap",
        ),
    ]
