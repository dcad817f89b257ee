"""``fs/copy``: files, links and trees."""

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import IS_A_DIRECTORY, MEBIBYTE, refusal, system_sees
from suites.links import needs_links

both_ways = pytest.mark.parametrize("recursive", [True, False], ids=["recursive", "not recursive"])


def names(client: SyncClient, path: PathUri) -> list[str]:
    return sorted(entry.file_name for entry in client.files.read_directory(path))


@both_ways
@pytest.mark.parametrize("size", [0, 1, 5 * MEBIBYTE + 3], ids=str)
def test_a_file_is_copied(client: SyncClient, workspace: Workspace, size: int, recursive: bool) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    workspace.write("f", data)
    client.files.copy(workspace / "f", workspace / "c", recursive=recursive)
    assert workspace.read("c") == workspace.read("f") == data
    workspace.write("f", b"changed")
    assert workspace.read("c") == data


def test_a_file_replaces_the_content_of_another(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("f", b"new")
    workspace.write("c", b"old and longer")
    client.files.copy(workspace / "f", workspace / "c")
    assert workspace.read("c") == b"new"


@pytest.mark.skip_if_target_windows("files there have no permission bits")
@pytest.mark.parametrize("existing", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("mode", [0o751, 0o600, 0o444], ids=oct)
def test_a_copy_has_the_permissions_of_the_original(
    client: SyncClient, python: BoundPython, workspace: Workspace, mode: int, existing: bool
) -> None:
    workspace.write("f", b"x")
    if existing:
        workspace.write("c", b"")
    python.run("import os, sys; os.chmod('f', int(sys.argv[1]))", str(mode))
    client.files.copy(workspace / "f", workspace / "c")
    assert system_sees(python, workspace / "c")["mode"] == mode


def test_a_file_does_not_replace_a_directory(
    client: SyncClient, workspace: Workspace, env: RunningEnvironment
) -> None:
    workspace.write("f", b"x")
    workspace.write("d/kept", b"y")
    error = refusal(lambda: client.files.copy(workspace / "f", workspace / "d"))
    assert error.code == IS_A_DIRECTORY[env.platform]
    assert workspace.read("d/kept") == b"y"


@both_ways
@pytest.mark.parametrize(
    "way",
    [
        "its own path",
        "a hard link",
        pytest.param("a link", marks=needs_links),
        pytest.param("a path through a link", marks=needs_links),
    ],
)
def test_a_file_copied_onto_itself_keeps_its_content(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link, way: str, recursive: bool
) -> None:
    source = workspace.write("d/f", b"precious")
    destination = source
    if way == "a hard link":
        python.run("import os; os.link('d/f', 'h')")
        destination = workspace / "h"
    elif way == "a link":
        destination = link("d/f", "l")
    elif way == "a path through a link":
        destination = link("d", "l", directory=True).join("f")
    error = refusal(lambda: client.files.copy(source, destination, recursive=recursive))
    assert error.code == ErrorCode.INVALID_REQUEST
    assert workspace.read("d/f") == b"precious"


@both_ways
@pytest.mark.parametrize("target", ["d", "d/f", "nowhere"], ids=["to a directory", "to a file", "to nothing"])
@needs_links
def test_a_link_is_copied_as_a_link(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link, target: str, recursive: bool
) -> None:
    workspace.write("d/f", b"x")
    link(target, "l", directory=target == "d")
    client.files.copy(workspace / "l", workspace / "c", recursive=recursive)
    found = system_sees(python, workspace / "c")
    assert (found["link"], found["target"]) == (True, system_sees(python, workspace / "l")["target"])


@pytest.mark.parametrize("existing", ["file", "directory", "link"])
@needs_links
def test_a_link_replaces_nothing(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link, existing: str
) -> None:
    workspace.write("f", b"x")
    link("f", "l")
    if existing == "file":
        workspace.write("c", b"kept")
    elif existing == "directory":
        workspace.mkdir("c")
    else:
        link("elsewhere", "c")
    before = system_sees(python, workspace / "c")
    assert (
        refusal(lambda: client.files.copy(workspace / "l", workspace / "c")).code == ErrorCode.INTERNAL_ERROR
    )
    assert system_sees(python, workspace / "c") == before


def make_tree(workspace: Workspace) -> dict[str, bytes]:
    tree = {"t/f": b"1", "t/a/f": b"2", "t/a/b/c/f": b"3", "t/.hidden": b"", "t/x y/ü": b"4"}
    for name, data in tree.items():
        workspace.write(name, data)
    workspace.mkdir("t/empty")
    return tree


def test_a_tree_is_copied(client: SyncClient, workspace: Workspace) -> None:
    tree = make_tree(workspace)
    client.files.copy(workspace / "t", workspace / "c", recursive=True)
    for name, data in tree.items():
        assert workspace.read("c" + name[1:]) == data
    assert names(client, workspace / "c") == names(client, workspace / "t")
    assert names(client, (workspace / "c").join("empty")) == []


def test_a_tree_is_merged_into_what_is_there(client: SyncClient, workspace: Workspace) -> None:
    make_tree(workspace)
    workspace.write("c/own", b"kept")
    workspace.write("c/a/f", b"old")
    client.files.copy(workspace / "t", workspace / "c", recursive=True)
    assert workspace.read("c/own") == b"kept"
    assert workspace.read("c/a/f") == b"2"


def test_the_missing_parents_of_a_copied_tree_are_made(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("t/f", b"x")
    client.files.copy(workspace / "t", (workspace / "new").join("parents").join("c"), recursive=True)
    assert workspace.read("new/parents/c/f") == b"x"


def test_a_directory_needs_recursive(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("t/f", b"x")
    error = refusal(lambda: client.files.copy(workspace / "t", workspace / "c"))
    assert error.code == ErrorCode.INVALID_REQUEST
    assert names(client, workspace.uri) == ["t"]


def test_a_directory_does_not_replace_a_file(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("t/f", b"x")
    workspace.write("c", b"kept")
    error = refusal(lambda: client.files.copy(workspace / "t", workspace / "c", recursive=True))
    assert error.code == ErrorCode.INTERNAL_ERROR
    assert workspace.read("c") == b"kept"


@pytest.mark.parametrize(
    "where", ["itself", "below", "far below", pytest.param("through a link", marks=needs_links)]
)
def test_a_directory_is_not_copied_into_itself(
    client: SyncClient, workspace: Workspace, link: Link, where: str
) -> None:
    workspace.write("t/d/f", b"x")
    source = workspace / "t"
    destination = source
    if where == "below":
        destination = source.join("c")
    elif where == "far below":
        destination = source.join("d").join("new").join("c")
    elif where == "through a link":
        destination = link("t", "l", directory=True).join("c")
    before = client.files.walk(source).entries
    error = refusal(lambda: client.files.copy(source, destination, recursive=True))
    assert error.code == ErrorCode.INVALID_REQUEST
    assert client.files.walk(source).entries == before


def test_a_directory_may_be_copied_beside_itself(client: SyncClient, workspace: Workspace) -> None:
    # By its name alone `t2` could be taken for something inside `t`.
    workspace.write("t/f", b"x")
    client.files.copy(workspace / "t", workspace / "t2", recursive=True)
    assert workspace.read("t2/f") == b"x"


@needs_links
def test_links_in_a_tree_are_copied_as_links(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link
) -> None:
    workspace.write("outside/f", b"x")
    workspace.mkdir("t")
    link("../outside", "t/to directory", directory=True)
    link("../outside/f", "t/to file")
    link("nowhere", "t/to nothing")
    link(".", "t/loop", directory=True)
    client.files.copy(workspace / "t", workspace / "c", recursive=True)
    for name in ("to directory", "to file", "to nothing", "loop"):
        found = system_sees(python, (workspace / "c").join(name))
        assert (found["link"], found["target"]) == (
            True,
            system_sees(python, (workspace / "t").join(name))["target"],
        )


@pytest.mark.skip_if_target_windows("there are no FIFOs")
def test_a_fifo_is_not_copied_and_left_out_of_a_tree(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("t/f", b"x")
    python.run("import os; os.mkfifo('t/fifo')")
    error = refusal(lambda: client.files.copy((workspace / "t").join("fifo"), workspace / "c"))
    assert error.code == ErrorCode.INVALID_REQUEST
    client.files.copy(workspace / "t", workspace / "c", recursive=True)
    assert names(client, workspace / "c") == ["f"]
