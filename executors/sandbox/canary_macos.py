"""What canaries have at hand on macOS."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from executors.sandbox.canary_kit import Kit, Listener, listen


def _listen(folder: Path) -> dict[str, Listener]:
    # Its own temporary directories have longer paths than a socket may have.
    path = str(folder / "s")
    try:
        return {"unix": listen(socket.AF_UNIX, socket.SOCK_STREAM, path, path)}
    except OSError:
        return {}


KIT: Final = Kit(
    modules=("canary_attempts_posix",),
    program=("/bin/sh", "-c", ":"),
    listen=_listen,
    files=("change owner",),
    hidden=(),
    network={"connect a Unix socket": "unix"},
    processes=("use an inherited descriptor", "signal a process"),
)
