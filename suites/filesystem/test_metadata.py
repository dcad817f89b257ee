"""``fs/getMetadata`` and ``fs/canonicalize``, against what the system there says."""

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.filesystem.conftest import Link
from suites.filesystem.tools import BELOW_A_FILE, MEBIBYTE, refusal, system_sees
from suites.links import needs_links


def seen(client: SyncClient, path: PathUri) -> tuple[bool, bool, bool]:
    """Whether it is a directory, a file, a link."""
    found = client.files.metadata(path)
    return found.is_directory, found.is_file, found.is_symlink


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 3 * MEBIBYTE])
def test_a_file_has_its_size(
    client: SyncClient, python: BoundPython, workspace: Workspace, size: int
) -> None:
    path = workspace.write("f", bytes(size))
    found = client.files.metadata(path)
    assert (found.is_directory, found.is_file, found.is_symlink) == (False, True, False)
    assert found.size == size == system_sees(python, path)["size"]


def test_a_size_beyond_32_bits_is_told(client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
    size = 5 * 1024**3 + 7
    python.run("import sys; open('sparse', 'wb').truncate(int(sys.argv[1]))", str(size))
    assert client.files.metadata(workspace / "sparse").size == size


def test_a_directory_is_told_as_one(client: SyncClient, workspace: Workspace) -> None:
    assert seen(client, workspace.mkdir("d")) == (True, False, False)
    assert seen(client, workspace.uri) == (True, False, False)


@needs_links
def test_a_link_to_a_file_is_told_with_the_files_own_facts(
    client: SyncClient, python: BoundPython, workspace: Workspace, link: Link
) -> None:
    target = workspace.write("f", b"12345")
    python.run("import os; os.utime('f', (1e9, 1e9))")
    path = link("f", "l")
    found = client.files.metadata(path)
    assert (found.is_directory, found.is_file, found.is_symlink, found.size) == (False, True, True, 5)
    assert found.modified_at_ms == client.files.metadata(target).modified_at_ms == 10**12


@needs_links
def test_a_link_to_a_directory_is_told_as_both(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.mkdir("d")
    assert seen(client, link("d", "l", directory=True)) == (True, False, True)


@needs_links
def test_what_lies_beyond_a_link_is_no_link(client: SyncClient, workspace: Workspace, link: Link) -> None:
    workspace.write("d/f", b"x")
    assert seen(client, link("d", "l", directory=True).join("f")) == (False, True, False)


@needs_links
def test_a_chain_of_links_is_followed_to_its_end(
    client: SyncClient, workspace: Workspace, link: Link
) -> None:
    workspace.write("f", b"123")
    link("f", "a")
    link("a", "b")
    found = client.files.metadata(link("b", "c"))
    assert (found.is_file, found.is_symlink, found.size) == (True, True, 3)


@pytest.mark.skip_if_target_windows("there are no FIFOs")
def test_a_fifo_is_neither_file_nor_directory(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    python.run("import os; os.mkfifo('fifo')")
    assert seen(client, workspace / "fifo") == (False, False, False)


TIMES_NS = {
    "the epoch": 0,
    "a whole second": 10**18,
    "a millisecond": 10**18 + 10**6,
    "less than a millisecond": 10**18 + 999_900,
    "the year 2100": 4_102_444_800 * 10**9,
}


@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("time_ns", TIMES_NS.values(), ids=TIMES_NS.keys())
def test_the_time_of_modification_is_the_systems(
    client: SyncClient, python: BoundPython, workspace: Workspace, time_ns: int, kind: str
) -> None:
    path = workspace.write("x", b"") if kind == "file" else workspace.mkdir("x")
    python.run("import os, sys; os.utime('x', ns=(0, int(sys.argv[1])))", str(time_ns))
    told = client.files.metadata(path).modified_at_ms
    assert told == system_sees(python, path)["modified"] == time_ns // 10**6


def test_writing_changes_the_time_of_modification(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    path = workspace.write("f", b"old")
    python.run("import os; os.utime('f', (1e9, 1e9))")
    client.files.write_file(path, b"new")
    told = client.files.metadata(path).modified_at_ms
    assert told == system_sees(python, path)["modified"] > 10**12


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="the time of the last modification is told as that of creation",
)
def test_the_time_of_creation_is_unknown_or_true(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    clock = "import time; print(time.time_ns() // 10**6)"
    before = int(python.run(clock).text)
    path = workspace.write("f", b"x")
    after = int(python.run(clock).text)
    python.run("import os; os.utime('f', (1e9, 1e9))")
    # File systems may be as coarse as two seconds (FAT), or know no such time.
    told = client.files.metadata(path).created_at_ms
    assert told == 0 or before - 2000 <= told <= after


def test_below_a_file_there_is_nothing(
    client: SyncClient, workspace: Workspace, env: RunningEnvironment
) -> None:
    path = workspace.write("f", b"x").join("below")
    assert refusal(lambda: client.files.metadata(path)).code == BELOW_A_FILE[env.platform]
    assert refusal(lambda: client.files.canonicalize(path)).code in (
        ErrorCode.NOT_FOUND,
        ErrorCode.INTERNAL_ERROR,
    )


# Canonical paths


def system_says(python: BoundPython, path: PathUri) -> str:
    return python.run("import os, sys; print(os.path.realpath(sys.argv[1]))", path.render()).text.strip("\n")


@pytest.mark.parametrize("name", ["plain", "with space", "grüße 日本語 😀", "100%25", "a#b;c&d"])
def test_a_path_without_links_is_its_own_canonical_path(
    client: SyncClient, python: BoundPython, workspace: Workspace, name: str
) -> None:
    path = workspace.write(name, b"x")
    canonical = client.files.canonicalize(path)
    assert canonical == path
    assert canonical.render() == system_says(python, path)


LINKS = {
    "link to a file": ("d/f", "l", ""),
    "link to a directory": ("d", "l", "f"),
    "link to a link": ("first", "l", "f"),
    "link upwards": (".", "l", "d"),
    "link to the parent": ("..", "d/l", "d"),
}


@pytest.mark.parametrize(("target", "name", "below"), LINKS.values(), ids=LINKS.keys())
@needs_links
def test_links_are_resolved(
    client: SyncClient,
    python: BoundPython,
    workspace: Workspace,
    link: Link,
    target: str,
    name: str,
    below: str,
) -> None:
    workspace.write("d/f", b"x")
    link("d", "first", directory=True)
    path = link(target, name, directory=target != "d/f")
    if below:
        path = path.join(below)
    canonical = client.files.canonicalize(path)
    assert canonical.render() == system_says(python, path)
    assert "l" not in [part.basename for part in canonical.ancestors() if part.starts_with(workspace.uri)]


def test_a_directory_has_no_separator_at_its_end(client: SyncClient, workspace: Workspace) -> None:
    directory = workspace.mkdir("d")
    assert str(client.files.canonicalize(f"{directory}/")) == str(directory)
