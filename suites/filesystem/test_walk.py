"""``fs/walk``: what is listed, in which order, and within which limits."""

from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.files import WalkResult
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import refusal
from suites.links import needs_links

TREE = ["t/f", "t/a/f", "t/a/b/f", "t/a/b/c/f", "t/z/f", "t/.hidden", "t/B"]

# Breadth first, each directory sorted by the bytes of its names.
WALKED = [
    ("t/.hidden", "file"),
    ("t/B", "file"),
    ("t/a", "directory"),
    ("t/f", "file"),
    ("t/z", "directory"),
    ("t/a/b", "directory"),
    ("t/a/f", "file"),
    ("t/z/f", "file"),
    ("t/a/b/c", "directory"),
    ("t/a/b/f", "file"),
    ("t/a/b/c/f", "file"),
]


@pytest.fixture
def tree(workspace: Workspace) -> Workspace:
    for name in TREE:
        workspace.write(name, b"x")
    return workspace


def listing(found: WalkResult, workspace: Workspace) -> list[tuple[str, str]]:
    """Names relative to the workspace."""
    prefix = f"{workspace.uri}/"
    assert all(entry.path.startswith(prefix) for entry in found.entries)
    return [(entry.path.removeprefix(prefix), entry.kind) for entry in found.entries]


def test_a_tree_is_listed_level_by_level(client: SyncClient, tree: Workspace) -> None:
    found = client.files.walk(tree / "t")
    assert listing(found, tree) == WALKED
    assert (found.errors, found.truncated) == ([], False)


@pytest.mark.parametrize(("depth", "entries"), [(0, 5), (1, 8), (2, 10), (3, 11), (64, 11)])
def test_depth_is_how_many_levels_are_entered(
    client: SyncClient, tree: Workspace, depth: int, entries: int
) -> None:
    found = client.files.walk(tree / "t", max_depth=depth)
    assert listing(found, tree) == WALKED[:entries]
    assert found.truncated is False


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6, 10, 11, 12, 50_000])
def test_as_many_entries_as_allowed_are_listed(client: SyncClient, tree: Workspace, limit: int) -> None:
    found = client.files.walk(tree / "t", max_entries=limit)
    assert listing(found, tree) == WALKED[:limit]
    assert found.truncated is (limit < len(WALKED))


# The root counts as the first; then a, z, a/b and a/b/c are read in this order.
@pytest.mark.parametrize(
    ("limit", "entries"), [(1, 5), (2, 7), (3, 8), (4, 10), (5, 11), (6, 11), (10_000, 11)]
)
def test_as_many_directories_as_allowed_are_read(
    client: SyncClient, tree: Workspace, limit: int, entries: int
) -> None:
    found = client.files.walk(tree / "t", max_directories=limit)
    assert listing(found, tree) == WALKED[:entries]
    assert found.truncated is (limit < 5)


REFUSED: dict[str, tuple[dict[str, Any], ErrorCode]] = {
    "depth over 64": ({"max_depth": 65}, ErrorCode.INVALID_REQUEST),
    "directories over 10000": ({"max_directories": 10_001}, ErrorCode.INVALID_REQUEST),
    "entries over 50000": ({"max_entries": 50_001}, ErrorCode.INVALID_REQUEST),
    "no directories": ({"max_directories": 0}, ErrorCode.INVALID_REQUEST),
    "no entries": ({"max_entries": 0}, ErrorCode.INVALID_REQUEST),
    "negative depth": ({"max_depth": -1}, ErrorCode.INVALID_PARAMS),
    "negative directories": ({"max_directories": -1}, ErrorCode.INVALID_PARAMS),
    "negative entries": ({"max_entries": -1}, ErrorCode.INVALID_PARAMS),
}


