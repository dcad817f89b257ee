"""Which Windows Pythons are taken, and what is said of the others."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from harness.progress import SILENT
from harness.wine.errors import WineFailed
from harness.wine.windows_python import check, windows_python


def program(machine: int) -> bytes:
    """The headers of a Windows program, as far as they tell the machine."""
    return (
        b"MZ".ljust(0x3C, b"\0")
        + struct.pack("<I", 0x80)
        + b"\0" * 0x40
        + b"PE\0\0"
        + struct.pack("<H", machine)
    )


def make(folder: Path, machine: int = 0x8664, *libraries: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "python.exe").write_bytes(program(machine))
    for name in libraries:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("libraries", "version"),
    [
        (["python313.dll", "python3.dll"], (3, 13)),
        (["Python311.DLL"], (3, 11)),
        (["python3.dll", "python314.dll"], (3, 14)),
    ],
)
def test_the_version(tmp_path: Path, libraries: list[str], version: tuple[int, int]) -> None:
    assert check(make(tmp_path, 0x8664, *libraries)) == version


@pytest.mark.parametrize(
    ("machine", "libraries", "text"),
    [
        (0x014C, ["python313.dll"], "python.exe is for x86, 32-bit, not for AMD64"),
        (0xAA64, ["python313.dll"], "python.exe is for ARM64, not for AMD64"),
        (0x1234, ["python313.dll"], "machine 0x1234"),
        (0x8664, ["python310.dll"], "holds Python 3.10"),
        (0x8664, ["python27.dll"], "holds Python 2.7"),
        (0x8664, ["python3.dll"], "no python3XX.dll"),
    ],
)
def test_those_that_cannot_serve(tmp_path: Path, machine: int, libraries: list[str], text: str) -> None:
    with pytest.raises(WineFailed, match=text) as error:
        windows_python(make(tmp_path, machine, *libraries), tmp_path / "cache", SILENT)
    assert "give an unpacked 64-bit" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"MZ", b"MZ".ljust(200, b"\xff")])
def test_no_windows_program(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "python.exe").write_bytes(content)
    with pytest.raises(WineFailed, match=r"python\.exe is no Windows program"):
        check(tmp_path)


def test_paths_without_a_python(tmp_path: Path) -> None:
    with pytest.raises(WineFailed, match=r"there is no Windows Python at .*missing"):
        windows_python(tmp_path / "missing", tmp_path, SILENT)
    with pytest.raises(WineFailed, match=r"holds no python\.exe"):
        windows_python(tmp_path, tmp_path, SILENT)
    (tmp_path / "text").write_text("text")
    with pytest.raises(WineFailed, match="text is no zip file"):
        windows_python(tmp_path / "text", tmp_path, SILENT)


def zip_of(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.iterdir():
            file.write(path, path.name)
    return archive


def test_a_zip_without_a_python_leaves_nothing(tmp_path: Path) -> None:
    folder = make(tmp_path / "python", 0x014C, "python313.dll")
    python = windows_python(zip_of(folder, tmp_path / "python.zip"), tmp_path / "cache", SILENT)
    with pytest.raises(WineFailed, match=r"python\.zip.*is for x86"):
        python.tree.create()
    assert not python.tree.exists()


def test_a_zip_that_is_cut_short(tmp_path: Path) -> None:
    archive = zip_of(make(tmp_path / "python", 0x8664, "python313.dll"), tmp_path / "python.zip")
    content = archive.read_bytes()
    # Its directory is whole, its first file is not.
    archive.write_bytes(content.replace(b"MZ", b"ZM", 1))
    python = windows_python(archive, tmp_path / "cache", SILENT)
    with pytest.raises(WineFailed, match=r"python\.zip cannot be unpacked: Bad CRC"):
        python.tree.create()
    assert not python.tree.exists()


def test_another_state_of_a_folder_is_another_tree(tmp_path: Path) -> None:
    folder = make(tmp_path / "python", 0x8664, "python313.dll")
    before = windows_python(folder, tmp_path / "cache", SILENT)
    assert windows_python(folder, tmp_path / "cache", SILENT).tree.folder == before.tree.folder
    (folder / "python313.dll").write_bytes(b"new")
    assert windows_python(folder, tmp_path / "cache", SILENT).tree.folder != before.tree.folder
