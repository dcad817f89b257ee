"""The sandbox of macOS: its backends, and what symbolic entries of an intent mean."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from executors.sandbox.backend import SandboxBackend
from executors.sandbox.places import Places, temporary_directory
from executors.sandbox.seatbelt_macos import SeatbeltBackend

_MINIMAL: Final = (
    *("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/share", "/bin", "/sbin", "/System"),
    *("/Library/Apple", "/Library/Frameworks", "/Library/Preferences/.GlobalPreferences.plist"),
    *("/private/etc/passwd", "/private/etc/group", "/private/etc/hosts", "/private/etc/services"),
    *("/private/etc/protocols", "/private/etc/localtime", "/private/etc/ssl", "/private/var/db/timezone"),
    *("/private/var/db/dyld", "/private/var/select", "/private/etc/resolv.conf"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty"),
)
"""What most programs need to start, and no secrets."""


def backends() -> list[SandboxBackend]:
    """Returns those that there are for this system, the cheapest first."""
    return [SeatbeltBackend()]


def places() -> Places:
    return Places(
        "macos",
        roots=(Path("/"),),
        minimal=tuple(map(Path, _MINIMAL)),
        temporary=temporary_directory(Path("/tmp")),
        slash_tmp=(Path("/tmp"),),
    )
