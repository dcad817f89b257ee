"""What the tests of Wine share. Each is skipped where there is no Wine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cache import VARIABLE, cache_folder
from harness.client.sync import blocking_context
from harness.environments import Running
from harness.environments.wine import WineEnvironment
from harness.progress import SILENT, show_progress
from harness.settings import read_settings
from harness.wine import windows_python
from harness.wine.machine import prepare_machine

# The first may have to build the Windows Python.
_SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    availability = WineEnvironment().available() if ours else None
    for item in ours:
        item.add_marker(pytest.mark.timeout(_SECONDS))
        if not availability:
            item.add_marker(pytest.mark.skip(reason=f"wine-exec: {availability}"))


@pytest.fixture(scope="session")
def user_cache() -> Path:
    return cache_folder() / "wine"


@pytest.fixture(scope="session")
def prepared(user_cache: Path) -> WineEnvironment:
    """The environment as users have it; what it needs is in their cache."""
    environment = WineEnvironment()
    with show_progress(sys.stderr, "tests") as progress:
        environment.prepare(progress)
    return environment


@pytest.fixture
def running(prepared: WineEnvironment) -> Iterator[Running]:
    with blocking_context(prepared.start()) as up:
        yield up


@pytest.fixture
def unpacked_python(prepared: WineEnvironment, user_cache: Path) -> Path:
    """A folder with a Windows Python; not to be written to."""
    with show_progress(sys.stderr, "tests") as progress:
        python = windows_python.windows_python(read_settings().windows_python, user_cache, progress)
    python.tree.create()
    return python.tree.tree


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, for this process and those that it starts; nothing may run in it at the end."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder / "wine"


@pytest.fixture
def filled_cache(prepared: WineEnvironment, user_cache: Path, cache: Path) -> Path:
    """A cache for the test alone that has what the user's has, by hard links: write to no worker's files."""
    machine = prepare_machine(read_settings(), user_cache, SILENT)
    source = windows_python.windows_python(read_settings().windows_python, user_cache, SILENT)
    for tree in (machine.prefix, source.tree, *machine.parts.values()):
        shutil.copytree(tree.folder, cache / tree.folder.name, symlinks=True, copy_function=link)
    return cache


def link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture
def make_wine(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a program that tells a version as Wine does, and then runs a shell script."""

    def make(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in (("wine", script), ("wineserver", "exit 0")):
            program = folder / name
            program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo wine-0.1 && exit 0\n{text}\n')
            program.chmod(0o755)
        return folder / "wine"

    return make
