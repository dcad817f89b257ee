"""Capabilities that confined programs do without, those of a super-user too: capabilities(7)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from executors.sandbox.seccomp_linux import require_architecture
from executors.sandbox.system_calls_linux import system_call

_OF_FILES: Final = (0, 1, 3, 4)
"""Changing owners, passing over permissions, acting as any owner, keeping set-id bits."""
_OF_PROCESSES: Final = (5, 6, 7)
"""Signals to all (of the sandbox), becoming another group or user."""
_OF_THE_NETWORK: Final = (10, 13)
"""Ports below 1024, raw sockets."""
_LAST: Final = 63
_VERSION: Final = 0x2008_0522
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def give_up_capabilities(*, network: bool) -> None:
    """Leaves this thread, and all that it starts, no capability but those of a plain super-user.

    Device nodes cannot be made, for one: through them disks are read and written past every other rule.
    It must be unable to gain privileges (PR_SET_NO_NEW_PRIVS) already: a program of a super-user would get
    them back.

    :param network: whether those of the network stay.
    :raises OSError: the kernel refuses.
    """
    keep = sum(1 << one for one in (*_OF_FILES, *_OF_PROCESSES, *(_OF_THE_NETWORK if network else ())))
    numbers = require_architecture().numbers
    header = struct.pack("=Ii", _VERSION, 0)
    buffer = ctypes.create_string_buffer(24)
    system_call(numbers["capget"], header, buffer)
    _, permitted, *_ = struct.unpack("=6I", buffer.raw)
    for capability in range(_LAST + 1):
        # Without CAP_SETPCAP, or of one that the kernel does not know, it fails: PR_SET_NO_NEW_PRIVS has the
        # same effect for what is started.
        if not keep >> capability & 1:
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    kept = permitted & keep
    system_call(numbers["capset"], header, struct.pack("=6I", kept, kept, 0, 0, 0, 0))
    system_call(numbers["capget"], header, buffer)
    left = struct.unpack("=6I", buffer.raw)
    if (left[1] | left[4] << 32) & ~keep:
        raise PermissionError(1, f"capabilities remain: {os.strerror(1)}")
