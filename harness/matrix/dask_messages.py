"""What client and workers of a Dask cluster tell each other about cells, as MessagePack."""

from __future__ import annotations

from typing import Final

import msgspec

from harness.matrix.events import Event
from harness.matrix.spec import CellSpec

TOPIC: Final = "crossexec"
"""Of Dask's events. All runs share it, since a scheduler keeps the last events of each for its lifetime."""


class Order(msgspec.Struct, frozen=True):
    """A cell for a worker.

    :ivar run: tells one run of the matrix from all others.
    :ivar index: tells the cell from others of the run.
    :ivar attempt: counts from 1.
    """

    run: str
    index: int
    attempt: int
    spec: CellSpec


class Begun(msgspec.Struct, frozen=True, tag=True):
    """The worker begins with the cell.

    :ivar workers: processes that share its cases.
    :ivar versions: of the worker's machine.
    """

    run: str
    index: int
    attempt: int
    workers: int
    versions: dict[str, str]


class Heard(msgspec.Struct, frozen=True, tag=True):
    """Something happened in the cell."""

    run: str
    index: int
    attempt: int
    event: Event


class Said(msgspec.Struct, frozen=True, tag=True):
    """A line about the cell for a person."""

    run: str
    index: int
    attempt: int
    text: str


Message = Begun | Heard | Said
