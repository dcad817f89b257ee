"""The sequence-numbered record of one process: what was sent, what can be read again.

Plain state, no I/O. One counter, from 1, numbers output, exit and close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain

import msgspec

from executors.protocol.processes import Stream

RETAINED_BYTES = 1024 * 1024
# A short chunk costs far more than its bytes.
_CHUNK_OVERHEAD_BYTES = 128


class Chunk(msgspec.Struct, frozen=True, gc=False):
    seq: int
    stream: Stream
    data: bytes


class OutputLog:
    """Numbers the events of a process and retains the last of its output.

    As long as nothing is held (:meth:`hold`), every event counts as known to the client as soon as it is
    recorded.

    :param retained_bytes: at least this much of the newest output stays readable, in whole
        chunks; older chunks are dropped, if the client knows them.
    """

    def __init__(self, retained_bytes: int = RETAINED_BYTES) -> None:
        self._limit = retained_bytes
        self._known: deque[Chunk] = deque()
        # What the client may not have got; newer than all that it knows.
        self._held: deque[Chunk] = deque()
        self._size = 0
        self._acknowledged: int | None = None
        self.held_memory = 0
        """Bytes of memory that the output takes which the client may not know, about."""
        self.next_seq = 1
        self.exit_code: int | None = None
        self.closed = False

    def append(self, stream: Stream, data: bytes) -> int:
        """Records a piece of output and returns its number."""
        seq = self.next_seq
        self.next_seq = seq + 1
        self._size += len(data)
        if self._acknowledged is None:
            self._known.append(Chunk(seq, stream, data))
        else:
            self._held.append(Chunk(seq, stream, data))
            self.held_memory += len(data) + _CHUNK_OVERHEAD_BYTES
        if self._size > self._limit:
            self._trim()
        return seq

    def mark_exited(self, exit_code: int) -> int:
        self.exit_code = exit_code
        return self._take_seq()

    def mark_closed(self) -> int:
        self.closed = True
        return self._take_seq()

    def hold(self) -> None:
        """From now on what is recorded is dropped only after :meth:`acknowledge`."""
        if self._acknowledged is None:
            self._acknowledged = self.next_seq - 1

    def let_go(self) -> None:
        """The client knows all there is, and all that is yet to come as soon as it is recorded."""
        self.acknowledge(self.next_seq - 1)
        self._acknowledged = None

    def acknowledge(self, seq: int) -> None:
        """The client knows every event up to *seq*; a number that is old, or not taken, says nothing new."""
        if self._acknowledged is None:
            return
        self._acknowledged = max(self._acknowledged, min(seq, self.next_seq - 1))
        held = self._held
        while held and held[0].seq <= self._acknowledged:
            chunk = held.popleft()
            self.held_memory -= len(chunk.data) + _CHUNK_OVERHEAD_BYTES
            self._known.append(chunk)
        self._trim()

    @property
    def all_known(self) -> bool:
        """Whether the client knows every event so far."""
        return self._acknowledged is None or self._acknowledged == self.next_seq - 1

    @property
    def retained(self) -> int:
        """Bytes of output that are retained."""
        return self._size

    @property
    def memory(self) -> int:
        """Bytes of memory that the retained output takes, about."""
        return self._size + _CHUNK_OVERHEAD_BYTES * (len(self._known) + len(self._held))

    def happened_after(self, seq: int) -> bool:
        """Whether any event, not only output, has a number above *seq*."""
        return self.next_seq - 1 > seq

    def has_output_after(self, seq: int) -> bool:
        newest = self._held or self._known
        return bool(newest) and newest[-1].seq > seq

    def read(self, after_seq: int, max_bytes: int | None) -> list[Chunk]:
        """Returns the retained chunks numbered above *after_seq*, oldest first.

        :param max_bytes: chunks are added while their sum stays within; the first one always is.
        """
        result: list[Chunk] = []
        total = 0
        for chunk in self._after(after_seq):
            total += len(chunk.data)
            if result and max_bytes is not None and total > max_bytes:
                break
            result.append(chunk)
        return result

    def tails(self, max_bytes: int) -> list[bytes]:
        """Returns the last *max_bytes* of each stream, as far as they are retained."""
        kept: dict[Stream, list[bytes]] = {}
        sizes: dict[Stream, int] = {}
        for chunk in chain(reversed(self._held), reversed(self._known)):
            size = sizes.get(chunk.stream, 0)
            if size < max_bytes:
                kept.setdefault(chunk.stream, []).append(chunk.data)
                sizes[chunk.stream] = size + len(chunk.data)
        return [b"".join(reversed(pieces))[-max_bytes:] for pieces in kept.values()]

    def _after(self, seq: int) -> Iterator[Chunk]:
        newest_first = []
        for chunk in chain(reversed(self._held), reversed(self._known)):
            if chunk.seq <= seq:
                break
            newest_first.append(chunk)
        return reversed(newest_first)

    def _trim(self) -> None:
        known = self._known
        while known and self._size - len(known[0].data) >= self._limit:
            self._size -= len(known.popleft().data)

    def _take_seq(self) -> int:
        seq = self.next_seq
        self.next_seq += 1
        return seq
