"""Interpreters for other Pythons, with real interpreters, virtual environments and pip."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executors import __version__
from harness.matrix.pythons import PythonsFailed, find_python, interpreter
from harness.progress import SILENT

RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"
needs_scripts = pytest.mark.skipif(os.name != "posix", reason="stands in for programs with shell scripts")


def another_python() -> str | None:
    """A version of this machine that does not run the tests."""
    for version in ("3.13", "3.12", "3.11"):
        if version != RUNNING:
            try:
                find_python(version)
            except PythonsFailed:
                continue
            return version
    return None


def told(program: Path, code: str) -> str:
    return subprocess.run(
        [program, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_running_python_needs_no_environment(tmp_path: Path) -> None:
    assert interpreter(RUNNING, tmp_path, SILENT) == Path(sys.executable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["", "3", "3.10", "2.7", "3.13.0", "three", "3.13t", "../3.13"])
def test_what_is_no_version_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(PythonsFailed, match=r"a version from 3\.11 on is wanted, such as 3\.13"):
        interpreter(version, tmp_path, SILENT)


@pytest.mark.timeout(600)
def test_an_environment_is_made_once_and_has_this_crossexec_and_what_cells_need(tmp_path: Path) -> None:
    version = another_python()
    if version is None:
        pytest.skip("this machine has one Python only")
    program = interpreter(version, tmp_path, SILENT)
    assert told(program, "import sys; print('%d.%d' % sys.version_info[:2])") == version
    assert told(program, "import executors; print(executors.__version__)") == __version__
    code = "import docker, fixtures.plugin, pytest_rerunfailures, pytest_timeout, xdist; print('all there')"
    assert told(program, code) == "all there"
    # Without its pip, so that a second installation would fail.
    pip = told(program, "import pip; print(pip.__path__[0])")
    shutil.rmtree(pip)
    assert interpreter(version, tmp_path, SILENT) == program


@pytest.mark.timeout(300)
def test_the_words_of_pip_are_in_the_error_and_nothing_passes_for_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = another_python()
    if version is None:
        pytest.skip("this machine has one Python only")
    empty = tmp_path / "index"
    empty.mkdir()
    config = tmp_path / "pip.conf"
    config.write_text(f"[install]\nno-index = true\nfind-links = {empty.as_uri()}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for _ in range(2):
        with pytest.raises(PythonsFailed) as failed:
            interpreter(version, tmp_path / "cache", SILENT)
        assert "No matching distribution found" in str(failed.value)
        assert "pip needs a package index that answers" in str(failed.value)
    assert not list((tmp_path / "cache").rglob("ready"))


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes *folder* all of PATH, and hides pyenv and PYTHON."""
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(folder / "pyenv"))
    monkeypatch.delenv("PYTHON", raising=False)


def answer(version: str, implementation: str = "cpython", threads: str = "false", venv: str = "true") -> str:
    """A script that answers as an interpreter does that is asked what it is."""
    return (
        f"""echo '{{"version": "{version}", "implementation": "{implementation}", """
        f""""free_threaded": {threads}, "program": "'"$0"'", "venv": {venv}}}'"""
    )


@needs_scripts
@pytest.mark.skipif(sys.version_info[:2] == (3, 13), reason="the running Python would do")
def test_each_interpreter_that_will_not_do_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHON", str(tmp_path / "absent"))
    script(tmp_path, "python3", "echo 'pyenv: python3: command not found' >&2; echo more >&2; exit 127")
    script(tmp_path, "python3.13", answer("3.13.1", implementation="pypy"))
    versions = tmp_path / "pyenv/versions"
    script(versions / "3.13.2/bin", "python", answer("3.13.2", threads="true"))
    script(versions / "3.13.1/bin", "python", answer("3.13.1", venv="false"))
    script(tmp_path, "py", answer("3.12.4"))
    with pytest.raises(PythonsFailed) as failed:
        interpreter("3.13", tmp_path / "cache", SILENT)
    assert str(failed.value).split("\n") == [
        "no CPython 3.13 on this machine. Tried PYTHON, python3, python3.13, pyenv's versions and the "
        "launcher py; found:",
        f"  {tmp_path}/absent: cannot be run: No such file or directory",
        f"  {tmp_path}/python3: pyenv: python3: command not found",
        f"  {tmp_path}/python3.13: is pypy 3.13.1, not an ordinary CPython",
        f"  {versions}/3.13.2/bin/python: is a free-threaded build 3.13.2, not an ordinary CPython",
        f"  {versions}/3.13.1/bin/python: is Python 3.13.1 without the modules venv and ensurepip "
        "(Debian and Ubuntu have them in python3.13-venv)",
        f"  {tmp_path}/py -3.13: is Python 3.12.4",
        "Install Python 3.13, or name it with the variable PYTHON",
    ]


@needs_scripts
def test_the_newest_of_pyenv_is_taken_and_the_one_that_is_named_before_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, tmp_path)
    for version in ("3.13.2", "3.13.10", "3.13.9"):
        script(tmp_path / "pyenv/versions" / version / "bin", "python", answer(version))
    assert find_python("3.13").version == "3.13.10"
    named = script(tmp_path, "mine", answer("3.13.0"))
    monkeypatch.setenv("PYTHON", "mine")
    assert find_python("3.13").program == str(named)
    monkeypatch.delenv("PYTHON")
    script(tmp_path, "python3", answer("3.13.5"))
    assert find_python("3.13").version == "3.13.5"


@needs_scripts
def test_ci_pythons_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path(__file__).parents[2] / "ci/pythons"
    if not listed.is_file():
        pytest.skip("only a checkout has ci/pythons")
    printed = subprocess.run([listed], capture_output=True, text=True, check=True).stdout
    found = set()
    for version in ("3.11", "3.12", "3.13", "3.14"):
        with contextlib.suppress(PythonsFailed):
            found.add(".".join(find_python(version).version.split(".")[:2]))
    assert found == {line.partition(" ")[0] for line in printed.splitlines()}
