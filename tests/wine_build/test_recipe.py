"""The key under which a Windows Python is cached, and what stops a build before it begins."""

import os
import shutil
from pathlib import Path

import pytest

from harness.progress import SILENT
from harness.wine import crossbuild
from harness.wine.crossbuild.tools import check_tools


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return shutil.copytree(Path(crossbuild.__file__).parent, tmp_path / "package")


def test_the_key_tells_the_recipe_and_not_where_it_lies(package: Path) -> None:
    assert crossbuild.key_of(package) == crossbuild.recipe_key()


@pytest.mark.parametrize("name", ["pins.py", "edits.py", "patches.py", "compiler.py"])
def test_every_change_of_the_recipe_changes_the_key(package: Path, name: str) -> None:
    with (package / name).open("a") as file:
        file.write("\n")
    assert crossbuild.key_of(package) != crossbuild.recipe_key()


def test_how_it_is_called_by_hand_is_no_part_of_the_recipe(package: Path) -> None:
    (package / "__main__.py").unlink()
    assert crossbuild.key_of(package) == crossbuild.recipe_key()


def test_one_error_names_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CROSSEXEC_WINE", raising=False)
    keyring = tmp_path / "no-keyring.gpg"
    with pytest.raises(crossbuild.BuildFailed) as caught:
        check_tools(keyring)
    text = str(caught.value)
    for tool in ("apt-get", "make", "patch", "perl", "setpriv", "wine", str(keyring)):
        assert tool in text
    assert "apt-get install apt debian-archive-keyring make patch perl util-linux wine" in text
    assert "--windows-python" in text and "CROSSEXEC_WINDOWS_PYTHON" in text


def test_a_perl_without_its_modules_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perl = tmp_path / "perl"
    perl.write_text('#!/bin/sh\necho "Can\'t locate FindBin.pm" >&2\nexit 2\n')
    perl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(crossbuild.BuildFailed, match="perl's modules"):
        check_tools()


def test_nothing_is_begun_where_tools_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, destination = tmp_path / "cache", tmp_path / "python"
    monkeypatch.setenv("CROSSEXEC_CACHE", str(cache))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(crossbuild.BuildFailed, match="has not got"):
        crossbuild.build_windows_python(destination, SILENT)
    assert not cache.exists() and not destination.exists()
