"""Removing, copying and walking trees, hostile ones among them."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from executors.filesystem.copy import copy
from executors.filesystem.errors import RefusedError
from executors.filesystem.remove import remove
from executors.filesystem.system import TreeCursor
from executors.filesystem.walk import walk
from executors.protocol.files import WalkResult
from executors.protocol.path_uri import Convention, PathUri

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX file types and permissions")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")

ITSELF = "cannot copy a directory to itself or one of its descendants"


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place))


def uri(path: str | Path) -> str:
    return str(PathUri.from_native(str(path), Convention.POSIX))


def walked(
    place: Path, *, depth: int = 64, directories: int = 10_000, entries: int = 50_000, follow: bool = False
) -> WalkResult:
    return walk(str(place), max_depth=depth, max_directories=directories, max_entries=entries, follow=follow)


def listed(result: WalkResult, place: Path) -> list[str]:
    """The entries relative to *place*, directories with a slash."""
    prefix = uri(place) + "/"
    return [
        entry.path.removeprefix(prefix) + ("/" if entry.kind == "directory" else "")
        for entry in result.entries
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """``a/`` with ``x``, ``sub/y``; and a directory beside it that links lead to."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_bytes(b"kept")
    root = tmp_path / "a"
    (root / "sub").mkdir(parents=True)
    (root / "x").write_bytes(b"x")
    (root / "sub" / "y").write_bytes(b"y")
    (root / "sub" / "up").symlink_to("../../outside")
    (root / "dangling").symlink_to("nowhere")
    return root


# remove


def test_remove_a_tree_and_nothing_that_its_links_lead_to(tree: Path) -> None:
    os.mkfifo(tree / "sub" / "fifo")
    remove(str(tree))
    assert names(tree.parent) == ["outside"]
    assert names(tree.parent / "outside") == ["kept"]


@pytest.mark.parametrize("recursive", [True, False])
def test_remove_takes_a_link_itself(tree: Path, recursive: bool) -> None:
    link = tree.parent / "link"
    for target in ("a", "nowhere"):
        link.symlink_to(target)
        remove(str(link), recursive=recursive)
    assert names(tree.parent) == ["a", "outside"]
    assert names(tree) == ["dangling", "sub", "x"]


def test_remove_without_recursion(tree: Path) -> None:
    with pytest.raises(OSError) as refused:
        remove(str(tree), recursive=False)
    assert refused.value.errno == errno.ENOTEMPTY
    empty = tree / "empty"
    empty.mkdir()
    remove(str(empty), recursive=False)
    assert not empty.exists()


def test_remove_what_is_missing(tree: Path) -> None:
    remove(str(tree / "missing"))
    remove(str(tree / "missing" / "below"))
    with pytest.raises(FileNotFoundError):
        remove(str(tree / "missing"), force=False)
    with pytest.raises(NotADirectoryError):
        remove(str(tree / "x" / "below"))


def test_the_root_directory_is_not_removed() -> None:
    with pytest.raises(RefusedError, match="root directory"):
        remove("/", recursive=False)


def test_a_directory_that_turns_into_a_link_is_not_entered(tree: Path) -> None:
    with TreeCursor(str(tree)) as cursor:
        assert ("sub", True) in cursor.scan()
        (tree / "sub").rename(tree / "moved")
        (tree / "sub").symlink_to("../outside")
        with pytest.raises(OSError) as refused:
            cursor.down("sub")
        assert refused.value.errno in (errno.ENOTDIR, errno.ELOOP)
        assert cursor.scan() == [("dangling", False), ("moved", True), ("sub", False), ("x", False)]


# copy


def test_copy_a_file_with_its_mode_over_another(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3_000_000))
    source.chmod(0o751)
    target.write_bytes(b"x" * 4_000_000)
    for _ in range(2):
        copy(str(source), str(target), recursive=False)
        assert target.read_bytes() == source.read_bytes()
        assert stat.S_IMODE(target.stat().st_mode) == 0o751
        target.unlink()


