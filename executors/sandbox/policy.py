"""What a program may do, in paths of this machine: the rules of an intent once it is bound. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Final

from executors.sandbox.patterns import matches, read_pattern


class Access(enum.IntEnum):
    """What may be done with a place; each includes those before it."""

    NONE = 0
    READ = 1
    """Read, list and execute."""
    WRITE = 2


@dataclass(frozen=True)
class Rule:
    """Access to a file, or to a directory and all below it that no inner rule is about.

    :ivar path: absolute, without symbolic links at the time of binding. Nothing need be there.
    """

    path: PurePath
    access: Access


@dataclass(frozen=True)
class Policy:
    """What a program may do.

    :ivar rules: outer ones first, one a path. A path that none is about cannot be accessed.
    :ivar denied_patterns: absolute glob patterns, in the dialect of :mod:`executors.sandbox.patterns`; what
        matches one cannot be accessed, nor what is below it, whatever the rules say.
    :ivar pattern_depth: how many directories deep, from where a pattern begins, matches are looked for; None
        for no limit.
    :ivar network: whether the program may use sockets other than those it makes between its own processes.
    :ivar roots: the whole file system, on Windows a root a drive.
    """

    rules: tuple[Rule, ...]
    denied_patterns: tuple[str, ...] = ()
    pattern_depth: int | None = None
    network: bool = False
    roots: tuple[PurePath, ...] = (PurePosixPath("/"),)

    @cached_property
    def _accesses(self) -> dict[str | None, Access]:
        return {_key(rule.path): rule.access for rule in self.rules}

    @cached_property
    def _patterns(self) -> list[list[str]]:
        windows = any(isinstance(root, PureWindowsPath) for root in self.roots)
        return [read_pattern(text, windows=windows) for text in self.denied_patterns]

    def access(self, path: PurePath) -> Access:
        """Returns what the rules say of *path*, absolute and free of symbolic links; patterns aside.

        NONE for a path that is relative or has ``..`` in it. Never raises.
        """
        return _innermost(self._accesses, _key(path))

    def matches_pattern(self, path: PurePath) -> bool:
        """Returns whether *path*, absolute and free of symbolic links, or what it is in matches a pattern.

        However deep it lies. Case makes no difference on Windows.
        """
        windows = isinstance(path, PureWindowsPath)
        names = path.as_posix().rstrip("/").split("/")
        return any(matches(pattern, names, ignore_case=windows) for pattern in self._patterns)

    @property
    def is_unrestricted(self) -> bool:
        """Whether there is nothing to enforce."""
        return (
            self.network
            and not self.denied_patterns
            and all(rule.access == Access.WRITE for rule in self.rules)
            and all(self.access(root) == Access.WRITE for root in self.roots)
        )

    def carved(self) -> Iterator[Rule]:
        """Yields the rules that take away what the place around them has."""
        for rule in self.rules:
            outer = rule.path.parent
            if outer != rule.path and self.access(outer) > rule.access:
                yield rule


def make_policy(
    rules: Iterable[Rule],
    *,
    denied_patterns: Iterable[str] = (),
    pattern_depth: int | None = None,
    network: bool = False,
    roots: Iterable[PurePath] = (PurePosixPath("/"),),
) -> Policy:
    """Returns the policy of these *rules*, in any order, without those that change nothing.

    :raises ValueError: two rules are about the same path, or one about a path that is relative or has ``..``
        in it.
    """
    ordered = sorted(rules, key=lambda rule: (len(rule.path.parts), str(rule.path)))
    kept: list[Rule] = []
    accesses: dict[str | None, Access] = {}
    for rule in ordered:
        key = _key(rule.path)
        if key is None:
            raise ValueError(f"a rule is about {rule.path}, which is relative or has `..` in it")
        if key in accesses:
            raise ValueError(f"two rules are about {rule.path}")
        if rule.access != _innermost(accesses, key):
            kept.append(rule)
        accesses[key] = rule.access
    policy = Policy(tuple(kept), tuple(dict.fromkeys(denied_patterns)), pattern_depth, network, tuple(roots))
    # The rules that were left out change no answer.
    vars(policy)["_accesses"] = accesses
    return policy


def _innermost(accesses: Mapping[str | None, Access], key: str | None) -> Access:
    """What is said of *key* or else of the place nearest around it."""
    while key is not None:
        found = accesses.get(key)
        if found is not None:
            return found
        end = key.rfind("/")
        key = key[:end] if end >= 0 else None
    return Access.NONE


_VERBATIM: Final = "\\\\?\\"
_VERBATIM_SHARE: Final = "\\\\?\\unc\\"


def _key(path: PurePath) -> str | None:
    """One spelling for all of *path*, with a slash before each name; None if it may lead anywhere."""
    parts = path.parts
    if not path.is_absolute() or ".." in parts:
        return None
    if not isinstance(path, PureWindowsPath):
        return "/".join(("", *parts[1:]))
    # Win32 passes over case and over dots and blanks at the end; behind a colon is a stream of the same file.
    root = parts[0].lower().rstrip("\\")
    if root.startswith(_VERBATIM_SHARE):
        root = "\\\\" + root.removeprefix(_VERBATIM_SHARE)
    names = (part.lower().partition(":")[0].rstrip(". ") for part in parts[1:])
    return "/".join((root.removeprefix(_VERBATIM), *names))
