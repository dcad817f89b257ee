"""Which sessions there are, whose they are, and until when they wait for a client. Plain state, no I/O."""

from __future__ import annotations

import enum
import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass

from executors.protocol.errors import ErrorCode, RpcError, invalid_params, invalid_request

_MAX_IDLE = 4096
# Of an id in a message for people; ours are shorter.
_SHOWN_CHARACTERS = 64


class Left(enum.Enum):
    """What the end of a connection means for a session."""

    WAITS = "waits"
    """It can be resumed until its time is up."""
    OVER = "over"
    """It is no more, and what it holds is to be freed."""
    NOTHING = "nothing"
    """It is over already, or another connection has it."""


@dataclass(eq=False)
class _Entry:
    session_id: str
    retention: float
    generation: int = 1
    """Of the connection that has it or, detached, had it last."""
    deadline: float | None = None
    """When it expires; None while a connection has it."""


class Retention:
    """The sessions of an executor.

    A session belongs to one connection at a time, by the number of that connection in the session: its
    generation. Detached, it waits for its retention, and is then over. All times are seconds of one clock
    that never goes back.

    :param limit: the longest that a session may wait, and how long it does where its client says nothing.
    :param max_idle: how many sessions without a process may wait; beyond it the oldest are over.
    """

    def __init__(self, limit: float, max_idle: int = _MAX_IDLE) -> None:
        self.limit = limit
        self._max_idle = max_idle
        self._entries: dict[str, _Entry] = {}
        # Of those that wait, with some that do no more.
        self._deadlines: list[tuple[float, int, _Entry]] = []
        self._pushed = 0
        self._idle: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, session_id: str, retention_ms: int | None) -> int:
        """Adds a session that belongs to the connection that asks; returns its generation.

        :raises RpcError: INVALID_PARAMS: *retention_ms* is negative.
        """
        retention = self.limit if retention_ms is None else self._granted(retention_ms)
        self._entries[session_id] = entry = _Entry(session_id, retention)
        return entry.generation

    def resume(self, session_id: str, retention_ms: int | None, now: float) -> int:
        """Gives a session that waits to the connection that asks; returns the new generation.

        :param retention_ms: None to leave it as it is.
        :raises RpcError: INVALID_PARAMS: *retention_ms* is negative. SESSION_ATTACHED: another connection has
            it. INVALID_REQUEST: there is none of this id, or its time is up.
        """
        granted = None if retention_ms is None else self._granted(retention_ms)
        entry = self._entries.get(session_id)
        if entry is None or (entry.deadline is not None and entry.deadline <= now):
            raise invalid_request(
                f"unknown or expired session id {_shown(session_id)}: initialize without resumeSessionId "
                "for a new one"
            )
        if entry.deadline is None:
            raise RpcError(
                ErrorCode.SESSION_ATTACHED,
                f"session {_shown(session_id)} is attached to another connection: try again when that has "
                "ended",
            )
        entry.deadline = None
        entry.generation += 1
        if granted is not None:
            entry.retention = granted
        self._idle.pop(session_id, None)
        return entry.generation

    def retention(self, session_id: str) -> float:
        """How long the session may wait, in seconds."""
        return self._entries[session_id].retention

    def leave(self, session_id: str, generation: int, now: float, *, in_order: bool, idle: bool) -> Left:
        """The connection of this generation has ended.

        :param in_order: its client has said that it needs the session no more.
        :param idle: the session has no process, not even one that is over.
        """
        entry = self._entries.get(session_id)
        if entry is None or entry.generation != generation or entry.deadline is not None:
            return Left.NOTHING
        if in_order or entry.retention <= 0:
            self._remove(entry)
            return Left.OVER
        entry.deadline = now + entry.retention
        self._pushed += 1
        heapq.heappush(self._deadlines, (entry.deadline, self._pushed, entry))
        if len(self._deadlines) > 2 * len(self._entries) + 64:
            self._deadlines = [each for each in self._deadlines if each[2].deadline == each[0]]
            heapq.heapify(self._deadlines)
        if idle:
            self._idle[session_id] = None
        return Left.WAITS

    def expired(self, now: float) -> list[str]:
        """Removes the sessions whose time is up and returns their ids."""
        found = []
        while (deadline := self.next_deadline) is not None and deadline <= now:
            entry = self._deadlines[0][2]
            found.append(entry.session_id)
            self._remove(entry)
        return found

    def surplus(self) -> list[str]:
        """Removes the oldest of too many sessions that wait without a process; returns their ids."""
        found = []
        while len(self._idle) > self._max_idle:
            session_id = next(iter(self._idle))
            found.append(session_id)
            self._remove(self._entries[session_id])
        return found

    def end_waiting(self) -> list[str]:
        """Removes the sessions that wait and returns their ids."""
        waiting = [entry for entry in self._entries.values() if entry.deadline is not None]
        for entry in waiting:
            self._remove(entry)
        return [entry.session_id for entry in waiting]

    @property
    def next_deadline(self) -> float | None:
        """When :meth:`expired` next finds something; None while no session waits."""
        while self._deadlines and self._deadlines[0][2].deadline != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _remove(self, entry: _Entry) -> None:
        del self._entries[entry.session_id]
        self._idle.pop(entry.session_id, None)
        entry.deadline = None

    def _granted(self, retention_ms: int) -> float:
        if retention_ms < 0:
            raise invalid_params(f"field `retentionMs`: {retention_ms} is negative")
        # The number may be too large for a float.
        return self.limit if retention_ms >= self.limit * 1000 else retention_ms / 1000


def _shown(session_id: str) -> str:
    if len(session_id) <= _SHOWN_CHARACTERS:
        return session_id
    return f"{session_id[:_SHOWN_CHARACTERS]}… ({len(session_id)} characters)"


def to_ms(seconds: float) -> int:
    """Returns *seconds* as a number of the protocol."""
    return math.floor(seconds * 1000)
