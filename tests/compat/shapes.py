"""What a value that came must be like, where it cannot be the same one again."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from typing import Any

UUID, TEXT, INTEGER, BOOLEAN = "<uuid>", "<text>", "<integer>", "<boolean>"
"""Placeholders: each stands for any value of its kind."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KINDS: dict[str, Callable[[Any], bool]] = {
    UUID: lambda value: isinstance(value, str) and _UUID.fullmatch(value) is not None,
    TEXT: lambda value: isinstance(value, str),
    INTEGER: lambda value: isinstance(value, int) and not isinstance(value, bool),
    BOOLEAN: lambda value: isinstance(value, bool),
}


def kinds(value: Any) -> Any:
    """Returns *value* with placeholders in it, but for the name of the system, and with lists empty."""
    if isinstance(value, dict):
        return {key: each if key == "platformOs" else kinds(each) for key, each in value.items()}
    if isinstance(value, list):
        return []
    return next((kind for kind, fits in _KINDS.items() if fits(value)), value)


def mismatches(recorded: Any, found: Any, optional: Set[str], own: Set[str], at: str = "") -> list[str]:
    """Tells where what came is not as recorded.

    :param optional: fields that need not be there.
    :param own: fields that may be there besides.
    """
    if isinstance(recorded, dict) and isinstance(found, dict):
        missing = [f"{at}: no {key}" for key in recorded.keys() - found.keys() - optional]
        more = [f"{at}: {key} besides" for key in found.keys() - recorded.keys() - own]
        both = [key for key in recorded if key in found]
        deeper = (mismatches(recorded[key], found[key], optional, own, f"{at}.{key}") for key in both)
        return sorted(missing + more) + [each for some in deeper for each in some]
    if isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        pairs = enumerate(zip(recorded, found, strict=True))
        deeper = (mismatches(one, other, optional, own, f"{at}[{n}]") for n, (one, other) in pairs)
        return [each for some in deeper for each in some]
    return (
        [] if (recorded == found and type(recorded) is type(found)) else [f"{at}: {found!r} for {recorded!r}"]
    )