@pytest.mark.parametrize(("limits", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_limit_out_of_range_is_refused(
    client: SyncClient, tree: Workspace, limits: dict[str, Any], code: ErrorCode
) -> None:
    assert refusal(lambda: client.files.walk(tree / "t", **limits)).code == code


def test_a_tree_deeper_than_the_limit_is_cut_without_being_truncated(
    client: SyncClient, workspace: Workspace
) -> None:
    path = workspace / "t"
    for _ in range(70):
        path = path.join("d")
    client.files.create_directory(path)
    found = client.files.walk(workspace / "t")
    assert len(found.entries) == 65
    assert found.truncated is False


@pytest.mark.parametrize("follow", [False, True])
@needs_links
def test_links_are_left_out_but_for_followed_directories(
    client: SyncClient, workspace: Workspace, link: Link, follow: bool
) -> None:
    workspace.write("t/d/f", b"x")
    workspace.write("outside/g", b"x")
    link("d/f", "t/to file")
    link("nowhere", "t/to nothing")
    link("../outside", "t/linked", directory=True)
    found = client.files.walk(workspace / "t", follow_directory_symlinks=follow)
    plain = [("t/d", "directory"), ("t/d/f", "file")]
    followed = [("t/d", "directory"), ("t/linked", "directory"), ("t/d/f", "file"), ("t/linked/g", "file")]
    assert listing(found, workspace) == (followed if follow else plain)
    assert found.truncated is False


@needs_links
def test_a_loop_of_links_is_entered_once(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.write("t/d/f", b"x")
    link(".", "t/self", directory=True)
    link("..", "t/d/up", directory=True)
    found = client.files.walk(workspace / "t", follow_directory_symlinks=True)
    paths = [path for path, _ in listing(found, workspace)]
    assert paths == ["t/d", "t/self", "t/d/f", "t/d/up"]
    assert found.truncated is False


@needs_links
def test_two_links_to_one_directory_are_listed_and_one_is_entered(
    client: SyncClient, workspace: Workspace, link: Link
) -> None:
    workspace.write("outside/g", b"x")
    workspace.mkdir("t")
    link("../outside", "t/one", directory=True)
    link("../outside", "t/two", directory=True)
    found = client.files.walk(workspace / "t", follow_directory_symlinks=True)
    assert listing(found, workspace) == [("t/one", "directory"), ("t/two", "directory"), ("t/one/g", "file")]


@pytest.mark.parametrize("follow", [False, True])
@needs_links
def test_a_root_that_is_a_link_is_walked_only_if_links_are_followed(
    client: SyncClient, workspace: Workspace, link: Link, follow: bool
) -> None:
    workspace.write("d/f", b"x")
    root = link("d", "l", directory=True)
    found = client.files.walk(root, follow_directory_symlinks=follow)
    assert listing(found, workspace) == ([("l/f", "file")] if follow else [])


@pytest.mark.parametrize("follow", [False, True])
def test_a_root_that_is_a_file_has_nothing_below_it(
    client: SyncClient, workspace: Workspace, follow: bool
) -> None:
    found = client.files.walk(workspace.write("f", b"x"), follow_directory_symlinks=follow)
    assert (found.entries, found.errors, found.truncated) == ([], [], False)


def test_an_empty_root_has_nothing_below_it(client: SyncClient, workspace: Workspace) -> None:
    found = client.files.walk(workspace.uri)
    assert (found.entries, found.errors, found.truncated) == ([], [], False)


NAMES = ["with space", "grüße 日本語 😀", "100%25", "a#b;c=d", "-x", "[brackets]", "a&b+c,d~e@f!g$h'i(j)"]


@pytest.mark.parametrize("name", NAMES)
def test_every_path_leads_back_to_its_file(client: SyncClient, workspace: Workspace, name: str) -> None:
    workspace.write(f"t/{name}/{name}", b"found")
    found = client.files.walk(workspace / "t")
    assert [entry.path for entry in found.entries] == [
        str((workspace / "t").join(name)),
        str((workspace / "t").join(name).join(name)),
    ]
    assert client.files.read_file(found.entries[1].path) == b"found"


@pytest.mark.skip_if_target_windows("every name there is text")
def test_a_name_that_is_no_utf8_leads_back_to_its_file(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.mkdir("t")
    code = "try:\n open(b't/\\xff', 'w').write('found')\nexcept OSError as error: print(error)"
    if refused := python.run(code).text.strip():
        pytest.skip(f"the file system takes no name that is no UTF-8: {refused}")
    (entry,) = client.files.walk(workspace / "t").entries
    assert client.files.read_file(entry.path) == b"found"


@pytest.mark.skip_if_target_windows("there are no FIFOs")
def test_what_is_neither_file_nor_directory_is_left_out(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("t/f", b"x")
    python.run("import os; os.mkfifo('t/fifo')")
    assert listing(client.files.walk(workspace / "t"), workspace) == [("t/f", "file")]


@pytest.mark.skip_if_target_windows("who may read is not told by permission bits there")
def test_a_directory_that_cannot_be_read_is_an_error_in_the_result(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    workspace.write("t/open/f", b"x")
    workspace.write("t/locked/f", b"x")
    code = "import os; os.chmod('t/locked', 0); print(os.access('t/locked', os.R_OK))"
    if python.run(code).text.strip() == "True":
        pytest.skip("the executor runs as a user who may read everything")
    found = client.files.walk(workspace / "t")
    python.run("import os; os.chmod('t/locked', 0o700)")
    assert listing(found, workspace) == [
        ("t/locked", "directory"),
        ("t/open", "directory"),
        ("t/open/f", "file"),
    ]
    assert [error.path for error in found.errors] == [str((workspace / "t").join("locked"))]
    assert found.errors[0].message


def test_a_large_tree_is_listed_whole(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    code = """
import os
for number in range(100):
    os.makedirs(f"t/{number:03}")
    for file in range(50):
        open(f"t/{number:03}/{file:03}", "w").close()
"""
    python.run(code)
    found = client.files.walk(workspace / "t")
    assert listing(found, workspace) == [
        *((f"t/{number:03}", "directory") for number in range(100)),
        *((f"t/{number:03}/{file:03}", "file") for number in range(100) for file in range(50)),
    ]
    assert found.truncated is False
