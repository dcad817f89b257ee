"""How the released exec-server is told to listen or to dial out, and what keeps it from outliving its run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.executor_kinds.codex import guard
from harness.remote.dial_out import DialOut
from harness.remote.options import PREFIX

GUARD: Final = Path(guard.__file__)


def arguments_of(dial_out: DialOut | None) -> list[str]:
    """Returns what follows the program on its command line."""
    if dial_out is None:
        return ["exec-server", "--listen", "ws://127.0.0.1:0"]
    return [
        *("exec-server", "--remote", dial_out.registry, "--environment-id", dial_out.environment_id),
        "--registration-bearer-stdin",
    ]


def way_of(dial_out: DialOut | None, socket: str = guard.LISTENS) -> str:
    """Returns what the guard is told of how the program is reached.

    :param socket: where the guard itself is to listen for one that listens.
    """
    return socket if dial_out is None else f"{PREFIX}{dial_out.environment_id}"


def input_of(dial_out: DialOut | None) -> bytes:
    """Returns what the guard's standard input begins with."""
    return b"" if dial_out is None else dial_out.input
