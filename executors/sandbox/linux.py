"""The sandbox of Linux: its backends, and what symbolic entries of an intent mean."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from executors.sandbox.backend import SandboxBackend
from executors.sandbox.bubblewrap_linux import BubblewrapBackend
from executors.sandbox.landlock_backend_linux import LandlockBackend
from executors.sandbox.places import Places, temporary_directory

_MINIMAL: Final = (
    # Programs, libraries and their data, as distributions lay them out.
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/alternatives"),
    # Names, time, language and certificates, which anybody may read.
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf"),
    *("/etc/services", "/etc/protocols", "/etc/gai.conf", "/etc/localtime", "/etc/timezone"),
    *("/etc/locale.alias", "/etc/locale.conf", "/etc/mime.types", "/etc/os-release", "/etc/debian_version"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted"),
    "/etc/ca-certificates",
    # What a process sees of itself and of the machine. Of other processes the backends see to it.
    *("/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"),
)
"""What most programs need to start, and no secrets: those of /etc have names of their own."""


def backends() -> list[SandboxBackend]:
    """Returns those that there are for this system, the cheapest first."""
    return [LandlockBackend(), BubblewrapBackend()]


def places() -> Places:
    return Places(
        "linux",
        roots=(Path("/"),),
        minimal=tuple(map(Path, _MINIMAL)),
        temporary=temporary_directory(Path("/tmp")),
        slash_tmp=(Path("/tmp"),),
    )
