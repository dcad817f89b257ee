"""A sandbox intent that cannot be enforced is refused before anything happens."""

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient, SyncFiles
from suites.filesystem.tools import refusal


def intent(permissions: Any, **more: Any) -> dict[str, Any]:
    return {"permissions": permissions, "workspaceRoots": [], "windowsSandboxLevel": "disabled"} | more


# What no executor can enforce, whatever it has.
UNENFORCEABLE: dict[str, dict[str, Any]] = {
    "empty": {},
    "permissions missing": {"cwd": "file:///"},
    "permissions null": intent(None),
    "permissions no object": intent("managed"),
    "type missing": intent({}),
    "type unknown": intent({"type": "no-such-sandbox"}),
}


def open_to_read(files: SyncFiles, workspace: Workspace) -> None:
    with files.open_read(workspace / "f"):
        pass


def open_to_replace(files: SyncFiles, workspace: Workspace) -> None:
    with files.open_replace(workspace / "f"):
        pass


CALLS: dict[str, Callable[[SyncFiles, Workspace], Any]] = {
    "readFile": lambda files, workspace: files.read_file(workspace / "f"),
    "writeFile": lambda files, workspace: files.write_file(workspace / "f", b"changed"),
    "createDirectory": lambda files, workspace: files.create_directory(workspace / "new"),
    "remove": lambda files, workspace: files.remove(workspace / "f"),
    "copy": lambda files, workspace: files.copy(workspace / "f", workspace / "new"),
    "canonicalize": lambda files, workspace: files.canonicalize(workspace / "f"),
    "getMetadata": lambda files, workspace: files.metadata(workspace / "f"),
    "readDirectory": lambda files, workspace: files.read_directory(workspace.uri),
    "walk": lambda files, workspace: files.walk(workspace.uri),
    "open": open_to_read,
    "open to replace": open_to_replace,
}


@pytest.mark.parametrize("sandbox", UNENFORCEABLE.values(), ids=UNENFORCEABLE.keys())
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_what_cannot_be_enforced_is_refused_and_nothing_happens(
    client: SyncClient,
    workspace: Workspace,
    call: Callable[[SyncFiles, Workspace], Any],
    sandbox: dict[str, Any],
) -> None:
    workspace.write("f", b"kept")
    error = refusal(lambda: call(client.files.sandboxed(sandbox), workspace))
    assert error.code == ErrorCode.INVALID_PARAMS
    assert workspace.read("f") == b"kept"
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["f"]


READ_ONLY = {
    "type": "managed",
    "file_system": {
        "type": "restricted",
        "entries": [{"path": {"type": "special", "value": {"kind": "root"}}, "access": "read"}],
    },
    "network": "restricted",
}


@pytest.mark.parametrize("name", ["writeFile", "createDirectory", "remove", "copy", "open to replace"])
def test_what_the_intent_forbids_does_not_happen(client: SyncClient, workspace: Workspace, name: str) -> None:
    """Refused as a whole or denied: either way an error, and the files are as they were."""
    workspace.write("f", b"kept")
    sandbox = intent(READ_ONLY, cwd=str(workspace.uri), workspaceRoots=[str(workspace.uri)])
    refusal(lambda: CALLS[name](client.files.sandboxed(sandbox), workspace))
    assert workspace.read("f") == b"kept"
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["f"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_an_intent_of_no_sandbox_changes_nothing(
    client: SyncClient, workspace: Workspace, call: Callable[[SyncFiles, Workspace], Any]
) -> None:
    workspace.write("f", b"x")
    sandbox = intent({"type": "disabled"}, cwd=str(workspace.uri), workspaceRoots=[str(workspace.uri)])
    call(client.files.sandboxed(sandbox), workspace)
    assert workspace.exists("f") is (call is not CALLS["remove"])
