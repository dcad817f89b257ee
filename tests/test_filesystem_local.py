"""Single files and directories, on the real file system."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
import threading
from pathlib import Path

import pytest

from executors.filesystem.errors import RefusedError
from executors.filesystem.local import (
    create_directory,
    metadata,
    read_directory,
    read_file,
    write_file,
)
from executors.filesystem.system import canonicalize
from executors.protocol.files import DirectoryEntry
from executors.protocol.path_uri import PathUri

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses POSIX file types and permissions")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")


def entry(name: str, *, directory: bool = False, file: bool = False) -> DirectoryEntry:
    return DirectoryEntry(name, directory, file)


@pytest.mark.parametrize(
    "content", [b"", b"\0\xff\r\n", bytes(range(256)) * 20_000], ids=["empty", "binary", "5 MB"]
)
def test_what_is_written_is_what_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    write_file(str(path), content)
    assert path.read_bytes() == content
    assert read_file(str(path)) == content


def test_writing_truncates_and_keeps_the_file(tmp_path: Path) -> None:
    path, name = tmp_path / "file", tmp_path / "hard link"
    path.write_bytes(b"long content")
    path.chmod(0o640)
    os.link(path, name)
    write_file(str(path), b"short")
    assert name.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_writing_goes_through_links_also_to_a_missing_target(tmp_path: Path) -> None:
    for target in ("there", "missing"):
        link = tmp_path / f"link to {target}"
        link.symlink_to(target)
    (tmp_path / "there").write_bytes(b"old")
    write_file(str(tmp_path / "link to there"), b"1")
    write_file(str(tmp_path / "link to missing"), b"2")
    assert [(tmp_path / name).read_bytes() for name in ("there", "missing")] == [b"1", b"2"]
    assert (tmp_path / "link to there").is_symlink()


def test_reading_a_file_that_says_it_is_empty() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    assert read_file("/proc/self/status").startswith(b"Name:")


@pytest.mark.timeout(20)
def test_only_regular_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # A socket's path has to be short.
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    for path, kind in [
        (str(tmp_path), "a directory"),
        (str(tmp_path / "fifo"), "a FIFO"),
        (str(tmp_path / "socket"), "a socket"),
        ("/dev/zero", "a character device"),
    ]:
        with pytest.raises(RefusedError, match=f"is not a file: it is {kind}"):
            read_file(path)


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(512 * 1024 * 1024 + 1)
    with pytest.raises(RefusedError, match="limit is 536870912 bytes"):
        read_file(str(path))


def test_a_fifo_is_refused_to_writers_with_and_without_a_reader(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError) as refused:
        write_file(str(fifo), b"x")
    assert refused.value.errno == errno.ENXIO
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(RefusedError, match="a FIFO"):
            write_file(str(fifo), b"x")
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


@linux_only
def test_a_full_device_is_an_error() -> None:
    with pytest.raises(OSError) as full:
        write_file("/dev/full", b"x")
    assert full.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("path", "number"),
    [("missing/file", errno.ENOENT), ("file/below", errno.ENOTDIR), ("directory", errno.EISDIR)],
)
def test_where_nothing_can_be_written(tmp_path: Path, path: str, number: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError) as refused:
        write_file(str(tmp_path / path), b"")
    assert refused.value.errno == number


def test_create_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    create_directory(str(tmp_path / "a" / "b" / "c"))
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "link").symlink_to("a")
    create_directory(str(tmp_path / "a"))
    create_directory(str(tmp_path / "link"))
    create_directory(str(tmp_path / "new"), recursive=False)
    assert (tmp_path / "new").is_dir()
    for name in ("a", "link", "file", "dangling"):
        with pytest.raises(FileExistsError):
            create_directory(str(tmp_path / name), recursive=False)
    for name in ("file", "dangling"):
        with pytest.raises(FileExistsError):
            create_directory(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        create_directory(str(tmp_path / "x" / "y"), recursive=False)
    with pytest.raises(NotADirectoryError):
        create_directory(str(tmp_path / "file" / "x"))


def test_metadata_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 1_234_567_999_999))
    found = metadata(str(path))
    assert (found.is_file, found.is_directory, found.is_symlink) == (True, False, False)
    assert (found.size, found.modified_at_ms) == (5, 1_234_567)


def test_created_is_when_the_file_was_made_or_unknown(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    before = metadata(str(path)).created_at_ms
    made = path.stat().st_ctime_ns // 1_000_000
    os.utime(path, (0, 0))
    path.chmod(0o600)
    found = metadata(str(path)).created_at_ms
    assert found == before
    assert found == 0 or abs(found - made) <= 1


def test_metadata_follows_links_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    targets = {"to file": "file", "to directory": ".", "loop": "loop", "dangling": "nowhere"}
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
    found = metadata(str(tmp_path / "to file"))
    assert (found.is_file, found.is_symlink, found.size) == (True, True, 3)
    found = metadata(str(tmp_path / "to directory"))
    assert (found.is_file, found.is_directory, found.is_symlink) == (False, True, True)
    with pytest.raises(FileNotFoundError):
        metadata(str(tmp_path / "dangling"))
    with pytest.raises(OSError) as loop:
        metadata(str(tmp_path / "loop"))
    assert loop.value.errno == errno.ELOOP


def test_metadata_of_what_is_neither_file_nor_directory(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    found = metadata(str(tmp_path / "fifo"))
    assert (found.is_file, found.is_directory, found.is_symlink, found.size) == (False, False, False, 0)


def test_canonicalize(tmp_path: Path) -> None:
    real = tmp_path.resolve()
    (real / "directory").mkdir()
    (real / "file").touch()
    (real / "link").symlink_to("directory")
    (real / "dangling").symlink_to("nowhere")
    (real / "directory" / "up").symlink_to("../file")
    assert canonicalize(str(real / "link" / "up")) == str(real / "file")
    for name in ("missing", "dangling"):
        with pytest.raises(FileNotFoundError):
            canonicalize(str(real / name))
    with pytest.raises(NotADirectoryError):
        canonicalize(str(real / "file" / "x"))


def test_read_directory_lists_everything_sorted(tmp_path: Path) -> None:
    for name in ("b", ".hidden", "Z", "\u00fc", "\U0001f600", "\uffe0"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name, target in [("to file", "b"), ("to sub", "sub"), ("dangling", "nowhere"), ("loop", "loop")]:
        (tmp_path / name).symlink_to(target)
    assert read_directory(str(tmp_path)) == [
        entry(".hidden", file=True),
        entry("Z", file=True),
        entry("b", file=True),
        entry("dangling"),
        entry("fifo"),
        entry("loop"),
        entry("sub", directory=True),
        entry("to file", file=True),
        entry("to sub", directory=True),
        entry("\u00fc", file=True),
        entry("\uffe0", file=True),
        entry("\U0001f600", file=True),
    ]


def test_read_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(".")
    assert [found.file_name for found in read_directory(str(tmp_path / "link"))] == ["file", "link"]
    with pytest.raises(NotADirectoryError):
        read_directory(str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        read_directory(str(tmp_path / "missing"))


@linux_only
def test_names_that_are_not_text_are_listed_and_can_be_opened(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    contents = {b"bad\xff": b"1", b"bad\xfe": b"2", b"bad\xef\xbf\xbd": b"3", b"bad%FF": b"4"}
    for name, content in contents.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
    listing = read_directory(str(tmp_path))
    read = set()
    for found in listing:
        path = os.path.join(tmp_path, found.file_name)
        if found.path is not None:
            path = PathUri.parse(found.path).to_native("linux")
        read.add((found.file_name, read_file(path)))
    lossy = "bad\ufffd"
    assert read == {("bad%FF", b"4"), (lossy, b"1"), (lossy, b"2"), (lossy, b"3")}
    assert [found.path is None for found in listing] == [True, True, False, False]


def test_a_file_that_is_replaced_while_it_is_written_is_read_whole(tmp_path: Path) -> None:
    """Renames do not tear what a reader sees, whichever of the files it gets."""
    path = tmp_path / "file"
    contents = [bytes([65 + number]) * 3_000_000 for number in range(2)]
    path.write_bytes(contents[0])
    stop = threading.Event()

    def replace() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            (tmp_path / "next").write_bytes(contents[number % 2])
            (tmp_path / "next").rename(path)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        for _ in range(30):
            assert read_file(str(path)) in contents
    finally:
        stop.set()
        replacing.join()
