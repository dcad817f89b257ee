"""What the denied patterns of a policy match at a moment."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import PurePath, PurePosixPath
from typing import Final

from executors.sandbox.mounts_linux import Kind
from executors.sandbox.patterns import advance, begin, is_magic, read_pattern
from executors.sandbox.policy import Access, Policy

MOST_MATCHES: Final = 10_000
MOST_FILES: Final = 100_000
"""As many are looked at, matching or not: the event loop waits meanwhile."""

_OTHERS_INSIDE: Final = frozenset({"/proc", "/dev"})


def find_matches(policy: Policy) -> dict[PurePath, Kind]:
    """Returns what is there and matches a pattern.

    What lies in a match is left out, and so is what the rules deny anyway. Where a symbolic link matches,
    what it leads to is denied, since a mount cannot deny a link. What comes to match later is not denied.
    /proc and /dev are not looked through: inside there are others.

    :raises ValueError: there are more than :data:`MOST_MATCHES`, or more than :data:`MOST_FILES` to look
        at; a directory cannot be looked through; or a link that matches leads to what holds a place of the
        policy.
    """
    scan = _Scan(policy)
    for text in policy.denied_patterns:
        scan.look_for(text)
    return scan.found


class _Scan:
    def __init__(self, policy: Policy) -> None:
        self.found: dict[PurePath, Kind] = {}
        self._policy = policy
        self._seen = 0

    def look_for(self, text: str) -> None:
        names = read_pattern(text, windows=False)[1:]
        start = next((index for index, name in enumerate(names) if is_magic(name)), len(names))
        base = os.path.realpath("/" + "/".join(names[:start]))
        pattern = names[start:]
        if len(pattern) in begin(pattern):
            self._add(base)
        else:
            self._walk(base, pattern)

    def _walk(self, base: str, pattern: Sequence[str]) -> None:
        # With each directory, where in the pattern it can be.
        waiting = [(base, begin(pattern), 0)]
        while waiting:
            directory, at, depth = waiting.pop()
            if depth == self._policy.pattern_depth or directory in _OTHERS_INSIDE:
                continue
            for entry in self._entries(directory):
                after = advance(pattern, at, entry.name)
                if len(pattern) in after:
                    self._add(entry.path)
                elif after and entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, after, depth + 1))

    def _entries(self, directory: str) -> Iterator[os.DirEntry[str]]:
        try:
            listing = os.scandir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError:
            if os.access(directory, os.X_OK):
                raise ValueError(
                    f"what matches a pattern cannot be looked for in {directory}: its files can be opened, "
                    "but not listed"
                ) from None
            return
        except OSError as error:
            raise ValueError(f"cannot look through {directory} for matches: {error.strerror}") from None
        with listing:
            for entry in listing:
                self._seen += 1
                if self._seen > MOST_FILES:
                    raise ValueError(
                        f"more than {MOST_FILES} files would have to be looked at for matches of patterns: "
                        "begin the patterns deeper, or give a smaller glob_scan_max_depth"
                    )
                yield entry

    def _add(self, path: str) -> None:
        try:
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                path = os.path.realpath(path, strict=True)
                mode = os.lstat(path).st_mode
                self._refuse_outer(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
                # It is gone, or leads nowhere.
                return
            raise ValueError(f"cannot look at {path}, which matches a pattern: {error.strerror}") from None
        place = PurePosixPath(path)
        if self._policy.access(place) == Access.NONE and not self._holds_rule(place):
            return
        self.found[place] = Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.FILE
        if len(self.found) > MOST_MATCHES:
            raise ValueError(f"more than {MOST_MATCHES} files match the patterns: deny their directories")

    def _refuse_outer(self, path: str) -> None:
        if self._holds_rule(PurePosixPath(path)):
            raise ValueError(
                f"a symbolic link that matches a pattern leads to {path}, which holds a place to be used"
            )

    def _holds_rule(self, place: PurePath) -> bool:
        return any(
            rule.access != Access.NONE and (rule.path == place or place in rule.path.parents)
            for rule in self._policy.rules
        )
