"""What signals ask of a run of the matrix: first an orderly end, then an end at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal came while nothing had to be ended in order.

    :ivar status: what to exit with.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Interrupts:
    """The signals that have come so far.

    :ivar asked: set by the first one: what runs is to end in order.
    :ivar forced: set by the second one: what runs is to be killed.
    :ivar status: what to exit with, once *asked* is set.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        self.status = 0

    def come(self, number: int) -> None:
        if self.asked.is_set():
            self.forced.set()
        else:
            self.status = 128 + number
            self.asked.set()


@contextmanager
def raised() -> Iterator[None]:
    """SIGINT and SIGTERM raise :class:`Interrupted` while the block runs, as what blocks needs it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled(stop):
        yield


@contextmanager
def collected() -> Iterator[Interrupts]:
    """SIGINT and SIGTERM only set events while the block runs. To be used in an event loop."""
    interrupts = Interrupts()
    loop = asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(interrupts.come, number)

    with _handled(stop):
        yield interrupts


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
