"""What executors other than this package's do differently: tables of markers, beside their tests.

A suite has its table in a module ``differences``: pairs of a marker and the tests that get it. What is one
difference is one marker, however many tests find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

Table = Sequence[tuple[pytest.MarkDecorator, Sequence[str]]]
"""Markers, and patterns of what they are for: names of tests as ``test_file.py::test_name[parameters]``, in
which a star stands for any text."""
_ROOT: Final = Path(__file__).parent


def add_markers(items: Sequence[pytest.Item]) -> None:
    """Gives each test what its suite's table says."""
    for item in items:
        for marker in _markers_of(item):
            item.add_marker(marker)


def _markers_of(item: pytest.Item) -> Iterator[pytest.MarkDecorator]:
    if not item.path.is_relative_to(_ROOT) or item.path.parent == _ROOT:
        return
    suite = item.path.relative_to(_ROOT).parts[0]
    name = f"{item.path.name}::{item.nodeid.partition('::')[2]}"
    for marker, patterns in table_of(suite):
        if any(pattern.fullmatch(name) for pattern in patterns):
            yield marker


@cache
def table_of(suite: str) -> Sequence[tuple[pytest.MarkDecorator, Sequence[re.Pattern[str]]]]:
    """Returns the table of a suite; an empty one if it has none."""
    module = f"suites.{suite}.differences"
    if find_spec(module) is None:
        return ()
    table: Table = import_module(module).DIFFERENCES
    return [(marker, [_pattern(text) for text in patterns]) for marker, patterns in table]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
