"""A session with an executor, over one connection after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from executors.protocol.environment import Empty, EnvironmentInfo, InitializeParams, InitializeResult
from executors.protocol.errors import RpcError
from executors.protocol.methods import INITIALIZE, INITIALIZED, Method
from harness.client.calls import Caller, Pending
from harness.client.connection import Connection
from harness.client.errors import (
    BadReply,
    ClientError,
    ConnectFailed,
    ConnectionLost,
    ExecutorKeyChanged,
    HandleLost,
    Interrupted,
    OutcomeUnknown,
    SessionLost,
)
from harness.client.flow import ReadGate
from harness.client.links import Link, MakeReceiver
from harness.client.recovery import (
    Connect,
    Every,
    Recovery,
    RecoveryOptions,
    Replay,
    RetryPolicy,
    State,
    Step,
)

P = TypeVar("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

OpenLink = Callable[[MakeReceiver], Awaitable[Link]]
"""Opens one more link to the executor, to be read by what its argument makes.

It raises :class:`ConnectFailed` if there is none to be had.
"""

_QUIET_SECONDS: Final = 1.0
"""A recovery that takes longer is told to whoever reads the log."""


class Followed(Protocol):
    """What lives in a session."""

    def attach(self, connection: Connection) -> None:
        """Takes the notifications of a new connection, from its beginning."""

    async def replay(self, connection: Connection, progressed: Callable[[], None]) -> None:
        """Catches up with what happened without a connection; ends early if this one is lost.

        :param progressed: to be called when something has come.
        """

    def end(self, lost: SessionLost) -> None:
        """Nothing more can come."""


class Session:
    """Makes calls over the present connection, and gets another one when it is lost.

    :param url: for messages to people.
    :param open_link: how to connect.
    :param attempt_seconds: for one connection and its handshake.
    :param can_resume: whether *open_link* leads to the same executor again.
    :param retry: when to try again; None for always after the time that *options* give.
    """

    id: str
    info: EnvironmentInfo
    recovery: Recovery

    def __init__(
        self,
        url: str,
        client_name: str,
        open_link: OpenLink,
        options: RecoveryOptions,
        *,
        attempt_seconds: float,
        can_resume: bool = True,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.url = url
        self.gate = ReadGate()
        self.acknowledges = False
        """Whether the executor waits to hear what has come in."""
        self.lost: SessionLost | None = None
        self._client_name = client_name
        self._open_link = open_link
        self._options = options
        self._retry = retry or Every(options.retry_seconds)
        self._attempt_seconds = attempt_seconds
        self._can_resume = can_resume and options.enabled
        self._followed: Followed
        self._last: Connection | None = None
        # The same while calls may go over it.
        self._ready: Connection | None = None
        self._received_before = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def open(self, followed: Followed) -> None:
        """Makes the first connection.

        :raises ConnectFailed: none came about, or the handshake failed.
        """
        self._followed = followed
        retention = self._options.retention_seconds if self._can_resume else 0.0
        params = InitializeParams(
            self._client_name,
            retention_ms=None if retention is None else round(retention * 1000),
            acknowledges=True if self._can_resume else None,
        )
        try:
            connection, result = await self._connect(1, params)
        except ConnectFailed:
            raise
        except TimeoutError:
            raise ConnectFailed(
                f"handshake with {self.url} failed: no reply to initialize in {self._attempt_seconds:g} s"
            ) from None
        except (RpcError, ClientError) as error:
            raise ConnectFailed(f"handshake with {self.url} failed: {error}") from error
        self._last = connection
        self.id = result.session_id
        self.info = result.environment_info
        self.acknowledges = self._can_resume and self.info.capabilities.process_acknowledge
        self.recovery = Recovery(
            self._retry,
            self._options.give_up_seconds,
            self._attempt_seconds,
            resumable=self._can_resume and result.session_retention_ms != 0,
        )
        self._be_ready()
        if connection.lost is not None:
            # Before there was anything to tell of it.
            self._connection_lost(1, connection, connection.lost)

    @property
    def connection(self) -> Connection:
        """The present connection, or the last one."""
        assert self._last is not None
        return self._last

    async def connected(self, waiting_for: str) -> Connection:
        """Waits for the connection over which calls go.

        :raises SessionLost: there is none any more.
        """
        while self._ready is None:
            if self.lost is not None:
                raise self.lost.of(waiting_for)
            future = asyncio.get_running_loop().create_future()
            self._waiters.add(future)
            try:
                await future
            finally:
                self._waiters.discard(future)
        return self._ready

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        """See :meth:`Caller.submit`."""
        while True:
            connection = self._ready or await self.connected(method.name)
            # Only what was sent can have been done: this is sent over the next connection.
            with contextlib.suppress(ConnectionLost):
                return await connection.submit(method, params)

    async def call(self, method: Method[P, R], params: P) -> R:
        """See :meth:`Caller.call`."""
        return await (await self.submit(method, params))

    async def repeated(self, method: Method[P, R], params: P) -> R:
        """Makes a call again until it is answered; it must not matter how often it is carried out.

        :raises SessionLost: it cannot be made any more.
        """
        while True:
            try:
                return await self.call(method, params)
            except SessionLost:
                raise
            except ConnectionLost:
                continue

    async def one_connection(self) -> Caller:
        """See :meth:`Caller.one_connection`."""
        return _OneConnection(self, await self.connected("a connection"))

    async def wait_lost(self) -> SessionLost:
        """Waits until the session is lost for good, or closed, and returns why."""
        await self._over.wait()
        assert self.lost is not None
        return self.lost

    async def close(self) -> None:
        """Ends the session here and at the executor, and waits until the connection is gone."""
        self.recovery.close()
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        finally:
            await self.connection.close()
            self._follow_state()

    def start_settled(self) -> None:
        """To be called when a start has been answered, or will not be: a recovery may wait for it."""
        self._changed.set()

    # The connections

    async def _connect(self, number: int, params: InitializeParams) -> tuple[Connection, InitializeResult]:
        """
        :raises ConnectFailed: no connection came about.
        :raises ConnectionLost: it did, and was lost again.
        :raises RpcError, BadReply: as the answer to the handshake.
        :raises TimeoutError: there was none in time.
        """
        made: list[Connection] = []

        def make_receiver(link: Link) -> Connection:
            def on_lost(lost: ConnectionLost) -> None:
                self._connection_lost(number, connection, lost)

            connection = Connection(link, self.url, self.gate, on_lost, self._explain)
            made.append(connection)
            self._followed.attach(connection)
            return connection

        try:
            await self._open_link(make_receiver)
            (connection,) = made
            async with asyncio.timeout(self._attempt_seconds):
                result = await connection.call(INITIALIZE, params)
            if connection.lost is None:
                connection.notify(INITIALIZED, Empty())
        except BaseException:
            # No close frame: it would end the session, which may still be resumed.
            for connection in made:
                await connection.close(orderly=False)
            raise
        return connection, result

    def _connection_lost(self, number: int, connection: Connection, lost: ConnectionLost) -> None:
        if connection is not self._last:
            # Whoever makes the handshake finds out.
            return
        now = asyncio.get_running_loop().time()
        useful = connection.received > self._received_before
        self.recovery.lost(number, now, lost.code, lost.reason, useful=useful)
        self._follow_state()

    def _explain(self, lost: ConnectionLost, pending: Pending[Any]) -> ConnectionLost:
        if pending.method is INITIALIZE:
            return ConnectionLost(lost.url, lost.code, lost.reason, pending.method.name)
        if pending.changes:
            return OutcomeUnknown(lost.url, lost.code, lost.reason, pending.method.name)
        if self.lost is not None:
            return self.lost.of(pending.method.name)
        return Interrupted(lost.url, lost.code, lost.reason, pending.method.name)

    def _be_ready(self) -> None:
        self._ready = self.connection
        self._received_before = self.connection.received
        self._wake_waiters()

    def _follow_state(self) -> None:
        """To be called after the state of the recovery may have changed."""
        state = self.recovery.state
        self._changed.set()
        if state is not State.CONNECTED:
            self._ready = None
        if state is State.RECOVERING and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._recover())
        if state in (State.FAILED, State.CLOSED) and self.lost is None:
            self.lost = self._session_lost()
            self._over.set()
            self._followed.end(self.lost)
            self._wake_waiters()

    def _session_lost(self) -> SessionLost:
        failure, last = self.recovery.failure, self.connection.lost
        if failure is not None:
            return SessionLost(self.url, failure.code, failure.reason, failure.why)
        code, reason = (None, "") if last is None else (last.code, last.reason)
        return SessionLost(self.url, code, reason, "this client was closed")

    def _wake_waiters(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)

    # The recovery

    async def _recover(self) -> None:
        core = self.recovery
        loop = asyncio.get_running_loop()
        lost = self.connection.lost
        logger.info("%s: resuming session %s", lost, self.id)
        told = False
        try:
            while (step := core.advance(loop.time())) is not None:
                await self._take(step)
                if not told and core.state is State.RECOVERING and self._lasts() >= _QUIET_SECONDS:
                    told = True
                    seconds = self._options.give_up_seconds
                    logger.warning("%s; trying for %g s to resume its session", lost, seconds)
            if core.state is State.CONNECTED:
                level = logging.WARNING if told else logging.INFO
                logger.log(level, "session %s of %s resumed after %.3f s", self.id, self.url, self._lasts())
        except asyncio.CancelledError:
            core.close()
            raise
        except Exception as error:
            logger.exception("recovery of session %s", self.id)
            core.give_up(f"an unexpected error of this client: {type(error).__name__}: {error}")
        finally:
            self._task = None
            self._follow_state()
            if core.state is State.FAILED and self.connection.lost is None:
                # Given up in the middle of a replay.
                self.connection.abort()

    def _lasts(self) -> float:
        return asyncio.get_running_loop().time() - self.recovery.lost_at

    async def _take(self, step: Step) -> None:
        if isinstance(step, Connect):
            await self._attempt(step)
        elif isinstance(step, Replay):
            await self._replay(step)
        else:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(step.until):
                    await self._changed.wait()

    async def _attempt(self, step: Connect) -> None:
        core, number = self.recovery, step.number
        loop = asyncio.get_running_loop()
        params = InitializeParams(
            self._client_name, resume_session_id=self.id, acknowledges=self.acknowledges or None
        )
        try:
            async with asyncio.timeout_at(step.until):
                connection, result = await self._connect(number, params)
        except TimeoutError:
            core.attempt_failed(number, loop.time(), "no answer to the handshake in time")
        except RpcError as error:
            core.refused(number, loop.time(), error.code, error.message)
        except (BadReply, ExecutorKeyChanged) as error:
            core.broken(number, str(error))
        except ConnectionLost as lost:
            core.lost(number, loop.time(), lost.code, lost.reason)
        except (ClientError, OSError) as error:
            core.attempt_failed(number, loop.time(), str(error))
        else:
            if result.session_id != self.id:
                # It may be somebody else's, and must go on.
                core.broken(number, f"the executor resumed session {result.session_id!r} instead")
                await connection.close(orderly=False)
            elif connection.lost is not None:
                core.lost(number, loop.time(), connection.lost.code, connection.lost.reason)
            else:
                self._last = connection
                core.resumed(number)

    async def _replay(self, step: Replay) -> None:
        core, number, connection = self.recovery, step.number, self.connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(step.until) as limit:

                def progressed() -> None:
                    core.progressed(number, loop.time())
                    until = core.advance(loop.time())
                    if isinstance(until, Replay):
                        limit.reschedule(until.until)

                await self._followed.replay(connection, progressed)
        except TimeoutError:
            # The next step is to give up.
            return
        if connection.lost is None:
            core.replayed(number)
        if core.state is State.CONNECTED:
            connection.note(f"session {self.id} resumed, attempt {core.attempts}")
            self._be_ready()


class _OneConnection:
    """Makes calls over one connection of a session, as long as it lasts."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection

    @property
    def info(self) -> EnvironmentInfo:
        return self._session.info

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        try:
            return await self._connection.submit(method, params)
        except ConnectionLost as lost:
            if self._session.lost is not None:
                raise self._session.lost.of(method.name) from None
            raise HandleLost(lost.url, lost.code, lost.reason, method.name) from None

    async def call(self, method: Method[P, R], params: P) -> R:
        return await (await self.submit(method, params))

    async def one_connection(self) -> Caller:
        return self
