"""Cleaning a cache of Wine environments: what the present code would use, and what runs, stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.client.sync import blocking_context, sync_client
from harness.environments.wine import WineEnvironment
from harness.progress import SILENT
from harness.settings import read_settings
from harness.wine.machine import prepare_machine
from tests.wine import leftovers

OLD = (
    "executor-0123456789abcdef",
    "packages-0123456789abcdef",
    "prefix-0123456789abcdef",
    "python-0123456789abcdef",
)


def trees(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.is_dir() and path.name != "workers"}


@pytest.fixture
def with_old_trees(filled_cache: Path) -> Path:
    for name in OLD:
        (filled_cache / name / "tree").mkdir(parents=True)
    (filled_cache / "executor-fedcba9876543210.unfinished").mkdir()
    return filled_cache


def test_what_the_code_would_not_use_goes(with_old_trees: Path) -> None:
    wanted = trees(with_old_trees) - {*OLD, "executor-fedcba9876543210.unfinished"}
    assert len(wanted) == 5
    cleaned = WineEnvironment().clean_cache(everything=False)
    assert trees(with_old_trees) == wanted
    assert cleaned.kept == []
    assert len(cleaned.removed) == len(OLD) + 1


def test_the_names_are_those_that_are_made(with_old_trees: Path) -> None:
    """Otherwise the first start after a cleaning would make something anew."""
    WineEnvironment().clean_cache(everything=False)
    before = trees(with_old_trees)
    prepare_machine(read_settings(), with_old_trees, SILENT)
    assert trees(with_old_trees) == before


def test_a_live_run_keeps_all_of_the_cache_and_goes_on(with_old_trees: Path) -> None:
    environment = WineEnvironment()
    with blocking_context(environment.start()) as up, sync_client(up.connect()) as client:
        (used,) = environment.in_use()
        assert str(*leftovers.workers(with_old_trees)) in used
        environment.clean_cache(everything=True)
        assert trees(with_old_trees) == set()
        assert client.run(["cmd", "/c", "echo", "here"]).stdout == b"here\r\n"
        # The prefix, and all that is in it, is the worker's own.
        assert client.run([up.facts["python"], "-c", "import json; print(1)"]).exit_code == 0
    assert environment.in_use() == []


def test_what_a_build_has_left_goes_with_the_python_there(filled_cache: Path) -> None:
    build = filled_cache.parent / "windows-python-build"
    (build / "downloads").mkdir(parents=True)
    (build / "downloads" / "x").write_bytes(os.urandom(100_000))
    cleaned = WineEnvironment().clean_cache(everything=False)
    if read_settings().windows_python is not None:
        pytest.skip("another Windows Python is given")
    assert not build.exists()
    assert cleaned.removed[-1].bytes >= 100_000
