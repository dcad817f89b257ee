"""What canaries have at hand on Linux."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from executors.sandbox.canary_kit import Kit, Listener, listen


def _listen(folder: Path) -> dict[str, Listener]:
    path, name = str(folder / "socket"), f"crossexec-canary-{os.urandom(8).hex()}"
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        # Where temporary files lie deep, the path itself is longer than an address may be: 107 bytes.
        unix = listen(socket.AF_UNIX, socket.SOCK_STREAM, f"/proc/self/fd/{place}/socket", path)
    finally:
        os.close(place)
    try:
        abstract = listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + name, name)
    except BaseException:
        unix.socket.close()
        raise
    return {"unix": unix, "abstract": abstract}


def _facts() -> dict[str, int]:
    """Returns when this process began, by which it is told from others with its number."""
    with open("/proc/self/stat", "rb") as file:
        return {"executor_began": int(file.read().rpartition(b")")[2].split()[19])}


KIT: Final = Kit(
    modules=("canary_attempts_posix", "canary_attempts_linux"),
    program=("/bin/sh", "-c", ":"),
    listen=_listen,
    files=("change owner", "change attributes"),
    hidden=("read by the root of a process",),
    network={"connect a Unix socket": "unix", "connect an abstract Unix socket": "abstract"},
    processes=(
        "use an inherited descriptor",
        "trace a process",
        "trace the executor",
        "look into the executor",
        "signal the executor",
        "read memory of a process",
        "read memory of a process by call",
        "read by a descriptor of a process",
        "write by the root of a process",
        "mount",
        "remount",
        "make a user namespace",
        "set up io_uring",
        "type into a terminal",
        "signal a process",
    ),
    facts=_facts,
)
