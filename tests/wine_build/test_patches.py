"""Debian's patches: those that were pinned apply, and nothing else does."""

import hashlib
import shutil
import tarfile
from pathlib import Path

import pytest

from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.patches import OPENSSL_PATCHES, PYTHON_PATCHES, Patch, apply_patches

pytestmark = pytest.mark.skipif(shutil.which("patch") is None, reason="the program patch is not installed")

TEXTS = {
    "first.patch": "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n",
    # Stands on the first one.
    "second.patch": "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n one\n-2\n+II\n three\n",
    "new-file.patch": "--- /dev/null\n+++ b/Lib/new.py\n@@ -0,0 +1 @@\n+new\n",
    # Only with fuzz.
    "fuzzy.patch": "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n eins\n-two\n+2\n three\n",
}


def pinned(*names: str) -> list[Patch]:
    return [Patch(name, hashlib.sha256(TEXTS[name].encode()).hexdigest()) for name in names]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.c").write_text("one\ntwo\nthree\n")
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    patches = tmp_path / "debian/patches"
    patches.mkdir(parents=True)
    for name, text in TEXTS.items():
        (patches / name).write_text(text)
    (patches.parent / "control").write_text("Source: a\n")
    path = tmp_path / "a.debian.tar"
    with tarfile.open(path, "w:xz") as opened:
        opened.add(tmp_path / "debian", "debian")
    return path


def test_patches_apply_in_their_order(source: Path, archive: Path) -> None:
    apply_patches(pinned("first.patch", "second.patch", "new-file.patch"), archive, source)
    assert (source / "a.c").read_text() == "one\nII\nthree\n"
    assert (source / "Lib/new.py").read_text() == "new\n"
    assert sorted(path.name for path in source.iterdir()) == ["Lib", "a.c"]


def test_those_that_are_gone_are_named(source: Path, archive: Path) -> None:
    wanted = [*pinned("first.patch"), Patch("gone.patch", "0" * 64), Patch("too.patch", "0" * 64)]
    with pytest.raises(BuildFailed, match=r"no patch gone\.patch, too\.patch"):
        apply_patches(wanted, archive, source)
    assert (source / "a.c").read_text() == "one\ntwo\nthree\n"


def test_one_that_has_changed_is_not_applied(source: Path, archive: Path) -> None:
    (now,) = pinned("first.patch")
    with pytest.raises(BuildFailed, match=rf"other patches.*first\.patch \(sha256 {now.sha256}\)"):
        apply_patches([Patch("first.patch", "0" * 64)], archive, source)
    assert (source / "a.c").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("name", ["second.patch", "fuzzy.patch"])
def test_one_that_does_not_fit_stops_the_build(source: Path, archive: Path, name: str) -> None:
    with pytest.raises(BuildFailed, match=f"Applying Debian's {name} failed"):
        apply_patches(pinned(name), archive, source)


def test_each_is_pinned_once_by_a_checksum() -> None:
    for patches in (PYTHON_PATCHES, OPENSSL_PATCHES):
        assert len({patch.name for patch in patches}) == len(patches)
        assert all(len(bytes.fromhex(patch.sha256)) == 32 for patch in patches)
