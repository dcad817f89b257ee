"""One message of the protocol as one line that a person may read: short, printable, without secrets."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

LINE_LENGTH: Final = 380
"""Characters that a line has at most."""

_STRING_LENGTH = 120
_HEAD = 80
_TAIL = 24
_UNREADABLE_HEAD = 200
_PATH_KEYS = frozenset(("path", "cwd", "sourcePath", "destinationPath", "tempDir", "userHomeDir"))
_CREDENTIALS = re.compile(r"(?<=://)[^/\s\"']+(?=@)")
# What would end the line, move a terminal's cursor or turn the direction of the text, and half a pair.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def message_line(message: bytes | str) -> str:
    """Returns the JSON of *message* in one line of at most :data:`LINE_LENGTH` characters.

    The values of a process's variables are left out, as are those whose name looks like a secret's (as the
    executor's own environment policy has it), and the credentials in a URL. Of a long string only both ends
    are shown, unless it is a path.
    """
    try:
        shown = json.dumps(_value(json.loads(message)), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        shown = _unreadable(message, error)
    return _line(shown)


def text_line(text: str) -> str:
    """The same for a text that is no message."""
    return _line(_clean(text))


def _value(value: Any, key: str = "", parent: str = "") -> Any:
    if _is_secret(key) or (key == "env" and not isinstance(value, dict)):
        return _hidden(value)
    if isinstance(value, dict):
        if key == "env" or (key == "set" and parent == "envPolicy"):
            return {name: _hidden(of) for name, of in value.items()}
        return {name: _value(of, name, key) for name, of in value.items()}
    if isinstance(value, list):
        # As in: --token VALUE
        after_flag = [False, *(isinstance(of, str) and of[:1] == "-" and _is_secret(of) for of in value)]
        return [_hidden(of) if hide else _value(of, key) for of, hide in zip(value, after_flag, strict=False)]
    if not isinstance(value, str):
        return value
    cleaned = _clean(value)
    is_path = key in _PATH_KEYS or cleaned.startswith("file:")
    return cleaned if is_path else _middle_cut(cleaned, _HEAD, _TAIL, _STRING_LENGTH)


def _hidden(value: Any) -> Any:
    if value is None:
        return None
    return f"<{len(value)} characters>" if isinstance(value, str) else "<hidden>"


def _line(text: str) -> str:
    return _middle_cut(_printable(text), LINE_LENGTH - 130, 100, LINE_LENGTH)


def _clean(text: str) -> str:
    text = _CREDENTIALS.sub(lambda found: _hidden(found[0]), text)
    return _assignment().sub(lambda found: found[1] + _hidden(found[2]), text)


def _middle_cut(text: str, head: int, tail: int, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:head]}…<{len(text)} characters>…{text[-tail:]}"


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _unreadable(message: bytes | str, error: Exception) -> str:
    """What can be shown of a text whose secrets cannot be found by their place."""
    text = message if isinstance(message, str) else message.decode("utf-8", "replace")
    size = f"{len(message)} {'bytes' if isinstance(message, bytes) else 'characters'}"
    why = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
    if '"env' in text or _secret_word().search(text):
        return f"({why}, {size}, not shown: there may be secrets in it)"
    return f"({why}, {size}) {_clean(text[:_UNREADABLE_HEAD])}"


def _is_secret(name: str) -> bool:
    return _secret_word().search(name) is not None


@cache
def _secret_word() -> re.Pattern[str]:
    # Loads the starting of processes too, which a client has no need of before a test fails.
    from executors.process.environment import DEFAULT_EXCLUDES

    words = (re.escape(pattern.strip("*")) for pattern in DEFAULT_EXCLUDES)
    return re.compile("|".join(words), re.IGNORECASE)


@cache
def _assignment() -> re.Pattern[str]:
    """An assignment to a variable with such a name, in a script or a URL: all before the value, the value."""
    return re.compile(
        rf"((?:{_secret_word().pattern})\w{{0,64}}=)(\"[^\"]*\"|'[^']*'|[^\s&;\"']+)", re.IGNORECASE
    )
