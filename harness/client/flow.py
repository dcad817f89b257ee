"""When to stop reading from a connection. Plain state, no I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BufferLimits:
    """How much unread output of one process a client holds.

    :ivar pause_bytes: past it, reading from the connection stops while nobody waits for anything else.
    :ivar overflow_bytes: past it, the output is given up and its consumer gets an error.
    """

    pause_bytes: int = 16 * 1024 * 1024
    overflow_bytes: int = 1024 * 1024 * 1024


class ReadGate:
    """Back-pressure to the executor: reading stops while a process has too much unread output.

    It outlives the connections that it acts on, one after the other.

    All that a connection carries comes through one stream, so stopping for one slow consumer
    stops everything. It is therefore done only while nobody waits for anything else: neither a
    reply nor another process. A consumer that never comes back cannot block the others then.
    """

    def __init__(self) -> None:
        self._full: set[str] = set()
        self._waiting = 0
        self.paused = False
        self.detach()

    def attach(self, calls: Callable[[], int], pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """Acts on a new connection.

        :param calls: how many calls wait for a reply.
        """
        self._calls = calls
        self._pause = pause
        self._resume = resume
        # The reading of a new connection goes on until something says otherwise: its handshake comes first.
        self.paused = False

    def detach(self) -> None:
        """There is no connection."""
        self.attach(_nothing_waits, _do_nothing, _do_nothing)

    def fill(self, process_id: str) -> None:
        """The process has too much unread output."""
        self._full.add(process_id)
        self.update()

    def drain(self, process_id: str) -> None:
        """It has no longer, or is no more."""
        if process_id in self._full:
            self._full.remove(process_id)
            self.update()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody waits for an event of a process inside this context."""
        self._waiting += 1
        try:
            self.update()
            yield
        finally:
            self._waiting -= 1
            self.update()

    def update(self) -> None:
        """To be called after a change in the number of calls."""
        pause = bool(self._full) and not self._waiting and not self._calls()
        if pause == self.paused:
            return
        self.paused = pause
        if pause:
            logger.debug("reading paused: unread output of %s", ", ".join(map(repr, self._full)))
            self._pause()
        else:
            self._resume()


def _nothing_waits() -> int:
    return 0


def _do_nothing() -> None:
    pass
