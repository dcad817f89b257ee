"""What :mod:`canary_program` tries on POSIX systems besides; it is imported there, on its own."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

DONE = "done"
Facts = dict[str, Any]


def change_owner(facts: Facts) -> str:
    path = os.path.join(facts["outside"], facts["attempt"], "file")
    os.chown(path, os.getuid(), os.getgid())
    return DONE


def connect_path(facts: Facts) -> str:
    folder, name = os.path.split(facts["unix"])
    before = os.getcwd()
    # The whole path may be longer than an address.
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(name)
    finally:
        os.chdir(before)
    return DONE


def send_signal(facts: Facts) -> str:
    try:
        os.kill(facts["victim"], signal.SIGTERM)
    except OSError:
        os.killpg(facts["victim"], signal.SIGTERM)
    return DONE


def use_inherited(facts: Facts) -> str:
    """Looks for open descriptors besides the standard streams; that of the list itself is gone by then."""
    held = []
    for name in os.listdir("/dev/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue
        if int(name) > 2:
            held.append(name)
    return " ".join(held)


ATTEMPTS: dict[str, Callable[[Facts], str]] = {
    "change owner": change_owner,
    "connect a Unix socket": connect_path,
    "signal a process": send_signal,
    "use an inherited descriptor": use_inherited,
}
