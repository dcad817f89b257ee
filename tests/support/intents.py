"""Sandbox intents as on the wire, and what binds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.sandbox.intent import bind, read_intent
from executors.sandbox.places import Places
from executors.sandbox.policy import Policy


def intent(
    *entries: dict[str, Any],
    network: Any = "restricted",
    file_system: Any = None,
    permissions: Any = None,
    glob_scan_max_depth: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Returns an intent with these entries; *more* are fields beside its permissions, None for left out."""
    restricted: dict[str, Any] = {"type": "restricted", "entries": list(entries)}
    if glob_scan_max_depth is not None:
        restricted["glob_scan_max_depth"] = glob_scan_max_depth
    managed = {"type": "managed", "file_system": file_system or restricted, "network": network}
    asked = managed if permissions is None else permissions
    fields = {"permissions": asked, "windowsSandboxLevel": "disabled"}
    return {name: value for name, value in (fields | more).items() if value is not None}


def at(uri: str, access: str) -> dict[str, Any]:
    """Returns an entry about a path."""
    return {"path": {"type": "path", "path": uri}, "access": access}


def special(kind: str, access: str, *, subpath: str | None = None) -> dict[str, Any]:
    """Returns an entry about a place that the executor knows."""
    value = {"kind": kind} if subpath is None else {"kind": kind, "subpath": subpath}
    return {"path": {"type": "special", "value": value}, "access": access}


def pattern(text: str, access: str = "deny") -> dict[str, Any]:
    """Returns an entry about whatever matches."""
    return {"path": {"type": "glob_pattern", "pattern": text}, "access": access}


def make_places(base: Path) -> Places:
    """Returns places of which the temporary directory is a new one in *base*."""
    (base / "temporary").mkdir()
    return Places("linux", (Path("/"),), (Path("/usr"), base / "absent"), base / "temporary", (Path("/tmp"),))


@dataclass(frozen=True)
class Binding:
    """Binds entries, as from the wire; *root* is the cwd and the only root unless told otherwise."""

    root: Path
    places: Places

    def __call__(self, *entries: Any, **more: Any) -> Policy:
        own = {"cwd": self.root.as_uri(), "workspaceRoots": [self.root.as_uri()]}
        read = read_intent(msgspec.json.decode(msgspec.json.encode(intent(*entries, **(own | more)))))
        assert read is not None
        return bind(read, self.places)


def refused(call: Callable[[], object], *words: str) -> str:
    """Returns the message of the refusal, which names the field and holds *words*."""
    with pytest.raises(RpcError) as caught:
        call()
    assert caught.value.code == ErrorCode.INVALID_PARAMS
    message = caught.value.message
    assert message.startswith("field `sandbox`: ")
    for word in words:
        assert word in message
    msgspec.json.encode(message)
    return message
