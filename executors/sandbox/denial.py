"""Whether a program that failed was kept from something by its sandbox.

Two rules. The text rule, as other executors have it, goes by what the program printed. The other one goes by
what the sandbox has seen; only where that says nothing it reads the output, and believes it as far as the
policy and the ordinary permissions bear it out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePath
from typing import Final

from executors.sandbox.backend import Confinement, Evidence
from executors.sandbox.policy import Access, Policy

TAIL_BYTES: Final = 64 * 1024
"""How much of the end of each stream is looked at."""

_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127
# strerror(3) of EACCES, EROFS and EPERM, and what Windows says.
_PHRASE: Final = re.compile(
    r"permission denied|read-only file system|operation not permitted|access is denied", re.IGNORECASE
)
# What it looks like from inside when there is no network to be had.
_CUT_OFF: Final = re.compile(
    r"network is unreachable|temporary failure in name resolution|could not resolve host", re.IGNORECASE
)
# strerror(3) of EXDEV.
_CROSSING: Final = re.compile(r"invalid cross-device link", re.IGNORECASE)
_OF_NETWORK: Final = re.compile(r"\b(?:socket|connect|bind|sendto|network|resolve)", re.IGNORECASE)
_OF_PROCESSES: Final = re.compile(r"\b(?:kill|ptrace|unshare|mount)\b", re.IGNORECASE)
_UNPRINTED: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\0")
# Also the marks that GNU programs print in UTF-8 locales, and their ` in others.
_QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d"
_QUOTED: Final = re.compile(rf"(?<!\w)[{_QUOTES}]([^{_QUOTES}]+)[{_QUOTES}](?!\w)")
_READ_ONLY: Final = re.compile(r"read-only file system", re.IGNORECASE)
_MOST_LINES: Final = 64
_MOST_NAMES: Final = 256
_LONGEST_NAME: Final = 4096

# Programs try to write these and go on without: an attempt alone says nothing about a failure.
_OPTIONAL_DIRECTORIES: Final = frozenset(("__pycache__", ".cache"))
_OPTIONAL_FILES: Final = frozenset(("index.lock", ".bash_history", ".python_history", ".lesshst", ".viminfo"))
# Libraries ask these for names of users and hosts, and go on without.
_NAME_SERVICES: Final = ("/run/systemd/", "/run/nscd/", "/var/run/nscd/", "/var/lib/sss/", "/run/dbus/")


def text_says_denied(exit_code: int, text: str) -> bool:
    """The text rule: a failure, other than of finding or executing the program, that prints the words."""
    return exit_code not in (0, _NOT_EXECUTABLE, _NOT_FOUND) and _PHRASE.search(text) is not None


class Judge:
    """Follows one process in a sandbox.

    :param sees_denials: of the backend.
    :param cwd: where the process starts; what relative paths in its output are taken from.
    """

    def __init__(self, confinement: Confinement, policy: Policy, *, sees_denials: bool, cwd: str) -> None:
        self._confinement = confinement
        self._policy = policy
        self._sees_denials = sees_denials
        self._cwd = cwd
        self._pid: int | None = None
        self._evidence: Evidence | None = None

    def start(self, spawn: Callable[[], int]) -> int:
        """See :meth:`executors.sandbox.backend.Confinement.start`."""
        self._pid = self._confinement.start(spawn)
        return self._pid

    def by_evidence(self, exit_code: int) -> bool | None:
        """To be asked once, after the end of the process. None: its output decides."""
        self._evidence = None if self._pid is None else self._confinement.evidence(self._pid)
        return decide_by_evidence(exit_code, self._evidence)

    def by_output(self, exit_code: int, tails: Iterable[bytes]) -> bool:
        """:param tails: the end of each stream of output."""
        texts = [tail[-TAIL_BYTES:].decode(errors="surrogateescape") for tail in tails]
        crosses = self._evidence is not None and self._evidence.crosses
        if crosses and exit_code != 0 and any(map(_CROSSING.search, texts)):
            return True
        sees_denials = self._sees_denials and (self._evidence is None or crosses)
        return any(
            decide_by_text(exit_code, text, self._policy, self._cwd, sees_denials=sees_denials)
            for text in texts
        )


def decide_by_evidence(exit_code: int, evidence: Evidence | None) -> bool | None:
    """Returns whether it was a denial; None if *evidence* is not enough to tell.

    What ended well was not denied, whatever it was kept from on the way. A try of what programs do without,
    such as writing a cache or a history, says nothing.
    """
    if exit_code == 0:
        return False
    return None if evidence is None or _is_optional(evidence) else True


def more_telling(old: Evidence | None, new: Evidence) -> Evidence:
    """Returns which of two that came one after the other to keep: the last, but for what says nothing."""
    return new if old is None or _is_optional(old) or not _is_optional(new) else old


def decide_by_text(exit_code: int, text: str, policy: Policy, cwd: str, *, sees_denials: bool) -> bool:
    """Returns whether *text*, of a program of which there is no evidence, tells of a denial by *policy*.

    A line that says so must be about a path that the policy keeps and ordinary permissions do not, about the
    network where that is restricted, or about other processes. With *sees_denials* there would be evidence of
    all but executing what may not be read.
    """
    if exit_code in (0, _NOT_FOUND):
        return False
    text = _UNPRINTED.sub("", text)
    if not (policy.network or sees_denials) and _CUT_OFF.search(text):
        return True
    lines = [line for line in text.splitlines() if _PHRASE.search(line)][-_MOST_LINES:]
    left = _MOST_NAMES
    for line in lines:
        names = [name for name in islice(_names(line), left) if len(name) <= _LONGEST_NAME]
        left -= len(names)
        paths = [Path(os.path.realpath(os.path.join(cwd, name))) for name in names]
        if any(_keeps(policy, path, exit_code, sees_denials=sees_denials) for path in paths):
            return True
        if sees_denials:
            continue
        if any(map(os.path.lexists, paths)):
            # It is about a file, which something else than the sandbox keeps.
            continue
        if _OF_PROCESSES.search(line):
            return True
        # Hardly anything else than a sandbox makes a file system read-only.
        if _READ_ONLY.sub("", line).strip(" .:") and _READ_ONLY.search(line):
            return True
        if not policy.network and _OF_NETWORK.search(text):
            return True
    return False


def _names(line: str) -> Iterator[str]:
    """Yields what may be a path in a line that programs print about an error."""
    quoted = _QUOTED.findall(line)
    yield from quoted
    # A path stands at the end of what is said: `open /x: permission denied`, `/x (Permission denied)`.
    words = _QUOTED.sub(" ", line).split()
    for word, after in zip(words, [*words[1:], ""], strict=True):
        slash = word.find("/")
        if slash >= 0:
            path, colon, _ = word[slash:].partition(":")
            if colon or word.endswith(",") or not after or after.startswith("("):
                yield (word[:slash] + path).strip(_QUOTES + ";,()[]")
    before = line[: found.start()] if (found := _PHRASE.search(line)) else line
    parts = [part.strip() for part in before.split(": ") if part.strip(" :(")]
    # `tee: name: Permission denied`, `sh: 1: cannot create name: Permission denied`
    if len(parts) > 1 and not quoted:
        last = parts[-1].rstrip(" :(")
        yield last
        yield last.rpartition(" ")[2]


def _keeps(policy: Policy, path: Path, exit_code: int, *, sees_denials: bool) -> bool:
    """Whether *policy*, and nothing else, keeps a program from *path*."""
    access = Access.NONE if policy.matches_pattern(path) else policy.access(path)
    if access == Access.NONE and path.is_file() and os.access(path, os.X_OK):
        # Executing is what no backend watches.
        return True
    if access == Access.WRITE or sees_denials or exit_code == _NOT_EXECUTABLE:
        return False
    return (access == Access.NONE and os.access(path, os.R_OK)) or _could_change(path)


def _could_change(path: Path) -> bool:
    """Whether this user may write to, make, remove or mark what *path* names."""
    if os.access(path.parent, os.W_OK | os.X_OK):
        return True
    try:
        found = path.lstat()
    except OSError:
        return False
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return os.access(path, os.W_OK) or found.st_uid == _user()
    return os.access(path, os.W_OK)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else -1


def _is_optional(evidence: Evidence) -> bool:
    if evidence.crosses:
        return True
    target = PurePath(evidence.target)
    if evidence.operation == "connect":
        return evidence.target.startswith(_NAME_SERVICES)
    return target.name in _OPTIONAL_FILES or not _OPTIONAL_DIRECTORIES.isdisjoint(target.parts)
