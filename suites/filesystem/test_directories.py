"""``fs/createDirectory``, ``fs/readDirectory`` and ``fs/remove``."""

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.files import CreateDirectoryParams, DirectoryEntry, RemoveParams
from executors.protocol.methods import FS_CREATE_DIRECTORY, FS_REMOVE
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import BELOW_A_FILE, refusal, system_sees
from suites.links import needs_links


def create(client: SyncClient, path: PathUri, recursive: bool | None) -> None:
    """With None the field is left out."""
    client.call(FS_CREATE_DIRECTORY, CreateDirectoryParams(str(path), recursive))


def names(client: SyncClient, path: PathUri) -> list[str]:
    return sorted(entry.file_name for entry in client.files.read_directory(path))


@pytest.mark.parametrize("recursive", [True, False, None], ids=["recursive", "not recursive", "default"])
def test_a_directory_is_made(
    client: SyncClient, python: BoundPython, workspace: Workspace, recursive: bool | None
) -> None:
    create(client, workspace / "d", recursive)
    assert system_sees(python, workspace / "d")["directory"] is True


@pytest.mark.parametrize("recursive", [True, None], ids=["recursive", "default"])
def test_its_parents_are_made(client: SyncClient, workspace: Workspace, recursive: bool | None) -> None:
    create(client, (workspace / "a").join("b").join("c"), recursive)
    assert names(client, (workspace / "a").join("b")) == ["c"]


@pytest.mark.parametrize("recursive", [True, None], ids=["recursive", "default"])
def test_it_may_be_there_already(client: SyncClient, workspace: Workspace, recursive: bool | None) -> None:
    workspace.write("d/kept", b"x")
    create(client, workspace / "d", recursive)
    assert names(client, workspace / "d") == ["kept"]


def test_not_recursive_it_must_not_be_there(client: SyncClient, workspace: Workspace) -> None:
    workspace.mkdir("d")
    assert refusal(lambda: create(client, workspace / "d", False)).code == ErrorCode.INTERNAL_ERROR


@pytest.mark.parametrize("recursive", [True, False, None], ids=["recursive", "not recursive", "default"])
def test_a_file_in_its_place_stays(client: SyncClient, workspace: Workspace, recursive: bool | None) -> None:
    workspace.write("f", b"kept")
    assert refusal(lambda: create(client, workspace / "f", recursive)).code == ErrorCode.INTERNAL_ERROR
    assert workspace.read("f") == b"kept"


@pytest.mark.parametrize("recursive", [True, False], ids=["recursive", "not recursive"])
@pytest.mark.parametrize("depth", [1, 3])
def test_no_directory_is_made_below_a_file(
    client: SyncClient, workspace: Workspace, env: RunningEnvironment, recursive: bool, depth: int
) -> None:
    path = workspace.write("f", b"kept")
    for _ in range(depth):
        path = path.join("d")
    code = refusal(lambda: create(client, path, recursive)).code
    # Windows calls the missing parent missing, until the attempt reaches the file itself.
    assert code in {BELOW_A_FILE[env.platform], ErrorCode.INTERNAL_ERROR}
    assert workspace.read("f") == b"kept"


