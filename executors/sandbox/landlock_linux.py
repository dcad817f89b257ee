"""Landlock: a thread gives up rights, and so does all that it starts. See landlock(7)."""

from __future__ import annotations

import os
import stat
import struct
from functools import cache
from typing import Final, Self

from executors.sandbox.policy import Access
from executors.sandbox.system_calls_linux import refuse_privileges, system_call
from executors.sandbox.tracee_linux import NO_SYMLINKS, open_object

# The same numbers on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1

NEWEST: Final = 7
"""The newest version of the interface whose rights are known here."""

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIRECTORY: Final = 1 << 3
_IOCTL_DEVICE: Final = 1 << 15
_DEVICE_NODES: Final = (1 << 6) | (1 << 11)
"""Making character and block devices, which lead past every other rule: nobody keeps these."""
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights of files each version of the interface knows, where that changed."""
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | _IOCTL_DEVICE
"""The rights that a rule about a file, not a directory, may have."""
_NETWORK: Final = (1 << 0) | (1 << 1)
"""Binding and connecting TCP sockets, from version 4 on."""
_SCOPES: Final = (1 << 0) | (1 << 1)
"""Abstract Unix sockets and signals of those outside, from version 6 on."""


@cache
def version() -> int:
    """Returns which version of the interface the kernel has; 0 where it has none, or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def _file_rights() -> int:
    known = max(count for since, count in _RIGHTS.items() if since <= version())
    return int((1 << known) - 1)


class Ruleset:
    """What a thread will keep once it restricts itself; everything else is given up.

    :param network: whether TCP remains; other sockets are no affair of Landlock.
    :raises OSError: the kernel refuses.
    """

    def __init__(self, *, network: bool) -> None:
        files = _file_rights()
        ports = 0 if network or version() < 4 else _NETWORK
        scopes = _SCOPES if version() >= 6 else 0
        attributes = struct.pack("=QQQ", files, ports, scopes)
        self._files = files
        self._fd = system_call(_CREATE_RULESET, attributes, len(attributes), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)

    def allow(self, path: str | os.PathLike[str], access: Access) -> None:
        """Keeps *access* to *path* and, if it is a directory, all below it.

        :raises OSError: it is not there, a symbolic link is on the way, or the kernel refuses.
        """
        everything = self._files & ~_DEVICE_NODES
        rights = _EXECUTE | _READ_FILE | _READ_DIRECTORY if access == Access.READ else everything
        try:
            fd = open_object(os.fsencode(path), None, follow=True, resolve=NO_SYMLINKS)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights, fd)
            system_call(_ADD_RULE, self._fd, _RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)

    def restrict_this_thread(self) -> None:
        """Gives the rights up, for this thread and all that it starts, for ever.

        :raises OSError: the kernel refuses; nothing is given up then.
        """
        refuse_privileges()
        system_call(_RESTRICT_SELF, self._fd, 0)
