"""What tests of the matrix share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.matrix.folder import MatrixFolder


@pytest.fixture
def matrix(tmp_path: Path) -> Iterator[MatrixFolder]:
    folder = MatrixFolder(tmp_path)
    yield folder
    folder.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Callable[[str], Path]:
    """Makes named pipes: to open one waits for the other end, and its end tells that who held it is gone."""

    def make(name: str) -> Path:
        path = tmp_path / name
        os.mkfifo(path)
        return path

    return make