@needs_links
def test_a_link_to_a_directory_counts_as_one(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.mkdir("d")
    path = link("d", "l", directory=True)
    create(client, path, True)
    create(client, path.join("below"), True)
    assert names(client, workspace / "d") == ["below"]
    assert refusal(lambda: create(client, path, False)).code == ErrorCode.INTERNAL_ERROR


@needs_links
def test_a_link_to_nothing_stays(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link
) -> None:
    path = link("nowhere", "l")
    assert refusal(lambda: create(client, path, True)).code == ErrorCode.INTERNAL_ERROR
    assert system_sees(python, path)["link"] is True
    assert not workspace.exists("nowhere")


# Listing


def test_an_empty_directory_has_no_entries(client: SyncClient, workspace: Workspace) -> None:
    assert client.files.read_directory(workspace.uri) == []


def test_entries_tell_what_they_are_and_nothing_below_is_listed(
    client: SyncClient, workspace: Workspace
) -> None:
    workspace.write("file", b"x")
    workspace.write("directory/below", b"x")
    workspace.write(".hidden", b"")
    entries = {entry.file_name: entry for entry in client.files.read_directory(workspace.uri)}
    assert entries == {
        "file": DirectoryEntry("file", is_directory=False, is_file=True),
        "directory": DirectoryEntry("directory", is_directory=True, is_file=False),
        ".hidden": DirectoryEntry(".hidden", is_directory=False, is_file=True),
    }


@needs_links
def test_links_tell_what_they_lead_to(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.write("d/f", b"x")
    link("d", "to directory", directory=True)
    link("d/f", "to file")
    link("nowhere", "to nothing")
    entries = {
        entry.file_name: (entry.is_directory, entry.is_file)
        for entry in client.files.read_directory(workspace.uri)
    }
    assert entries == {
        "d": (True, False),
        "to directory": (True, False),
        "to file": (False, True),
        "to nothing": (False, False),
    }
    assert names(client, workspace / "to directory") == ["f"]


@pytest.mark.skip_if_target_windows("there are no FIFOs")
def test_a_fifo_is_neither_file_nor_directory(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    python.run("import os; os.mkfifo('fifo')")
    assert client.files.read_directory(workspace.uri) == [DirectoryEntry("fifo", False, False)]


@pytest.mark.skip_if_target_windows("every name there is text")
@pytest.mark.parametrize(
    "name", [b"\xff", b"bad \xc3( name", b"\xed\xa0\x80", "é".encode("latin-1")], ids=repr
)
def test_a_name_that_is_no_utf8_is_listed_without_loss(
    client: SyncClient, python: BoundPython, workspace: Workspace, env: RunningEnvironment, name: bytes
) -> None:
    if env.platform == "macos":
        pytest.skip("its file systems take no name that is no UTF-8")
    code = "import os, sys; open(bytes.fromhex(sys.argv[1]), 'w').write(sys.argv[1])"
    python.run(code, name.hex())
    workspace.write("\ufffd", b"another")
    odd = [entry for entry in client.files.read_directory(workspace.uri) if entry.path is not None]
    assert len(odd) == 1
    assert odd[0].path is not None
    assert "\ufffd" in odd[0].file_name
    path = PathUri.parse(odd[0].path)
    assert client.files.read_file(path) == name.hex().encode()
    client.files.remove(path)
    assert names(client, workspace.uri) == ["\ufffd"]


@pytest.mark.parametrize(
    "count",
    [
        1000,
        # Each new name is looked for in the whole directory, because case does not count.
        pytest.param(5000, marks=pytest.mark.skip_if_wine_exec("to make the files takes 30 s there")),
    ],
)
def test_every_entry_of_a_large_directory_is_listed(
    client: SyncClient, python: BoundPython, workspace: Workspace, count: int
) -> None:
    python.run("import sys\nfor n in range(int(sys.argv[1])): open(f'f{n}', 'w').close()", str(count))
    assert names(client, workspace.uri) == sorted(f"f{number}" for number in range(count))


def test_a_file_has_no_entries(client: SyncClient, workspace: Workspace) -> None:
    path = workspace.write("f", b"x")
    assert refusal(lambda: client.files.read_directory(path)).code == ErrorCode.INTERNAL_ERROR


# Removing


def remove(
    client: SyncClient, path: PathUri, recursive: bool | None = None, force: bool | None = None
) -> None:
    """With None a field is left out."""
    client.call(FS_REMOVE, RemoveParams(str(path), recursive, force))


@pytest.mark.parametrize("recursive", [True, False, None], ids=["recursive", "not recursive", "default"])
def test_a_file_is_removed(client: SyncClient, workspace: Workspace, recursive: bool | None) -> None:
    workspace.write("f", b"x")
    workspace.write("kept", b"x")
    remove(client, workspace / "f", recursive)
    assert names(client, workspace.uri) == ["kept"]


@pytest.mark.parametrize("recursive", [True, False, None], ids=["recursive", "not recursive", "default"])
def test_an_empty_directory_is_removed(
    client: SyncClient, workspace: Workspace, recursive: bool | None
) -> None:
    workspace.mkdir("d")
    remove(client, workspace / "d", recursive)
    assert names(client, workspace.uri) == []


@pytest.mark.parametrize("recursive", [True, None], ids=["recursive", "default"])
def test_a_tree_is_removed(client: SyncClient, workspace: Workspace, recursive: bool | None) -> None:
    for name in ("t/a/b/f1", "t/a/f2", "t/.hidden", "t/c/d/e/f3"):
        workspace.write(name, b"x")
    remove(client, workspace / "t", recursive)
    assert names(client, workspace.uri) == []


def test_not_recursive_a_full_directory_stays(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("d/f", b"kept")
    assert refusal(lambda: remove(client, workspace / "d", recursive=False)).code == ErrorCode.INTERNAL_ERROR
    assert workspace.read("d/f") == b"kept"


@pytest.mark.parametrize("force", [True, None], ids=["force", "default"])
def test_forced_it_need_not_be_there(client: SyncClient, workspace: Workspace, force: bool | None) -> None:
    remove(client, workspace / "missing", force=force)
    remove(client, (workspace / "missing").join("below"), force=force)
    assert names(client, workspace.uri) == []


@pytest.mark.parametrize("recursive", [True, False], ids=["recursive", "not recursive"])
@pytest.mark.parametrize("target", ["directory", "file", "nothing"])
@needs_links
def test_a_link_is_removed_and_what_it_leads_to_stays(
    client: SyncClient, workspace: Workspace, link: Link, target: str, recursive: bool
) -> None:
    workspace.write("d/f", b"kept")
    link(
        {"directory": "d", "file": "d/f", "nothing": "nowhere"}[target], "l", directory=target == "directory"
    )
    remove(client, workspace / "l", recursive)
    assert names(client, workspace.uri) == ["d"]
    assert workspace.read("d/f") == b"kept"


@needs_links
def test_links_in_a_tree_are_not_followed(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.write("outside/f", b"kept")
    workspace.mkdir("t")
    link("../outside", "t/l", directory=True)
    link("..", "t/up", directory=True)
    remove(client, workspace / "t")
    assert names(client, workspace.uri) == ["outside"]
    assert workspace.read("outside/f") == b"kept"


@pytest.mark.parametrize(
    "depth", [50, 150, pytest.param(400, marks=pytest.mark.skip_if_wine_exec("it takes 20 s there"))]
)
def test_a_deep_tree_is_removed(client: SyncClient, workspace: Workspace, depth: int) -> None:
    path = workspace / "t"
    for _ in range(depth):
        path = path.join("d")
    client.files.create_directory(path)
    remove(client, workspace / "t")
    assert names(client, workspace.uri) == []


def test_a_wide_tree_is_removed(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    code = """
import os
for number in range(20):
    os.makedirs(f"t/{number}")
    for file in range(100):
        open(f"t/{number}/{file}", "w").close()
"""
    python.run(code)
    remove(client, workspace / "t")
    assert names(client, workspace.uri) == []


@pytest.mark.skip_if_target_windows("what may be removed is not told by permission bits there")
def test_a_read_only_file_is_removed(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    workspace.write("d/f", b"x")
    python.run("import os; os.chmod('d/f', 0o444)")
    remove(client, workspace / "d")
    assert names(client, workspace.uri) == []
