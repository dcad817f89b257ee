"""What the executor must find in its environment when a suite runs."""

from __future__ import annotations

import os

import pytest

from suites.expected import add_markers


def pytest_configure(config: pytest.Config) -> None:
    # A secret that programs must not inherit unless they are meant to. An environment starts after this, in
    # each worker of pytest-xdist as well.
    os.environ.setdefault("CROSSEXEC_PROBE_TOKEN", "probe")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    add_markers(items)
