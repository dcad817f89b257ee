"""Where the released program comes from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.npm import PeerFailed
from harness.executor_kinds.codex.release import LINUX, WINDOWS, Package
from harness.progress import SILENT
from tests.peer.conftest import Make

MakeNpm = Callable[[], Package]


def test_what_npm_brings_is_kept(make_npm: MakeNpm, cache: Path, tmp_path: Path) -> None:
    package = make_npm()
    for _ in range(2):
        with program.program(None, package, SILENT) as found:
            assert found.file.read_text() == "#!/bin/sh\n"
            assert found.file.is_relative_to(cache)
    assert (tmp_path / "calls").read_text().split() == ["root", "pack"]
    assert not list(cache.glob("fetch-*"))


def test_what_is_not_pinned_is_not_kept(make_npm: MakeNpm, cache: Path) -> None:
    package = replace(make_npm(), integrity="sha512-else")
    with pytest.raises(PeerFailed, match=r"than is pinned: sha512-.*, not sha512-else"):
        program.program(None, package, SILENT).__enter__()
    assert not list(cache.glob("package-*/*")) and not list(cache.glob("fetch-*"))


def test_what_the_user_has_installed_is_used(make_npm: MakeNpm, tmp_path: Path) -> None:
    package = make_npm()
    folder = tmp_path / "global" / package.alias
    shutil.copytree(tmp_path / "package", folder)
    found = program.find(None, package)
    assert found is not None and found.file.is_relative_to(folder)
    (folder / "package.json").write_text(json.dumps({"version": "0.1.0-linux-x64"}))
    assert program.find(None, package) is None


def test_without_npm_there_is_a_remedy(cache: Path) -> None:
    with pytest.raises(PeerFailed, match=r"no npm in PATH; install npm .* or name the program by --codex-"):
        program.program(None, LINUX, SILENT).__enter__()


def test_what_is_given_is_used_by_its_file_or_its_package(make_program: Make, cache: Path) -> None:
    file = make_program()
    for given in (file, file.parents[1]):
        found = program.find(given, LINUX)
        assert found is not None and found.file == file
    # It says nothing of another platform's.
    assert program.find(file, WINDOWS) is None


def test_what_is_given_must_be_there_and_of_that_version(make_program: Make, cache: Path) -> None:
    with pytest.raises(PeerFailed, match="there is no program"):
        program.find(Path("/nonexistent/codex"), LINUX)
    file = make_program(version="0.1.0")
    with pytest.raises(PeerFailed, match=r"is version 0\.1\.0; the known gaps are those of"):
        program.find(file, LINUX)
    (file.parents[1] / "codex-package.json").unlink()
    with pytest.raises(PeerFailed, match="tells its version"):
        program.find(file, LINUX)
