"""The sessions of an executor: opened, resumed, kept for a while and ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from executors.protocol.environment import InitializeParams
from executors.server.retention import Left, Retention, to_ms
from executors.server.session import Session

DEFAULT_RETENTION_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attachment:
    """A session in the hands of one connection.

    :ivar generation: the number of that connection in the session.
    :ivar retention_ms: how long the session waits after it.
    """

    session: Session
    generation: int
    retention_ms: int


class Sessions:
    """Owns every session, from the first connection to the last process.

    :param make_session: makes one that nobody is attached to.
    :param start_task: runs a coroutine under an owner that waits for it.
    :param limit_seconds: how long a session may be without a connection.
    """

    def __init__(
        self,
        make_session: Callable[[], Session],
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        limit_seconds: float = DEFAULT_RETENTION_SECONDS,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._make_session = make_session
        self._start_task = start_task
        self._retention = Retention(limit_seconds)
        self._sessions: dict[str, Session] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    def __len__(self) -> int:
        return len(self._sessions)

    def attach(self, params: InitializeParams, send: Callable[[bytes], None]) -> Attachment:
        """Opens a session, or resumes the one that *params* names.

        :param send: sends a notification to the client.
        :raises RpcError: as :meth:`Retention.open` and :meth:`Retention.resume`.
        """
        if params.resume_session_id is None:
            session = self._make_session()
            generation = self._retention.open(session.session_id, params.retention_ms)
            self._sessions[session.session_id] = session
        else:
            generation = self._retention.resume(
                params.resume_session_id, params.retention_ms, self._loop.time()
            )
            session = self._sessions[params.resume_session_id]
            self._set_timer()
        session.attach(send, bool(params.acknowledges))
        return Attachment(session, generation, to_ms(self._retention.retention(session.session_id)))

    def leave(self, attachment: Attachment, in_order: bool) -> bool:
        """The connection of *attachment* has ended; nothing of it reaches the session any more.

        :param in_order: its client has said that it needs the session no more.
        :returns: whether the session is over: then the caller has to close it, when its calls have ended.
        """
        session = attachment.session
        left = self._retention.leave(
            session.session_id,
            attachment.generation,
            self._loop.time(),
            in_order=in_order or self._closing,
            idle=not len(session.processes),
        )
        if left is Left.NOTHING:
            return False
        session.detach()
        if left is Left.OVER:
            del self._sessions[session.session_id]
            return True
        surplus = self._retention.surplus()
        if surplus:
            _log.warning("%d sessions without processes were ended before their time", len(surplus))
            self._end(surplus)
        self._set_timer()
        return False

    def close(self) -> None:
        """Ends the sessions that wait; from now on, none does."""
        self._closing = True
        self._end(self._retention.end_waiting())
        self._set_timer()

    def _expire(self) -> None:
        self._timer = None
        self._end(self._retention.expired(self._loop.time()))
        self._set_timer()

    def _end(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            self._start_task(self._sessions.pop(session_id).close())

    def _set_timer(self) -> None:
        """Sees to it that there is one timer, for what expires first."""
        deadline = self._retention.next_deadline
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._expire)
