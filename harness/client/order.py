"""Puts the events of one process in order. Plain state, no I/O.

Events come live, as notifications, and after a reconnection or a gap from a replay, the
executor's answers to ``process/read``. Both may overlap and be out of order; what leaves is
numbered 1, 2, 3 and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.client.errors import BadReply, OutputLost
from harness.client.events import ClosedEvent, Event, ExitedEvent, OutputEvent


class Order:
    """The merge of one process's events by sequence number.

    :ivar replaying: a replay has begun, and :attr:`replay_after` says what to ask for next.
    """

    def __init__(self, process_id: str) -> None:
        self._process_id = process_id
        self._next = 1
        self._held: dict[int, Event] = {}
        self._exited_seq: int | None = None
        self._closed_seq: int | None = None
        self.replaying = False
        self._cursor = 0
        # The lowest number that came live since the replay began: whatever follows it comes live too.
        self._first_live: int | None = None
        # Numbers that the pages of a replay passed over.
        self._absent: list[range] = []

    @property
    def published(self) -> int:
        """The number of the last event that was handed out."""
        return self._next - 1

    @property
    def replay_after(self) -> int:
        """What the next page of a replay should start after."""
        return self._cursor

    @property
    def missing(self) -> range:
        """The numbers that the first held event waits for; empty if none is held."""
        return range(self._next, min(self._held)) if self._held else range(0)

    @property
    def finished(self) -> bool:
        """The last event was handed out."""
        return self._closed_seq is not None and not self._held

    def feed(self, event: Event) -> Sequence[Event]:
        """Takes one live event; returns those that can now be handed out, in order.

        An event that was there before is dropped.

        :raises BadReply: it contradicts an earlier one.
        """
        if self.replaying and (self._first_live is None or event.seq < self._first_live):
            self._first_live = event.seq
        return self._take(event)

    def begin_replay(self, *, resumed: bool) -> None:
        """What was handed out stays; all that follows is asked for.

        :param resumed: over another connection than the events that are held came by.
        """
        self.replaying = True
        self._cursor = self.published
        self._first_live = None if resumed else min(self._held, default=None)
        self._absent = []

    def replay(
        self,
        outputs: Sequence[OutputEvent],
        next_seq: int,
        exit_code: int | None,
        closed: bool,
        sandbox_denied: bool = False,
    ) -> Sequence[Event]:
        """Takes one page: what ``process/read`` answered for everything after :attr:`replay_after`.

        The answer does not number exit and close, so their numbers are found as those that no
        output bears: close is always last, and any further gap is output that is gone. Whether a page is
        the last one does not show if it ends with an output; then there is another to ask for.

        :param next_seq: the number after the last event of any kind, or of the page if it was cut short.
        :param exit_code: None while the process runs.
        :raises OutputLost: the executor no longer holds all that is missing here.
        :raises BadReply: the answer contradicts itself, or what came before.
        """
        self._check_page(outputs, next_seq)
        start, self._cursor = max(self._cursor + 1, self._next), next_seq - 1
        ready = [event for output in outputs for event in self._take(output)]
        ends_with_output = bool(outputs) and outputs[-1].seq == next_seq - 1
        self._note_absent(start, next_seq, outputs)
        joins_live = self._first_live is not None and self._first_live <= next_seq
        if ends_with_output and not joins_live:
            # Which of the absent numbers is the exit's shows at the end.
            return ready
        self.replaying = False
        absent = self._still_absent()
        kinds = (exit_code is not None and self._exited_seq is None) + (closed and self._closed_seq is None)
        # Unlike len(), this takes numbers of any size.
        lost = sum(gap.stop - gap.start for gap in absent) - kinds
        if lost > 0:
            raise self._lost(absent[0].start, lost, exit_code)
        for seq in [seq for gap in absent for seq in gap]:
            if exit_code is not None and self._exited_seq is None:
                ready += self._take(ExitedEvent(seq, exit_code, sandbox_denied))
            elif closed and seq == next_seq - 1:
                ready += self._take(ClosedEvent(seq))
            else:
                raise self._lost(seq, 1, exit_code)
        return ready

    def _take(self, event: Event) -> Sequence[Event]:
        seq = event.seq
        if seq < self._next:
            if seq < 1:
                raise self._bad(f"numbered an event {seq}, and the first is 1")
            return ()
        if isinstance(event, ExitedEvent):
            if self._exited_seq not in (None, seq):
                raise self._bad(f"told of its exit twice, as events {self._exited_seq} and {seq}")
            self._exited_seq = seq
        elif isinstance(event, ClosedEvent):
            if self._closed_seq not in (None, seq):
                raise self._bad(f"told of its close twice, as events {self._closed_seq} and {seq}")
            self._closed_seq = seq
            self._check_last(max(self._held, default=0))
        self._check_last(seq)
        if seq == self._next and not self._held:
            self._next += 1
            return (event,)
        self._held[seq] = event
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        return ready

    def _check_last(self, seq: int) -> None:
        if self._closed_seq is not None and seq > self._closed_seq:
            raise self._bad(f"told of event {seq} although {self._closed_seq}, its close, is the last")

    def _check_page(self, outputs: Sequence[OutputEvent], next_seq: int) -> None:
        last = self._cursor
        for output in outputs:
            if not last < output.seq < next_seq:
                raise self._bad(
                    f"was asked for what follows event {self._cursor} and answered with event {output.seq} "
                    f"after {last}, before nextSeq {next_seq}"
                )
            last = output.seq
        if next_seq <= self._cursor:
            raise self._bad(f"has told {self._cursor} events and says now that {next_seq} is the next")

    def _note_absent(self, start: int, next_seq: int, outputs: Sequence[OutputEvent]) -> None:
        known = sorted({*(output.seq for output in outputs), *self._held})
        for seq in [*known, next_seq]:
            if start < min(seq, next_seq):
                self._absent.append(range(start, min(seq, next_seq)))
            start = max(start, seq + 1)

    def _still_absent(self) -> list[range]:
        """What has come live meanwhile is absent no more."""
        before, self._absent = self._absent, []
        for gap in before:
            self._note_absent(max(gap.start, self._next), gap.stop, ())
        return self._absent

    def _lost(self, first: int, count: int, exit_code: int | None) -> OutputLost:
        why = "the executor no longer holds this output, for it keeps only the latest"
        return OutputLost(self._process_id, first, count, exit_code, why)

    def _bad(self, what: str) -> BadReply:
        return BadReply(f"of process {self._process_id!r}, the executor {what}")
