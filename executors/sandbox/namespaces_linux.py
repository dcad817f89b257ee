"""What bubblewrap has made for one start and others can use: namespaces, by their descriptors."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from typing import Final

from executors.sandbox.launcher_linux import NAMESPACES

_GET_USER_NAMESPACE: Final = 0xB701
_LAST_CAPABILITY: Final = "/proc/sys/kernel/cap_last_cap"


def shared_namespaces(*, network: bool) -> tuple[str, ...]:
    """Returns the names of those that starts under one policy share, as far as the kernel has them.

    :param network: whether programs have the network that there is outside.
    """
    wanted = (name for name in NAMESPACES if not (network and name == "net"))
    # The directory may not be listed by a process that nobody may look into.
    return tuple(name for name in wanted if os.path.exists(f"/proc/self/ns/{name}"))


def are_ours(fds: Sequence[int]) -> bool:
    """Whether they belong to the users that this process sees, and are others than those it is in itself.

    Those of a user namespace of their own cannot be used by others in the same way.
    """
    own = {_identity(f"/proc/self/ns/{name}") for name in shared_namespaces(network=False)}
    if any(_identity(fd) in own for fd in fds):
        return False
    ours = _identity("/proc/self/ns/user")
    for fd in fds:
        owner = fcntl.ioctl(fd, _GET_USER_NAMESPACE)
        try:
            if _identity(owner) != ours:
                return False
        finally:
            os.close(owner)
    return True


def count_capabilities() -> int:
    """Returns how many there are in this kernel.

    :raises OSError: it does not tell.
    """
    with open(_LAST_CAPABILITY, encoding="ascii") as file:
        return int(file.read()) + 1


def _identity(what: int | str) -> tuple[int, int]:
    found = os.stat(what)
    return found.st_dev, found.st_ino
