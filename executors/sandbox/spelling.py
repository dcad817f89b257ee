"""Paths as an intent spells them, in the form of this system. Lexical, no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Final

from executors.protocol.errors import RpcError, invalid_params
from executors.protocol.path_uri import ForeignPathError, PathUri, PathUriError
from executors.protocol.sandbox import PROJECT_ROOTS_SCHEME
from executors.sandbox.patterns import PatternError, read_pattern

_MOST_OF_A_TEXT: Final = 300

# What the URL standard takes out of a URI before it looks for the steps that climb.
_STRIPPED: Final = "".join(map(chr, range(0x21)))
_REMOVED: Final = dict.fromkeys(map(ord, "\t\n\r"))
_CLIMB: Final = re.compile(r"[/\\:](?:\.|%2e){2}(?:[/\\]|\Z)", re.IGNORECASE)

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_OF_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_NO_NAME: Final = re.compile(r"[. ]+|.*:.*", re.DOTALL)
"""What Win32 takes for another name, or for a stream of a file."""


class Spelling:
    """:param platform: ``linux``, ``macos`` or ``windows``."""

    def __init__(self, platform: str) -> None:
        self._platform = platform
        self._windows = platform == "windows"

    def native(self, uri: str) -> str:
        """Returns the path of a URI.

        :raises RpcError: INVALID_PARAMS: it is none of this system, or has ``..`` in it.
        """
        cleaned = uri.strip(_STRIPPED).translate(_REMOVED)
        if _CLIMB.search(cleaned):
            raise refusal(f"{shown(uri)} has `..` in it: say where it leads")
        if "%00" in cleaned:
            raise refusal(f"{shown(uri)} holds a NUL, or is a path that no ordinary URI can hold")
        try:
            path = PathUri.parse(uri).to_native(self._platform)
        except ForeignPathError as error:
            raise refusal(
                f"{_text(str(error))}: name a path of the machine that the program runs on"
            ) from None
        except PathUriError as error:
            raise refusal(_text(str(error))) from None
        if self._windows:
            self._check_names(PureWindowsPath(path), uri)
        return path

    def subpath(self, text: str) -> str:
        """Returns a path below a root, empty for the root itself.

        :raises RpcError: INVALID_PARAMS: it may be elsewhere.
        """
        path = PureWindowsPath(text) if self._windows else PurePosixPath(text)
        if path.anchor or ".." in path.parts or "\0" in text:
            raise refusal(f"subpath {shown(text)} is not relative, has `..` in it or holds a NUL")
        if self._windows:
            self._check_names(path, text)
        elif "\\" in text:
            raise refusal(f"subpath {shown(text)} has a backslash: write `/` between names")
        return "" if not path.parts else str(path)

    def pattern(self, text: str) -> list[str]:
        """Returns the names of a glob pattern.

        :raises RpcError: INVALID_PARAMS: it is neither absolute on this system nor relative, or no pattern.
        """
        scheme = _SCHEME.match(text)
        below = text.removeprefix(PROJECT_ROOTS_SCHEME)
        if scheme is not None and below == text:
            raise refusal(
                f"pattern {shown(text)} begins with {shown(scheme[0])}: write an absolute path of this "
                "system, or a relative one for each project root"
            )
        if not self._windows and _OF_WINDOWS.match(below):
            raise refusal(f"pattern {shown(text)} is one of Windows, and this is {self._platform}")
        try:
            names = read_pattern(below, windows=self._windows)
        except PatternError as error:
            raise refusal(f"pattern {shown(text)}: {error}") from None
        if (self._windows and not names[0]) or (scheme is not None and self.is_rooted(names)):
            raise refusal(f"pattern {shown(text)} is neither absolute here nor relative to a project root")
        return names

    def is_rooted(self, names: Sequence[str]) -> bool:
        """Returns whether the pattern of *names* is no relative one."""
        return not names[0] or (self._windows and _DRIVE.fullmatch(names[0]) is not None)

    def _check_names(self, path: PurePath, said: str) -> None:
        for name in path.parts[1:] if path.anchor else path.parts:
            if _NO_NAME.fullmatch(name):
                raise refusal(f"{shown(said)} has {shown(name)} in it, which is no file name on Windows")


def refusal(text: str) -> RpcError:
    """Returns the error of an intent that cannot be bound."""
    return invalid_params(f"field `sandbox`: {text}")


def shown(text: str) -> str:
    """Returns *text* for a message."""
    return f"'{_text(text)}'"


def _text(text: str) -> str:
    """*text* of a length for a message, in characters that JSON can hold."""
    if len(text) > _MOST_OF_A_TEXT:
        half = _MOST_OF_A_TEXT // 2
        text = f"{text[:half]}...{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