def test_copy_leaves_set_user_id_behind(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    source.chmod(0o4755)
    copy(str(source), str(tmp_path / "copy"), recursive=False)
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o755


@linux_only
def test_copy_keeps_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for offset in (0, 64 << 20, 200 << 20):
            file.seek(offset)
            file.write(b"data")
        file.truncate(300 << 20)
    copy(str(source), str(target), recursive=False)
    assert target.stat().st_size == 300 << 20
    with target.open("rb") as file:
        for offset in (0, 64 << 20, 200 << 20):
            file.seek(offset)
            assert file.read(8) == b"data\0\0\0\0"
    if source.stat().st_blocks * 512 < 1 << 20:
        assert target.stat().st_blocks * 512 < 1 << 20


@linux_only
def test_copy_a_file_that_says_it_is_empty(tmp_path: Path) -> None:
    copy("/proc/self/cmdline", str(tmp_path / "copy"), recursive=False)
    assert (tmp_path / "copy").read_bytes() == Path("/proc/self/cmdline").read_bytes()


def test_copy_a_file_onto_itself_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.link(path, tmp_path / "hard link")
    for target in ("file", "link", "hard link"):
        with pytest.raises(RefusedError, match="to itself"):
            copy(str(path), str(tmp_path / target), recursive=False)
    assert path.read_bytes() == b"content"


def test_copy_a_link_as_a_link(tree: Path) -> None:
    for name, target in [("dangling", "nowhere"), ("sub/up", "../../outside")]:
        copied = tree.parent / "copied"
        copy(str(tree / name), str(copied), recursive=False)
        assert os.readlink(copied) == target
        with pytest.raises(FileExistsError):
            copy(str(tree / name), str(copied), recursive=False)
        copied.unlink()


def test_copy_a_tree(tree: Path) -> None:
    (tree / "sub").chmod(0o500)
    os.mkfifo(tree / "fifo")
    target = tree.parent / "new" / "parent" / "b"
    copy(str(tree), str(target), recursive=True)
    assert names(target) == ["dangling", "sub", "x"]
    assert names(target / "sub") == ["up", "y"]
    assert os.readlink(target / "sub" / "up") == "../../outside"
    assert (target / "sub" / "y").read_bytes() == b"y"
    assert stat.S_IMODE((target / "sub").stat().st_mode) == 0o500
    (tree / "sub").chmod(0o700)
    (target / "sub").chmod(0o700)


def test_copy_a_tree_into_an_existing_one(tree: Path) -> None:
    target = tree.parent / "b"
    (target / "sub").mkdir(parents=True, mode=0o711)
    (target / "sub" / "old").touch()
    (target / "x").write_bytes(b"longer")
    (tree / "dangling").unlink()
    copy(str(tree), str(target), recursive=True)
    assert names(target / "sub") == ["old", "up", "y"]
    assert (target / "x").read_bytes() == b"x"
    assert stat.S_IMODE((target / "sub").stat().st_mode) == 0o711


def test_copy_does_not_leave_the_target_through_its_links(tree: Path) -> None:
    target = tree.parent / "b"
    target.mkdir()
    (target / "sub").symlink_to("../outside")
    with pytest.raises(FileExistsError):
        copy(str(tree), str(target), recursive=True)
    assert names(tree.parent / "outside") == ["kept"]


def test_copy_a_directory_into_itself(tree: Path) -> None:
    (tree.parent / "link").symlink_to("a/sub")
    for target in (tree, tree / "new", tree / "sub" / "new" / "deep", tree.parent / "link" / "new"):
        with pytest.raises(RefusedError, match=ITSELF):
            copy(str(tree), str(target), recursive=True)
    assert names(tree) == ["dangling", "sub", "x"]
    assert names(tree / "sub") == ["up", "y"]
    beside = tree.parent / "ab"
    copy(str(tree), str(beside), recursive=True)
    assert names(beside) == ["dangling", "sub", "x"]


def test_what_copy_refuses(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    place = tree.parent
    with pytest.raises(RefusedError, match="recursive: true"):
        copy(str(tree), str(place / "b"), recursive=False)
    for special in (str(tree / "fifo"), "/dev/null"):
        with pytest.raises(RefusedError, match="only supports regular files"):
            copy(special, str(place / "b"), recursive=False)
    assert names(place) == ["a", "outside"]
    with pytest.raises(IsADirectoryError):
        copy(str(tree / "x"), str(place / "outside"), recursive=False)
    with pytest.raises(FileExistsError):
        copy(str(tree), str(place / "outside" / "kept"), recursive=True)
    with pytest.raises(FileNotFoundError):
        copy(str(tree / "missing"), str(place / "b"), recursive=True)
    with pytest.raises(FileNotFoundError):
        copy(str(tree / "x"), str(place / "missing" / "b"), recursive=False)


# walk


def test_walk_goes_level_by_level_sorted_by_bytes(tree: Path) -> None:
    for name in ("B", "b", "\u00fc", "100%", "c d"):
        (tree / name).touch()
    os.mkfifo(tree / "fifo")
    (tree / "Z").mkdir()
    (tree / "Z" / "z").touch()
    found = walked(tree)
    first = ["100%25", "B", "Z/", "b", "c%20d", "sub/", "x", "%C3%BC"]
    assert listed(found, tree) == [*first, "Z/z", "sub/y"]
    assert (found.errors, found.truncated) == ([], False)


@linux_only
def test_walk_names_files_that_are_not_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/bad\xff", "wb"):
        pass
    assert listed(walked(tmp_path), tmp_path) == ["bad%FF"]


def test_walk_follows_links_to_directories_once(tree: Path) -> None:
    (tree / "to sub").symlink_to("sub")
    (tree / "loop").symlink_to(".")
    (tree / "to x").symlink_to("x")
    assert listed(walked(tree), tree) == ["sub/", "x", "sub/y"]
    found = walked(tree, follow=True)
    assert listed(found, tree) == ["loop/", "sub/", "to%20sub/", "x", "sub/up/", "sub/y", "sub/up/kept"]
    assert (found.errors, found.truncated) == ([], False)


def test_walk_from_what_is_no_directory(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    (tree / "link").symlink_to("sub")
    for name in ("x", "fifo", "link"):
        assert walked(tree / name).entries == []
    assert listed(walked(tree / "link", follow=True), tree / "link") == ["up/", "y", "up/kept"]
    for name in ("missing", "dangling"):
        with pytest.raises(FileNotFoundError):
            walked(tree / name)


def test_walk_stops_at_its_limits(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
    (tmp_path / "b" / "link").symlink_to("x")
    everything = ["a/", "b/", "c/", "a/x", "b/x", "c/x"]

    def found(**limits: int) -> tuple[list[str], bool]:
        result = walked(tmp_path, **limits)  # type: ignore[arg-type]
        return listed(result, tmp_path), result.truncated

    assert found() == (everything, False)
    assert found(depth=0) == (everything[:3], False)
    assert found(depth=1) == (everything, False)
    assert found(directories=4) == (everything, False)
    assert found(directories=3) == (everything[:5], True)
    assert found(directories=1) == (everything[:3], True)
    # The link counts though it is left out.
    assert found(entries=7) == (everything, False)
    assert found(entries=6) == (everything[:5], True)
    assert found(entries=3) == (everything[:3], True)
    assert found(entries=2) == (everything[:2], True)


def test_walk_of_a_large_directory_keeps_the_first_names(tmp_path: Path) -> None:
    for number in range(1_200):
        os.close(os.open(f"{tmp_path}/{number:04}", os.O_CREAT | os.O_WRONLY))
    found = walked(tmp_path, entries=10)
    assert (listed(found, tmp_path), found.truncated) == ([f"{number:04}" for number in range(10)], True)
    assert len(walked(tmp_path).entries) == 1_200
