"""Trees that are linked into every worker, and what happens when one is written to."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.wine.sealed import SealedTree


def make_tree(folder: Path) -> None:
    (folder / "sub/empty").mkdir(parents=True)
    (folder / "sub/library.dll").write_bytes(b"library")
    (folder / "settings.ini").write_bytes(b"settings")
    (folder / "link").symlink_to("sub")


@pytest.fixture
def sealed(tmp_path: Path) -> SealedTree:
    return SealedTree(tmp_path / "cache/tree-1", make_tree, lambda path: path.endswith(".dll"))


def test_a_placed_tree_is_the_same_tree(sealed: SealedTree, tmp_path: Path) -> None:
    sealed.place(tmp_path / "worker")
    assert sorted(
        str(path.relative_to(tmp_path / "worker")) for path in (tmp_path / "worker").rglob("*")
    ) == [
        "link",
        "settings.ini",
        "sub",
        "sub/empty",
        "sub/library.dll",
    ]
    assert (tmp_path / "worker/sub/library.dll").read_bytes() == b"library"
    assert os.readlink(tmp_path / "worker/link") == "sub"


def test_only_linked_files_are_links(sealed: SealedTree, tmp_path: Path) -> None:
    sealed.place(tmp_path / "worker")
    assert (tmp_path / "worker/sub/library.dll").samefile(sealed.tree / "sub/library.dll")
    assert not (tmp_path / "worker/settings.ini").samefile(sealed.tree / "settings.ini")


def test_what_is_copied_is_the_workers_own(sealed: SealedTree, tmp_path: Path) -> None:
    sealed.place(tmp_path / "one")
    (tmp_path / "one/settings.ini").write_bytes(b"changed")
    sealed.place(tmp_path / "two")
    assert (tmp_path / "two/settings.ini").read_bytes() == b"settings"


def write_into(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"LIBRARY")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (write_into, "library.dll was written to"),
        (lambda path: path.chmod(0o600), "library.dll was written to"),
        (lambda path: os.truncate(path, 1), "library.dll was written to"),
    ],
    ids=["content", "mode", "size"],
)
def test_a_tree_written_through_a_link_is_made_anew(
    sealed: SealedTree,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    told: str,
) -> None:
    sealed.place(tmp_path / "one")
    damage(tmp_path / "one/sub/library.dll")
    with caplog.at_level(logging.WARNING):
        sealed.place(tmp_path / "two")
    assert (tmp_path / "two/sub/library.dll").read_bytes() == b"library"
    assert told in caplog.text
    caplog.clear()
    sealed.place(tmp_path / "three")
    assert caplog.text == ""


def test_a_file_that_is_gone_is_noticed(
    sealed: SealedTree, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sealed.create()
    (sealed.tree / "sub/library.dll").unlink()
    sealed.place(tmp_path / "worker")
    assert (tmp_path / "worker/sub/library.dll").read_bytes() == b"library"
    assert "library.dll is gone" in caplog.text


def test_a_tree_that_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        make_tree(folder)
        raise OSError("no luck")

    with pytest.raises(OSError, match="no luck"):
        SealedTree(tmp_path / "tree", fail).place(tmp_path / "worker")
    assert not (tmp_path / "tree").exists()
    assert not (tmp_path / "worker").exists()
    SealedTree(tmp_path / "tree", make_tree).place(tmp_path / "worker")
    assert (tmp_path / "worker/settings.ini").read_bytes() == b"settings"


def test_trees_that_nobody_uses_are_removed(sealed: SealedTree, tmp_path: Path) -> None:
    sealed.create()
    used = SealedTree(tmp_path / "cache/tree-2", make_tree)
    used.create()
    for tree in (sealed, used):
        os.utime(tree.folder, (0, 0))
    used.place(tmp_path / "worker")
    SealedTree(tmp_path / "cache/tree-3", make_tree).create()
    assert not sealed.exists()
    assert used.exists()
