"""What an ordinary user may not do is refused, by name, and leaves everything as it was."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executors.filesystem.copy import copy
from executors.filesystem.handles import ReplaceHandle
from executors.filesystem.local import read_file, write_file
from executors.filesystem.remove import remove
from executors.filesystem.walk import walk

if sys.platform == "win32":
    pytest.skip("uses POSIX users and permissions", allow_module_level=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of two users")


@contextlib.contextmanager
def ordinary_user() -> Iterator[Path]:
    """A directory of root's or one's own that all may write, and only the rights of an ordinary user."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        if os.geteuid() != 0:
            yield place
            return
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(65534)
        os.seteuid(65534)
        try:
            yield place
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)


def test_file_without_permission() -> None:
    with ordinary_user() as place:
        secret = place / "secret"
        secret.write_bytes(b"x")
        secret.chmod(0)
        with pytest.raises(PermissionError):
            read_file(str(secret))
        with pytest.raises(PermissionError):
            write_file(str(secret), b"")
        with pytest.raises(PermissionError):
            ReplaceHandle(str(secret)).open()
        secret.chmod(0o600)
        assert read_file(str(secret)) == b"x"
        assert os.listdir(place) == ["secret"]


def test_remove_names_the_entry_that_stays() -> None:
    with ordinary_user() as place:
        kept = place / "tree" / "locked" / "kept"
        kept.parent.mkdir(parents=True)
        kept.touch()
        kept.parent.chmod(0o500)
        with pytest.raises(PermissionError) as refused:
            remove(str(place / "tree"))
        assert refused.value.filename == str(kept)
        assert kept.exists()
        kept.parent.chmod(0o700)


def test_walk_lists_what_it_cannot_read() -> None:
    with ordinary_user() as place:
        (place / "locked" / "below").mkdir(parents=True)
        (place / "open" / "below").mkdir(parents=True)
        (place / "locked").chmod(0)
        found = walk(str(place), max_depth=9, max_directories=9, max_entries=9, follow=False)
        assert [Path(entry.path).name for entry in found.entries] == ["locked", "open", "below"]
        assert [(Path(error.path).name, error.message) for error in found.errors] == [
            ("locked", "Permission denied (os error 13)")
        ]
        with pytest.raises(PermissionError):
            walk(str(place / "locked"), max_depth=9, max_directories=9, max_entries=9, follow=False)
        (place / "locked").chmod(0o700)


def test_copy_names_the_entry_that_it_cannot_read() -> None:
    with ordinary_user() as place:
        secret = place / "tree" / "sub" / "secret"
        secret.parent.mkdir(parents=True)
        secret.touch()
        secret.chmod(0)
        with pytest.raises(PermissionError) as refused:
            copy(str(place / "tree"), str(place / "copy"), recursive=True)
        assert refused.value.filename == str(secret)


def test_replacing_where_the_directory_takes_no_files() -> None:
    with ordinary_user() as place:
        path = place / "closed" / "file"
        path.parent.mkdir()
        path.write_bytes(b"old content")
        path.parent.chmod(0o500)
        handle = ReplaceHandle(str(path))
        handle.open()
        handle.write(0, b"new")
        handle.close()
        assert path.read_bytes() == b"new"
        assert os.listdir(path.parent) == ["file"]
        path.parent.chmod(0o700)


@needs_root
def test_replacing_a_file_of_somebody_else_keeps_its_owner() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file"
        path.write_bytes(b"old content")
        os.chown(path, 12345, 54321)
        path.chmod(0o640)
        handle = ReplaceHandle(str(path))
        handle.open()
        handle.write(0, b"new")
        handle.close()
        status = path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o640)
        assert path.read_bytes() == b"new"


@needs_root
def test_replacing_where_the_owner_cannot_be_given() -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "file"
        Path(name).chmod(0o777)
        path.write_bytes(b"old content")
        path.chmod(0o666)
        with ordinary_user():
            handle = ReplaceHandle(str(path))
            handle.open()
            handle.write(0, b"new")
            handle.close()
        assert path.stat().st_uid == 0
        assert path.read_bytes() == b"new"
        assert os.listdir(name) == ["file"]


def test_replacing_a_mount_point(tmp_path: Path) -> None:
    """As containers have some files: it can be written, but nothing can take its place."""
    (tmp_path / "file").write_bytes(b"old content")
    program = """
import subprocess, sys
from executors.filesystem.handles import ReplaceHandle
path = sys.argv[1]
subprocess.run(["mount", "--bind", path, path], check=True)
handle = ReplaceHandle(path)
handle.open()
handle.write(0, b"new")
handle.close()
"""
    apart = ["unshare", "--mount", "--map-root-user"]
    try:
        tried = subprocess.run([*apart, "true"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if tried.returncode:
        pytest.skip(f"no mount namespace here: {tried.stderr.decode().strip()}")
    command = [*apart, sys.executable, "-c", program, str(tmp_path / "file")]
    ran = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]
