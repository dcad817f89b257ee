"""Trees with more levels, and longer paths, than most programs can take."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executors.filesystem.copy import copy
from executors.filesystem.handles import ReadHandle
from executors.filesystem.local import create_directory, metadata, read_directory, read_file, write_file
from executors.filesystem.remove import remove
from executors.filesystem.system import TreeCursor
from executors.filesystem.walk import walk
from executors.protocol.files import DirectoryEntry, WalkResult
from executors.protocol.path_uri import Convention, PathUri

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a tree cannot be this deep")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, removed by a program that takes any depth: pytest does not."""
    made = tmp_path / "place"
    made.mkdir()
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


def walked(place: Path) -> WalkResult:
    return walk(str(place), max_depth=64, max_directories=10_000, max_entries=50_000, follow=False)


def test_paths_longer_than_the_system_takes(place: Path) -> None:
    path = str(place) + ("/" + "d" * 200) * 30
    create_directory(path)
    write_file(path + "/file", b"deep")
    with pytest.raises(OSError) as refused:
        os.stat(path)
    assert refused.value.errno == errno.ENAMETOOLONG
    assert read_file(path + "/file") == b"deep"
    handle = ReadHandle(path + "/file")
    handle.open()
    assert handle.read(1, 9) == b"eep"
    handle.close()
    assert metadata(path + "/file").size == 4
    assert read_directory(path) == [DirectoryEntry("file", is_directory=False, is_file=True)]


@pytest.mark.parametrize(("name", "levels"), [("d" * 200, 60), ("d", 1100)], ids=["long path", "many levels"])
def test_remove_a_tree_deeper_than_a_path_can_tell(place: Path, name: str, levels: int) -> None:
    deep = str(place / "top") + f"/{name}" * levels
    create_directory(deep)
    write_file(f"{deep}/file", b"")
    below = str(place / "top") + f"/{name}" * (levels - 10)
    remove(below)
    remove(below, force=True)
    with pytest.raises(FileNotFoundError):
        remove(below, force=False)
    remove(str(place / "top"))
    assert os.listdir(place) == []


def test_copy_a_tree_deeper_than_a_path_can_tell(place: Path) -> None:
    create_directory(str(place / "a") + ("/" + "d" * 200) * 60)
    write_file(str(place / "a") + ("/" + "d" * 200) * 60 + "/file", b"deep")
    copy(str(place / "a"), str(place / "b"), recursive=True)
    found = walked(place / "b")
    assert len(found.entries) == 61
    assert found.entries[-1].kind == "file"
    for name in ("a", "b"):
        remove(str(place / name))


def test_walk_deeper_than_a_path_can_tell(place: Path) -> None:
    create_directory(str(place / "top") + ("/" + "d" * 200) * 70)
    found = walked(place / "top")
    assert [entry.kind for entry in found.entries] == ["directory"] * 65
    assert (found.errors, found.truncated) == ([], False)
    deepest = str(place / "top") + ("/" + "d" * 200) * 65
    assert found.entries[-1].path == str(PathUri.from_native(deepest, Convention.POSIX))
    remove(str(place / "top"))


def test_a_directory_that_is_moved_meanwhile_does_not_lead_elsewhere(place: Path) -> None:
    create_directory(str(place / "top") + "/d" * 60)
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    with TreeCursor(str(place / "top")) as cursor:
        for _ in range(60):
            cursor.down("d")
        (place / "top" / "d" / "d").rename(elsewhere / "d")
        with pytest.raises(OSError, match="moved or removed") as found:
            for _ in range(60):
                cursor.up()
        assert found.value.errno == errno.ESTALE
        assert os.path.samestat(os.fstat(cursor.dir_fd or -1), os.stat(elsewhere / "d"))


def test_cursor_closes_every_descriptor(place: Path) -> None:
    create_directory(str(place / "top") + "/d" * 60)
    before = os.listdir("/dev/fd")
    with TreeCursor(str(place / "top")) as cursor:
        for _ in range(60):
            cursor.down("d")
        assert len(os.listdir("/dev/fd")) < len(before) + 40
        for _ in range(20):
            cursor.up()
    assert os.listdir("/dev/fd") == before
