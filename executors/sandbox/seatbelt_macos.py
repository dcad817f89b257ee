"""The sandbox backend of macOS: sandbox-exec, which makes the kernel enforce a profile (Seatbelt).

Sources: sandbox-exec(1), sandbox(7) and the profiles in /System/Library/Sandbox/Profiles. Apple calls the
program deprecated, and documents the language of the profiles nowhere in full: that a profile holds is known
only where the canary has shown it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from executors.process.base import SpawnRequest
from executors.sandbox.backend import Evidence
from executors.sandbox.policy import Access, Policy, Rule

_PROGRAM: Final = "/usr/bin/sandbox-exec"
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx")
"""What every program may write to: no data is there to be kept."""

# What a program needs to start and to run others, and that gives access to no file and to no other process.
_COMMON: Final = """\
(version 1)
(deny default)
(allow process-fork)
(allow process-info* (target same-sandbox))
(allow signal (target same-sandbox))
(allow mach-priv-task-port (target same-sandbox))
(allow sysctl-read)
(allow user-preference-read)
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))
(allow ipc-posix-sem)
(allow file-read-metadata)
(allow pseudo-tty)
(allow file-ioctl (regex #"^/dev/tty"))
(allow file-read* file-write* (regex #"^/dev/(ttys[0-9]+|fd/[0-9]+)$"))
"""
_NETWORK: Final = """\
(allow network*)
(allow system-socket)
(allow mach-lookup (global-name "com.apple.SystemConfiguration.configd"))
(allow mach-lookup (global-name "com.apple.dnssd.service"))
(allow mach-lookup (global-name "com.apple.trustd.agent"))
"""


def profile(policy: Policy) -> str:
    """Returns the profile that enforces *policy*; of several rules about a file, the last one counts.

    :raises ValueError: *policy* has patterns, or a path that a profile cannot say.
    """
    if policy.denied_patterns:
        raise ValueError("it cannot deny what matches a pattern")
    parts = [_COMMON]
    # Outer places come first in a policy, so that inner ones count.
    parts += [_rule(rule) for rule in policy.rules]
    parts.append(
        f"(allow file-read* file-write* {' '.join(f'(literal {_quoted(one)})' for one in DEVICES)})\n"
    )
    if policy.network:
        parts.append(_NETWORK)
    else:
        parts.append("(deny network*)\n")
    parts += _held(policy)
    return "".join(parts)


def _rule(rule: Rule) -> str:
    place = f"(subpath {_quoted(str(rule.path))})"
    match rule.access:
        case Access.WRITE:
            return f"(allow file-read* file-write* process-exec {place})\n"
        case Access.READ:
            return f"(allow file-read* process-exec {place})\n(deny file-write* {place})\n"
        case Access.NONE:
            return f"(deny file-read* file-write* process-exec {place})\n"


def _held(policy: Policy) -> Iterable[str]:
    """Keeps the directories around what is carved out from being moved away, with it."""
    held = {
        place: None
        for rule in policy.carved()
        for place in rule.path.parents
        if policy.access(place) == Access.WRITE
    }
    for place in held:
        yield f"(deny file-write-unlink (literal {_quoted(str(place))}))\n"


def _quoted(text: str) -> str:
    """Returns *text* as a string of the language, which is one of Scheme.

    :raises ValueError: there is no telling how it would be read.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"a profile cannot say {text!r}, which has a control character in it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"a profile cannot say {text!r}, which is not UTF-8") from None
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class SeatbeltBackend:
    """See :class:`executors.sandbox.backend.SandboxBackend`."""

    name = "seatbelt"
    sees_denials = False
    ways = 1

    def missing(self) -> str | None:
        if platform.system() != "Darwin":
            return "sandbox-exec is of macOS"
        return None if os.access(_PROGRAM, os.X_OK) else f"there is no {_PROGRAM}"

    def lacks(self, policy: Policy) -> str | None:
        try:
            profile(policy)
        except ValueError as error:
            return str(error)
        return None

    def confine(self, policy: Policy) -> SeatbeltConfinement:
        """See :meth:`executors.sandbox.backend.SandboxBackend.confine`."""
        return SeatbeltConfinement(profile(policy))


class SeatbeltConfinement:
    """See :class:`executors.sandbox.backend.Confinement`."""

    def __init__(self, text: str) -> None:
        self._profile = text

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        """See :meth:`executors.sandbox.backend.Confinement.wrap`.

        :raises ValueError: *request* has an ``arg0`` of its own, which sandbox-exec cannot give.
        :raises OSError: there is no such program.
        """
        from executors.process.posix import find_program

        if request.arg0 is not None and request.arg0 != request.argv[0]:
            raise ValueError("a program in this sandbox cannot be given an `arg0`: leave it out")
        # Its own search would be another one than that of a program without a sandbox.
        program = find_program(request.argv[0], request.env, request.cwd)
        argv = [_PROGRAM, "-p", self._profile, program, *request.argv[1:]]
        return msgspec.structs.replace(request, argv=argv, arg0=None)

    def start(self, spawn: Callable[[], int]) -> int:
        return spawn()

    def evidence(self, pid: int) -> Evidence | None:
        return None

    def close(self) -> None:
        """There is nothing to give up."""
