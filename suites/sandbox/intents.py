"""Intents as the protocol has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from executors.protocol.path_uri import PathUri

Json = dict[str, Any]
Uri = PathUri | str


def at(place: Uri, access: str, **more: Any) -> Json:
    """The entry of a path."""
    return {"path": {"type": "path", "path": str(place)}, "access": access} | more


def matching(pattern: str, access: str = "deny") -> Json:
    """The entry of a glob pattern."""
    return {"path": {"type": "glob_pattern", "pattern": pattern}, "access": access}


def special(kind: str, access: str, **value: Any) -> Json:
    """The entry of a place that the executor knows."""
    return {"path": {"type": "special", "value": {"kind": kind} | value}, "access": access}


def intent(
    *entries: Json,
    network: str = "restricted",
    cwd: Uri | None = None,
    roots: Iterable[Uri] = (),
    depth: int | None = None,
) -> Json:
    """An intent of these entries, and nothing else allowed."""
    restricted: Json = {"type": "restricted", "entries": list(entries)}
    if depth is not None:
        restricted["glob_scan_max_depth"] = depth
    made = wrapped({"type": "managed", "file_system": restricted, "network": network})
    made["workspaceRoots"] = [str(root) for root in roots]
    if cwd is not None:
        made["cwd"] = str(cwd)
    return made


def wrapped(permissions: Any) -> Json:
    """An intent of these permissions."""
    return {"permissions": permissions, "workspaceRoots": [], "windowsSandboxLevel": "disabled"}


EVERYTHING_READABLE = special("root", "read")
UNRESTRICTED = {"type": "unrestricted"}


def writing_in(*places: Uri, network: str = "restricted") -> Json:
    """Everything may be read, these may be written."""
    return intent(EVERYTHING_READABLE, *(at(place, "write") for place in places), network=network)
