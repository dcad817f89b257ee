"""What every file method says of a path that leads nowhere, and that it leaves nothing behind."""

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient, SyncFiles
from suites.filesystem.conftest import Link
from suites.filesystem.tools import refusal
from suites.links import needs_links

Attempt = Callable[[SyncFiles, Workspace], Any]


def open_to_read(files: SyncFiles, workspace: Workspace, name: str) -> None:
    with files.open_read(workspace / name):
        pass


def open_to_replace(files: SyncFiles, workspace: Workspace, *names: str) -> None:
    path = workspace.uri
    for name in names:
        path = path.join(name)
    with files.open_replace(path):
        pass


ON_A_PATH: dict[str, Callable[[SyncFiles, Workspace, str], Any]] = {
    "readFile": lambda files, workspace, name: files.read_file(workspace / name),
    "getMetadata": lambda files, workspace, name: files.metadata(workspace / name),
    "canonicalize": lambda files, workspace, name: files.canonicalize(workspace / name),
    "readDirectory": lambda files, workspace, name: files.read_directory(workspace / name),
    "walk": lambda files, workspace, name: files.walk(workspace / name),
    "open": open_to_read,
}

OTHERS: dict[str, Attempt] = {
    "remove, not forced": lambda files, workspace: files.remove(workspace / "missing", force=False),
    "copy of nothing": lambda files, workspace: files.copy(workspace / "missing", workspace / "c"),
    "copy of nothing, recursive": lambda files, workspace: files.copy(
        workspace / "missing", workspace / "c", recursive=True
    ),
    "copy to a missing directory": lambda files, workspace: files.copy(
        workspace / "there", (workspace / "missing").join("c")
    ),
    "writeFile in a missing directory": lambda files, workspace: files.write_file(
        (workspace / "missing").join("f"), b"x"
    ),
    "createDirectory in a missing directory": lambda files, workspace: files.create_directory(
        (workspace / "missing").join("d"), recursive=False
    ),
    "open to replace in a missing directory": lambda files, workspace: open_to_replace(
        files, workspace, "missing", "f"
    ),
}


@pytest.mark.parametrize("attempt", ON_A_PATH.values(), ids=ON_A_PATH.keys())
def test_a_missing_path_is_not_found(
    client: SyncClient, workspace: Workspace, attempt: Callable[[SyncFiles, Workspace, str], Any]
) -> None:
    assert refusal(lambda: attempt(client.files, workspace, "missing")).code == ErrorCode.NOT_FOUND
    assert client.files.read_directory(workspace.uri) == []


@pytest.mark.parametrize("attempt", ON_A_PATH.values(), ids=ON_A_PATH.keys())
@needs_links
def test_a_link_to_nothing_is_not_found(
    client: SyncClient, workspace: Workspace, link: Link, attempt: Callable[[SyncFiles, Workspace, str], Any]
) -> None:
    link("nowhere", "l")
    assert refusal(lambda: attempt(client.files, workspace, "l")).code == ErrorCode.NOT_FOUND


@pytest.mark.skip_if_target_windows("a loop of links has an error of its own there")
@pytest.mark.parametrize("attempt", ON_A_PATH.values(), ids=ON_A_PATH.keys())
def test_a_loop_of_links_is_an_error_of_the_system(
    client: SyncClient, workspace: Workspace, link: Link, attempt: Callable[[SyncFiles, Workspace, str], Any]
) -> None:
    link("b", "a")
    link("a", "b")
    assert refusal(lambda: attempt(client.files, workspace, "a")).code == ErrorCode.INTERNAL_ERROR


@pytest.mark.parametrize("attempt", OTHERS.values(), ids=OTHERS.keys())
def test_nothing_is_made_where_something_is_missing(
    client: SyncClient, workspace: Workspace, attempt: Attempt
) -> None:
    workspace.write("there", b"data")
    assert refusal(lambda: attempt(client.files, workspace)).code == ErrorCode.NOT_FOUND
    assert [entry.file_name for entry in client.files.read_directory(workspace.uri)] == ["there"]
