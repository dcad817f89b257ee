"""When a session that has lost its connection tries to get another one, and when it gives up.

Plain state, no I/O and no clock: it is told what happens and when, and says what to do next.
:class:`harness.client.session.Session` drives it.

::

    CONNECTED --lost--> RECOVERING --replayed--> CONNECTED
                        RECOVERING --refused, out of time--> FAILED
    CONNECTED, RECOVERING --closed--> CLOSED

Times are seconds of any one clock that does not go back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Protocol

from executors.protocol.errors import ErrorCode

__all__ = [
    "Backoff",
    "Connect",
    "Every",
    "Failure",
    "Recovery",
    "RecoveryOptions",
    "Replay",
    "RetryPolicy",
    "Settle",
    "State",
    "Step",
    "Wait",
]

_GOING_AWAY: Final = 1001
# RFC 6455 section 7.4.1: each blames one side for what it is. Not 1009: the message that was too big need
# not be sent again.
_BLAMES: Final = frozenset((1002, 1003, 1007, 1008, 1010))
# Of the time until it gives up. By the policy alone there may be none for long before that: with a Backoff,
# and its jitter at 1.5, none after 18.8 s of 25 s.
_LAST_PART: Final = 0.1


@dataclass(frozen=True)
class RecoveryOptions:
    """What a client does when its connection is lost.

    :ivar give_up_seconds: time after a loss, or after the last output that was fetched again, until the
        session counts as lost.
    :ivar retry_seconds: time between two attempts to connect.
    :ivar retention_seconds: how long the executor shall keep the session, and run its processes, without a
        connection; None for as long as the executor itself offers, which is also the most it grants.
    :ivar enabled: whether a session outlives its connection at all.
    """

    give_up_seconds: float = 25.0
    retry_seconds: float = 0.1
    retention_seconds: float | None = None
    enabled: bool = True


class State(enum.Enum):
    """How a session stands."""

    CONNECTED = "connected"
    RECOVERING = "recovering"
    """The connection is lost; calls wait for the next one."""
    FAILED = "failed"
    """The session is lost for good."""
    CLOSED = "closed"
    """This side has closed it."""


class RetryPolicy(Protocol):
    """How long to wait between two attempts."""

    def delay(self, attempt: int) -> float:
        """Returns the seconds from the failure of an attempt, counted from 1, to the next."""


@dataclass(frozen=True)
class Every:
    """Always the same time; for an executor that is connected to directly."""

    seconds: float

    def delay(self, attempt: int) -> float:
        return self.seconds


@dataclass(frozen=True)
class Backoff:
    """Twice the time after each failure; for what many share, such as a registry.

    An outage of 20 s is survived whatever the jitter, since a last attempt is made when a tenth of the time
    is left: see :class:`Recovery`.

    :ivar jitter: a factor from 1 to 1.5, drawn once for a session, so that not all come at once.
    """

    first: float = 0.5
    most: float = 5.0
    jitter: float = 1.0

    def delay(self, attempt: int) -> float:
        # Beyond 2**60 the power would only overflow.
        return self.jitter * min(self.most, self.first * 2.0 ** min(attempt - 1, 60))


@dataclass(frozen=True)
class Settle:
    """Wait for the starts under way to end."""

    until: float


@dataclass(frozen=True)
class Wait:
    """Do nothing until then."""

    until: float


@dataclass(frozen=True)
class Connect:
    """Open connection *number* and resume the session over it, before *until*."""

    number: int
    until: float


@dataclass(frozen=True)
class Replay:
    """Have the processes of :attr:`Recovery.doubtful` terminated, and read what the others have told.

    *until* moves as :meth:`Recovery.progressed` is called.
    """

    number: int
    until: float


Step = Settle | Wait | Connect | Replay


@dataclass(frozen=True)
class Failure:
    """Why a session is lost.

    :ivar code: the close code of the connection whose loss began it, None if there was none.
    :ivar reason: the text that belongs to it.
    :ivar why: what then kept the session from being resumed.
    """

    code: int | None
    reason: str
    why: str


class _Phase(enum.Enum):
    SETTLING = "settling"
    WAITING = "waiting"
    CONNECTING = "connecting"
    REPLAYING = "replaying"


class Recovery:
    """The state of one session, which is connected to begin with.

    Connections and attempts to get one are numbered from 1 on. What is told of any but the newest changes
    nothing: it is over for this session, whenever word of it comes.

    When a tenth of the time is left, a last attempt begins, if none has in that tenth; one that waits for an
    answer until then ends for that.

    :param policy: the time between attempts.
    :param give_up_seconds: see :class:`RecoveryOptions`.
    :param attempt_seconds: that one attempt may take.
    :param resumable: the executor keeps the session without a connection.
    """

    def __init__(
        self, policy: RetryPolicy, give_up_seconds: float, attempt_seconds: float, *, resumable: bool = True
    ) -> None:
        self._policy = policy
        self._give_up_seconds = give_up_seconds
        self._attempt_seconds = attempt_seconds
        self._resumable = resumable
        self.state = State.CONNECTED
        self.number = 1
        """Of the newest connection or attempt."""
        self.generation = 1
        """How many connections the session has had."""
        self.recovered = 0
        """How often it came back to CONNECTED."""
        self.attempts = 0
        """In this recovery, or the last."""
        self.failure: Failure | None = None
        """Set with the state FAILED, and never changed."""
        self.lost_at = 0.0
        """When the present recovery began."""
        self.doubtful: set[str] = set()
        """Processes that may have started though their start was not answered. They are terminated."""
        self._starting: set[str] = set()
        self._phase = _Phase.SETTLING
        self._code: int | None = None
        self._reason = ""
        self._last = ""
        self._give_up_at = 0.0
        self._due = 0.0
        self._attempt_until = 0.0
        self._attempt_at = 0.0

    # Starts

    def start_sent(self, process_id: str) -> None:
        """The request is out."""
        self._starting.add(process_id)

    def start_answered(self, process_id: str) -> None:
        """It was started, or refused: either way nothing is in doubt."""
        self._starting.discard(process_id)
        self.doubtful.discard(process_id)

    def start_unanswered(self, process_id: str) -> None:
        """Nobody waits for the answer any more, or none can come."""
        self._starting.discard(process_id)
        self.doubtful.add(process_id)

    def cleaned_up(self, process_id: str) -> None:
        """The executor has answered that *process_id* is terminated."""
        self.doubtful.discard(process_id)

    # What happens

    def lost(self, number: int, now: float, code: int | None, reason: str, *, useful: bool = True) -> None:
        """Connection *number* has ended.

        :param useful: it had carried something since the session was connected. If not, the next attempt
            waits, so that an executor that takes every connection and drops it is not asked without pause.
        """
        if number != self.number:
            return
        if self.state is State.CONNECTED:
            self.state = State.RECOVERING
            self._phase = _Phase.SETTLING
            self.attempts = 0
            self.lost_at = now
            self._code, self._reason, self._last = code, reason, ""
            self._give_up_at = now + self._give_up_seconds
            self._attempt_at = now
            self._due = now if useful else now + self._policy.delay(1)
            if not self._resumable:
                self._fail("it ends with its connection")
            else:
                self._end_if_final(code)
        elif self.state is State.RECOVERING and self._phase in (_Phase.CONNECTING, _Phase.REPLAYING):
            closed = "no close frame" if code is None else f"close code {code}"
            self._retry(now, f"the connection was lost ({closed}{f': {reason}' if reason else ''})")
            self._end_if_final(code)

    def attempt_failed(self, number: int, now: float, why: str) -> None:
        """No connection came about, or no answer to the handshake."""
        if self._is_connecting(number):
            self._retry(now, why)

    def refused(self, number: int, now: float, code: int, message: str) -> None:
        """The executor has answered that it does not resume the session."""
        if not self._is_connecting(number):
            return
        if code == ErrorCode.SESSION_ATTACHED:
            # It has not noticed the end of the connection before, or somebody else has taken the session.
            self._retry(now, f"{message} ({code})")
        else:
            self._fail(f"the executor does not resume it: {message} ({code})")

    def broken(self, number: int, why: str) -> None:
        """What came in answer to the handshake makes no sense; it would not another time either."""
        if self._is_connecting(number):
            self._fail(why)

    def resumed(self, number: int) -> None:
        """The handshake is over: the session is ours again."""
        if self._is_connecting(number):
            self._phase = _Phase.REPLAYING
            self.generation += 1

    def progressed(self, number: int, now: float) -> None:
        """The replay has brought something that was missing."""
        if self._is_replaying(number):
            self._give_up_at = max(self._give_up_at, now + self._give_up_seconds)

    def replayed(self, number: int) -> None:
        """Every process has been read."""
        if self._is_replaying(number):
            self.state = State.CONNECTED
            self.recovered += 1

    def close(self) -> None:
        """This side needs the session no more."""
        if self.state is not State.FAILED:
            self.state = State.CLOSED

    def give_up(self, why: str) -> None:
        """It cannot go on, for a reason that is not known here."""
        if self.state is State.RECOVERING:
            self._fail(why)

    # What to do

    def advance(self, now: float) -> Step | None:
        """Returns what to do now; None if nothing is to be done in this state."""
        if self.state is not State.RECOVERING:
            return None
        if now >= self._give_up_at:
            self._fail(self._out_of_time())
            return None
        if self._phase is _Phase.SETTLING:
            if self._starting:
                return Settle(self._give_up_at)
            self._phase = _Phase.WAITING
        if self._phase is _Phase.WAITING:
            if now < self._due:
                return Wait(min(self._due, self._give_up_at))
            self._phase = _Phase.CONNECTING
            self.number += 1
            self.attempts += 1
            self._attempt_at = now
            ends = self._give_up_at if self._is_last else self._last_at
            self._attempt_until = min(now + self._attempt_seconds, ends)
        if self._phase is _Phase.CONNECTING:
            return Connect(self.number, self._attempt_until)
        return Replay(self.number, self._give_up_at)

    @property
    def _last_at(self) -> float:
        return self._give_up_at - _LAST_PART * self._give_up_seconds

    @property
    def _is_last(self) -> bool:
        """Whether the newest attempt has begun in the last part of the time."""
        return self._attempt_at >= self._last_at

    def _is_connecting(self, number: int) -> bool:
        is_newest = self.state is State.RECOVERING and number == self.number
        return is_newest and self._phase is _Phase.CONNECTING

    def _is_replaying(self, number: int) -> bool:
        is_newest = self.state is State.RECOVERING and number == self.number
        return is_newest and self._phase is _Phase.REPLAYING

    def _retry(self, now: float, why: str) -> None:
        self._last = why
        self._due = now + self._policy.delay(self.attempts)
        if not self._is_last:
            self._due = min(self._due, max(now, self._last_at))
        self._phase = _Phase.WAITING

    def _end_if_final(self, code: int | None) -> None:
        if code == _GOING_AWAY:
            self._fail("the executor has ended, and its sessions with it")
        elif code in _BLAMES:
            self._fail("what ended the connection would end the next one too")

    def _out_of_time(self) -> str:
        tried = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        last = f"; the last: {self._last}" if self._last else ""
        return f"not resumed within {self._give_up_seconds:g} s ({tried}{last})"

    def _fail(self, why: str) -> None:
        self.state = State.FAILED
        self.failure = Failure(self._code, self._reason, why)
