"""Glob patterns of a policy: their dialect, and whether a path matches. Lexical, no I/O.

Between slashes ``*`` stands for any characters, ``?`` for one, ``[ab-y]`` for one of these and ``[!ab-y]`` or
``[^ab-y]`` for one of all others; ``**``, on its own between slashes, for any number of directories, none
included. A leading dot is a character like any other. Everything else that other dialects have is refused
and not taken literally, for a pattern denies: one that is misread lets through what it should keep.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

ANY_DIRECTORIES: Final = "**"
LONGEST: Final = 4096
"""As many characters as a path may have on Linux."""

_SET: Final = re.compile(r"\[[!^]?\]?[^\]]*\]")
_CLASS: Final = re.compile(r"\[[^\]]*\[[:.=]")
_MAGIC: Final = re.compile(r"[*?\[]")


class PatternError(ValueError):
    """A text that is no pattern of this dialect; the message says why, and what would be."""


def read_pattern(text: str, *, windows: bool) -> list[str]:
    """Returns the names of *text* between slashes; of an absolute pattern the first is empty, or a drive.

    :param windows: whether a backslash is a slash, too.
    :raises PatternError: it is none.
    """
    if windows:
        text = text.replace("\\", "/")
    elif "\\" in text:
        raise PatternError("it has a backslash: write `/` between names and `[*]` for a star")
    if len(text) > LONGEST:
        raise PatternError(f"it has {len(text)} characters, and a path has at most {LONGEST}")
    if "\0" in text:
        raise PatternError("it holds a NUL, which no path can")
    first, *others = text.split("/")
    names = [first, *(name for name in others if name not in ("", "."))]
    if names[0] == ".":
        del names[0]
    if not any(names):
        raise PatternError("it is empty")
    kept: list[str] = []
    for name in names:
        if name != ANY_DIRECTORIES:
            name = _checked(name)
        elif kept[-1:] == [ANY_DIRECTORIES]:
            continue
        kept.append(name)
    return kept


def _checked(name: str) -> str:
    if name == "..":
        raise PatternError("it has `..` in it: say where it leads")
    if ANY_DIRECTORIES in name:
        raise PatternError(f"`**` has to stand alone between slashes, not as in {name!r}")
    rest = _SET.sub("", name)
    if "[" in rest:
        raise PatternError(f"a `[` in {name!r} is not closed")
    if _CLASS.search(name):
        raise PatternError(f"classes as in {name!r} mean nothing: write the characters, as in `[a-z]`")
    if "{" in rest or "}" in rest:
        raise PatternError(f"braces as in {name!r} mean nothing: write a pattern for each, or `[{{]` for one")
    return _SET.sub(lambda found: found[0].replace("[^", "[!", 1), name)


def is_magic(name: str) -> bool:
    """Returns whether *name* may match others than itself."""
    return _MAGIC.search(name) is not None


def escape(name: str) -> str:
    """Returns the pattern that only *name* matches."""
    return re.sub(r"[*?\[{}]", r"[\g<0>]", name)


@lru_cache(4096)
def _matcher(name: str, ignore_case: bool) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(name), re.IGNORECASE if ignore_case else 0)


def matches(pattern: Sequence[str], names: Sequence[str], *, ignore_case: bool = False) -> bool:
    """Returns whether a path, or a directory that it is in, matches.

    Takes time in proportion to the product of their lengths, whatever they are.

    :param pattern: as :func:`read_pattern` returns it.
    :param names: of the path, its root included where the pattern's is.
    """
    at = begin(pattern)
    for name in names:
        if len(pattern) in at:
            return True
        at = advance(pattern, at, name, ignore_case=ignore_case)
        if not at:
            return False
    return len(pattern) in at


def begin(pattern: Sequence[str]) -> set[int]:
    """Returns the places in *pattern* where a path can be before its first name; see :func:`advance`."""
    return _closure({0}, pattern)


def advance(pattern: Sequence[str], at: set[int], name: str, *, ignore_case: bool = False) -> set[int]:
    """Returns where in *pattern* a path can be after *name*, if it could be *at* these places before.

    At ``len(pattern)`` it matches; nowhere, and nothing below it does.
    """
    after = set()
    for index in at:
        if index == len(pattern):
            continue
        if pattern[index] == ANY_DIRECTORIES:
            after.add(index)
        elif _matcher(pattern[index], ignore_case).match(name):
            after.add(index + 1)
    return _closure(after, pattern)


def _closure(at: set[int], pattern: Sequence[str]) -> set[int]:
    """*at*, and where ``**`` that stand for nothing lead from there."""
    return at | {index + 1 for index in at if index < len(pattern) and pattern[index] == ANY_DIRECTORIES}
