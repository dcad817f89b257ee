"""What Windows lets this process do."""

from __future__ import annotations

import platform
from typing import Final

from harness.doctor.model import Fact, State

_GROUP: Final = "kernel"
_CONPTY_BUILD: Final = 17763  # Microsoft's CreatePseudoConsole: Windows 10 1809, Server 2019


def facts() -> list[Fact]:
    version = platform.version()
    build = int(version.rpartition(".")[2] or 0)
    has = build >= _CONPTY_BUILD
    return [
        Fact(_GROUP, "version", State.OK, f"Windows {version}, {platform.machine()}"),
        Fact(
            _GROUP,
            "pseudo consoles",
            State.OK if has else State.MISSING,
            "programs can have a terminal" if has else f"build {build} has none",
            "" if has else "Windows 10 1809, Server 2019 or newer",
        ),
        Fact(
            _GROUP,
            "features of Linux",
            State.NOT_NEEDED,
            "namespaces, overlayfs, seccomp, cgroups and Landlock are Linux's, and so is bubblewrap",
        ),
    ]
