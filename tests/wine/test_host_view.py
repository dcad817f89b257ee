"""Drive C: as the host sees it; the paths need no Wine."""

from __future__ import annotations

from pathlib import Path

import pytest

from executors.protocol.path_uri import PathUri
from harness.wine.host_view import HostView


@pytest.fixture
def view(tmp_path: Path) -> HostView:
    drive = tmp_path / "drive_c"
    (drive / "Program Files/Über").mkdir(parents=True)
    (drive / "Program Files/Über/a.txt").write_bytes(b"a")
    return HostView(drive)


def uri(text: str) -> PathUri:
    return PathUri.parse(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///C:/", ""),
        ("file:///c:/program%20files", "Program Files"),
        ("file:///C:/PROGRAM%20FILES/%C3%BCBER/A.TXT", "Program Files/Über/a.txt"),
        ("file:///C:/PROGRAM%20FILES/New/b.TXT", "Program Files/New/b.TXT"),
        ("file:///C:/Program%20Files/%C3%9Cber/a.txt/x", "Program Files/Über/a.txt/x"),
    ],
)
def test_host_path(view: HostView, text: str, path: str) -> None:
    assert view.host_path(uri(text)) == view.drive_c / path


def test_the_exact_name_is_preferred(view: HostView) -> None:
    for name in ("X", "x"):
        (view.drive_c / name).write_text(name)
    assert view.host_path(uri("file:///C:/X")).read_text() == "X"
    assert view.host_path(uri("file:///C:/x")).read_text() == "x"


@pytest.mark.parametrize(
    "text",
    ["file:///D:/x", "file:///etc/passwd", "file://server/share/x", "file:///C%3A/x", "file:///C:/a%2Fb"],
)
def test_what_is_not_on_drive_c(view: HostView, text: str) -> None:
    with pytest.raises(ValueError, match=r"C%3A|not on drive C:|separator"):
        view.host_path(uri(text))


def test_uri_and_back(view: HostView) -> None:
    path = view.drive_c / "Program Files/Über/a b%.txt"
    assert str(view.uri(path)) == "file:///C:/Program%20Files/%C3%9Cber/a%20b%25.txt"
    assert view.host_path(view.uri(path)) == path
    assert str(view.uri(view.drive_c)) == "file:///C:/"


@pytest.mark.parametrize("path", ["..", "../drive_d/x", "/etc/passwd", "a/../../x"])
def test_paths_outside_have_no_uri(view: HostView, path: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        view.uri(view.drive_c / path)


@pytest.mark.parametrize("name", ["a\\b", "a:b"])
def test_names_that_windows_cannot_have_have_no_uri(view: HostView, name: str) -> None:
    with pytest.raises(ValueError, match="several"):
        view.uri(view.drive_c / name)


def test_files(view: HostView) -> None:
    there = uri("file:///C:/new/folder/file")
    assert not view.exists(there)
    view.write(there, b"content")
    assert view.read(uri("file:///C:/NEW/folder/FILE")) == b"content"
    assert view.exists(uri("file:///C:/NEW"))
    assert view.list(uri("file:///C:/new/FOLDER")) == ["file"]
    with pytest.raises(FileNotFoundError):
        view.read(uri("file:///C:/nothing"))
