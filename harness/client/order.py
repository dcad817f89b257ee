"""Puts the events of one process in order. Plain state, no I/O.

Events come live, as notifications, and after a reconnection or a gap from a replay, the
executor's answer to ``process/read``. Both may overlap and be out of order; what leaves is
numbered 1, 2, 3 and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.client.errors import OutputLost
from harness.client.events import ClosedEvent, Event, ExitedEvent, OutputEvent


class Order:
    """The merge of one process's events by sequence number."""

    def __init__(self, process_id: str) -> None:
        self._process_id = process_id
        self._next = 1
        self._held: dict[int, Event] = {}
        self._has_exited = False
        self._has_closed = False

    @property
    def published(self) -> int:
        """The number of the last event that was handed out; what a replay should start after."""
        return self._next - 1

    @property
    def missing(self) -> range:
        """The numbers that the first held event waits for; empty if none is held."""
        return range(self._next, min(self._held)) if self._held else range(0)

    @property
    def finished(self) -> bool:
        """The last event was handed out."""
        return self._has_closed and not self._held

    def feed(self, event: Event) -> Sequence[Event]:
        """Takes one event; returns those that can now be handed out, in order.

        An event that was there before is dropped.
        """
        seq = event.seq
        if seq < self._next:
            return ()
        if isinstance(event, ExitedEvent):
            self._has_exited = True
        elif isinstance(event, ClosedEvent):
            self._has_closed = True
        if seq == self._next and not self._held:
            self._next += 1
            return (event,)
        self._held[seq] = event
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        return ready

    def replay(
        self,
        outputs: Sequence[OutputEvent],
        next_seq: int,
        exit_code: int | None,
        closed: bool,
        sandbox_denied: bool = False,
    ) -> Sequence[Event]:
        """Takes what ``process/read`` answered for everything after :attr:`published`.

        The answer does not number exit and close, so their numbers are found as those that no
        output bears: close is always last, and any further gap is output that is gone.

        :param next_seq: the number after the last event of any kind.
        :param exit_code: None while the process runs.
        :raises OutputLost: the executor no longer holds all that is missing here.
        """
        ready = [event for output in outputs for event in self.feed(output)]
        held_before = sum(seq < next_seq for seq in self._held)
        absent = max(0, next_seq - self._next - held_before)
        terminal: list[type[ExitedEvent | ClosedEvent]] = []
        if exit_code is not None and not self._has_exited:
            terminal.append(ExitedEvent)
        if closed and not self._has_closed:
            terminal.append(ClosedEvent)
        if absent > len(terminal):
            raise OutputLost(
                self._process_id,
                self._next,
                absent - len(terminal),
                exit_code,
                "the executor no longer holds this output, for it keeps only the latest",
            )
        if absent == len(terminal) > 0:
            numbers = [seq for seq in range(self._next, next_seq) if seq not in self._held]
            for seq, kind in zip(numbers, terminal, strict=True):
                if kind is ClosedEvent:
                    ready += self.feed(ClosedEvent(seq))
                else:
                    assert exit_code is not None
                    ready += self.feed(ExitedEvent(seq, exit_code, sandbox_denied))
        return ready
