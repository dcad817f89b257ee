"""Sources: only the pinned bytes are taken, and what was unpacked appears prepared or not at all."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from harness.progress import SILENT
from harness.wine.crossbuild.failure import BuildFailed
from harness.wine.crossbuild.pins import SOURCES, Source
from harness.wine.crossbuild.sources import fetch_sources, patches_of, unpack

# Gives out the files of $MIRROR/PACKAGE as apt-get would those of a Debian mirror.
APT_GET = """#!/bin/sh
echo "$@" >> "$MIRROR/calls"
case "$*" in
*indextargets*) cat "$MIRROR/lists" ;;
*update*) test ! -e "$MIRROR/down" || { echo "E: Could not resolve 'mirror.invalid'"; exit 100; } ;;
*source*) for package; do :; done; cp "$MIRROR/$package"/* . ;;
esac
"""


def tarball(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


FILES = {
    "thing-1.0/README": "read",
    "thing-1.0/src/a.c": "a",
    "thing-1.0/test/t.c": "t",
    "thing-1.0/test/build.info": "info",
}
CONTENT = tarball(FILES)
SOURCE = Source("thing", "thing_1.0.orig.tar.gz", hashlib.sha256(CONTENT).hexdigest(), frozenset({"test"}))


class Mirror:
    """What the stand-in for apt-get has to give, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.know("http://other.invalid/ubuntu/", "http://mirror.invalid/debian/")
        self.offer("thing", SOURCE.file, CONTENT)
        self.offer("thing", "thing_1.0-1.dsc", b"description")
        self.offer("thing", "thing_1.0-1.debian.tar.xz", b"patches")

    def offer(self, package: str, file: str, content: bytes) -> None:
        (self.folder / package).mkdir(parents=True, exist_ok=True)
        (self.folder / package / file).write_bytes(content)

    def know(self, *lists: str) -> None:
        (self.folder / "lists").write_text("".join(f"{uri}\n" for uri in lists))

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text(APT_GET)
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("MIRROR", str(tmp_path / "mirror"))
    return Mirror(tmp_path / "mirror")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def fetch(downloads: Path, *patched: str) -> None:
    with SILENT.stage("") as stage:
        fetch_sources([SOURCE], patched, downloads, stage)


def test_what_is_fetched_is_kept_and_not_asked_for_again(mirror: Mirror, downloads: Path) -> None:
    fetch(downloads, "thing")
    assert (downloads / SOURCE.file).read_bytes() == CONTENT
    assert patches_of("thing", downloads).read_bytes() == b"patches"
    asked = len(mirror.calls)
    fetch(downloads, "thing")
    assert len(mirror.calls) == asked


def test_a_machine_without_a_debian_mirror_is_told_what_else_it_can_do(
    mirror: Mirror, downloads: Path
) -> None:
    mirror.know("http://other.invalid/ubuntu/")
    with pytest.raises(BuildFailed, match=r"http://other\.invalid/ubuntu/.*CROSSEXEC_WINDOWS_PYTHON"):
        fetch(downloads)
    assert not any("source" in call.split() for call in mirror.calls)


def test_patches_are_fetched_for_a_tarball_that_is_there(mirror: Mirror, downloads: Path) -> None:
    (downloads / SOURCE.file).write_bytes(CONTENT)
    fetch(downloads, "thing")
    assert patches_of("thing", downloads).read_bytes() == b"patches"


def test_the_machines_mirror_is_asked_by_lists_of_our_own(mirror: Mirror, downloads: Path) -> None:
    fetch(downloads)
    (lists,) = downloads.glob("apt/sources.list")
    assert "http://mirror.invalid/debian/ trixie main" in lists.read_text()
    for call in mirror.calls:
        if "indextargets" not in call:
            assert f"-oDir::Etc::SourceList={lists}" in call
            assert f"-oDir::State::Lists={lists.parent}/lists" in call
            assert f"-oDir::Cache={lists.parent}/cache" in call


def test_a_half_downloaded_tarball_is_fetched_anew(mirror: Mirror, downloads: Path) -> None:
    (downloads / SOURCE.file).write_bytes(CONTENT[:10])
    fetch(downloads)
    assert (downloads / SOURCE.file).read_bytes() == CONTENT


def test_other_bytes_than_were_pinned_are_refused(mirror: Mirror, downloads: Path) -> None:
    mirror.offer("thing", SOURCE.file, b"evil")
    with pytest.raises(BuildFailed) as caught:
        fetch(downloads)
    for sha256 in (SOURCE.sha256, hashlib.sha256(b"evil").hexdigest()):
        assert sha256 in str(caught.value)
    assert not (downloads / SOURCE.file).exists()


def test_a_newer_version_on_the_mirror_is_told_with_what_helps(mirror: Mirror, downloads: Path) -> None:
    (mirror.folder / "thing" / SOURCE.file).rename(mirror.folder / "thing/thing_1.1.orig.tar.gz")
    with pytest.raises(BuildFailed) as caught:
        fetch(downloads)
    for part in (SOURCE.file, SOURCE.sha256, "thing_1.1.orig.tar.gz", str(downloads), "--windows-python"):
        assert part in str(caught.value)
    # As the text says: who has it may put it there.
    (downloads / SOURCE.file).write_bytes(CONTENT)
    fetch(downloads)


def test_a_mirror_that_cannot_be_reached_is_told_in_apts_words(mirror: Mirror, downloads: Path) -> None:
    (mirror.folder / "down").touch()
    with pytest.raises(BuildFailed, match="Could not resolve") as caught:
        fetch(downloads)
    assert "apt-get update" in str(caught.value)


def test_unpacking_drops_the_top_folder_and_what_is_left_out(downloads: Path, tmp_path: Path) -> None:
    (downloads / SOURCE.file).write_bytes(CONTENT)
    folder = unpack(SOURCE, downloads, tmp_path / "thing", lambda source: (source / "ready").touch())
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["README", "ready", "src/a.c", "test/build.info"]


def test_sources_whose_preparation_fails_are_unpacked_anew(downloads: Path, tmp_path: Path) -> None:
    (downloads / SOURCE.file).write_bytes(CONTENT)
    folder = tmp_path / "thing"

    def fail(source: Path) -> None:
        (source / "half").touch()
        raise BuildFailed("no")

    with pytest.raises(BuildFailed):
        unpack(SOURCE, downloads, folder, fail)
    assert not folder.exists()
    unpack(SOURCE, downloads, folder, lambda source: None)
    assert not (folder / "half").exists()
    # Once more, and nothing is done.
    unpack(SOURCE, downloads, folder, fail)


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python's tarfile has no filters")
def test_a_tarball_cannot_write_outside(downloads: Path, tmp_path: Path) -> None:
    content = tarball({"thing-1.0/../../outside": "evil"})
    source = Source("thing", "evil.orig.tar.gz", hashlib.sha256(content).hexdigest())
    (downloads / source.file).write_bytes(content)
    with pytest.raises(tarfile.TarError):
        unpack(source, downloads, tmp_path / "x" / "thing", lambda source: None)
    assert not list(tmp_path.rglob("outside"))


def test_each_source_is_pinned_by_a_checksum() -> None:
    assert all(len(bytes.fromhex(source.sha256)) == 32 for source in SOURCES)
    assert len({source.file for source in SOURCES}) == len(SOURCES)
