"""The processes of a session: who gets which event, through any number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from executors.protocol.binary import decode_base64
from executors.protocol.errors import RpcError
from executors.protocol.methods import (
    PROCESS_ACKNOWLEDGE,
    PROCESS_CLOSED,
    PROCESS_EXITED,
    PROCESS_OUTPUT,
    PROCESS_READ,
    PROCESS_START,
    PROCESS_TERMINATE,
)
from executors.protocol.processes import (
    ProcessAcknowledge,
    ProcessClosed,
    ProcessExited,
    ProcessOutput,
    ProcessParams,
    ProcessReadParams,
    ProcessReadResult,
    ProcessStartParams,
    ProcessStartResult,
)
from harness.client.calls import Pending
from harness.client.connection import Connection
from harness.client.errors import BadReply, ClientError, ConnectionLost, OutputLost, SessionLost
from harness.client.events import ClosedEvent, Event, ExitedEvent, OutputEvent
from harness.client.flow import BufferLimits
from harness.client.order import Order
from harness.client.process import Process
from harness.client.session import Session

logger = logging.getLogger(__name__)

_TERMINATE_SECONDS: Final = 5.0
_PAGE_BYTES: Final = 1024 * 1024
_LEAST_PAGE_BYTES: Final = 4096
# An executor holds at least 1 MiB for each process before it has it wait.
_ACKNOWLEDGE_BYTES: Final = 256 * 1024
# Its own measure of a small piece of output.
_EVENT_BYTES: Final = 128


class _Follower:
    """What is known of a process that is under way."""

    __slots__ = ("order", "process", "unacknowledged")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.order = Order(process.process_id)
        # Bytes that have come in since the executor was last told.
        self.unacknowledged = 0


class Processes:
    """Starts processes, hands each its events in order, and catches up after a reconnection."""

    def __init__(self, session: Session, limits: BufferLimits) -> None:
        self._session = session
        self._limits = limits
        self._followers: dict[str, _Follower] = {}
        self._repairs: set[asyncio.Task[None]] = set()
        self._page_bytes = _PAGE_BYTES

    async def start(self, params: ProcessStartParams) -> Process:
        """
        :raises RpcError: as ``process/start``.
        :raises OutcomeUnknown: the connection was lost before the answer; what has started is terminated.
        """
        id = params.process_id
        process = Process(self._session, id, params.argv, self._session.gate, self._limits)
        pending = await self._session.submit(PROCESS_START, params)
        # Its events may come before the reply. An id in use is the executor's to refuse: it names another
        # process, which must not be ended for this one.
        follower = _Follower(process)
        if self._followers.setdefault(id, follower) is follower:
            self._session.recovery.start_sent(id)
            await self._started(follower, pending)
        else:
            _check_id(id, await pending)
            self._followers[id] = follower
        return process

    async def _started(self, follower: _Follower, pending: Pending[ProcessStartResult]) -> None:
        process = follower.process
        recovery = self._session.recovery
        try:
            _check_id(process.process_id, await pending)
        except BaseException as error:
            # Whoever closes the client may wait for it.
            called_off = ClientError(f"the start of {process!r} was called off")
            self._fail(follower, error if isinstance(error, Exception) else called_off)
            if isinstance(error, RpcError):
                recovery.start_answered(process.process_id)
            else:
                # Whether it starts is unknown, and nobody will have a handle to it.
                recovery.start_unanswered(process.process_id)
                self._clean_up(self._session.connection)
            raise
        else:
            recovery.start_answered(process.process_id)
        finally:
            self._session.start_settled()

    async def close(self) -> None:
        """Terminates those that still run."""
        for task in self._repairs:
            task.cancel()
        await asyncio.gather(*self._repairs, return_exceptions=True)
        if self._session.lost is None and (self._followers or self._session.recovery.doubtful):
            await self._terminate_all()

    async def _terminate_all(self) -> None:
        processes = [follower.process for follower in self._followers.values()]
        # The executor ends what is in doubt once it hears that the session is over.
        heard = self._session.connected("the end of the session")
        try:
            async with asyncio.timeout(_TERMINATE_SECONDS):
                ends = await asyncio.gather(heard, *map(_end, processes), return_exceptions=True)
        except TimeoutError:
            ends = [TimeoutError(f"no end within {_TERMINATE_SECONDS:g} s")]
        for error in ends:
            if isinstance(error, Exception) and not isinstance(error, ConnectionLost):
                logger.warning("a process may still run on %s: %s", self._session.url, error)

    # Events as they come

    def attach(self, connection: Connection) -> None:
        """See :class:`harness.client.session.Followed`."""
        connection.on(PROCESS_OUTPUT, self._output)
        connection.on(PROCESS_EXITED, self._exited)
        connection.on(PROCESS_CLOSED, self._closed)
        for follower in self._followers.values():
            # What comes live waits for what came before it.
            follower.order.begin_replay(resumed=True)

    def end(self, lost: SessionLost) -> None:
        """See :class:`harness.client.session.Followed`."""
        for follower in list(self._followers.values()):
            process = follower.process
            self._fail(follower, lost.of(f"process {process.process_id!r} ({process.argv!r})"))

    def _output(self, told: ProcessOutput) -> None:
        data = decode_base64(told.chunk, "chunk")
        self._event(told.process_id, OutputEvent(told.seq, told.stream, data))

    def _exited(self, told: ProcessExited) -> None:
        self._event(told.process_id, ExitedEvent(told.seq, told.exit_code, told.sandbox_denied))

    def _closed(self, told: ProcessClosed) -> None:
        self._event(told.process_id, ClosedEvent(told.seq))

    def _event(self, id: str, event: Event) -> None:
        follower = self._followers.get(id)
        if follower is None:
            logger.debug("event %d of process %r, which this client does not follow", event.seq, id)
            # It must not wait for a reader that it does not have.
            self._acknowledge(id, event.seq)
            return
        order = follower.order
        try:
            events = order.feed(event)
        except BadReply as error:
            self._fail(follower, error)
            return
        self._deliver(follower, events)
        if order.missing and not order.replaying:
            order.begin_replay(resumed=False)
            task = asyncio.get_running_loop().create_task(self._repair(follower, self._session.connection))
            self._repairs.add(task)
            task.add_done_callback(self._repairs.discard)

    def _deliver(self, follower: _Follower, events: Sequence[Event]) -> None:
        process = follower.process
        for event in events:
            process.deliver(event)
            follower.unacknowledged += _EVENT_BYTES
            if isinstance(event, OutputEvent):
                follower.unacknowledged += len(event.data)
        if follower.order.finished:
            self._forget(follower)
        if follower.unacknowledged >= _ACKNOWLEDGE_BYTES or follower.order.finished:
            follower.unacknowledged = 0
            self._acknowledge(process.process_id, follower.order.published)

    def _acknowledge(self, id: str, seq: int) -> None:
        connection = self._session.connection
        if self._session.acknowledges and connection.lost is None:
            connection.notify(PROCESS_ACKNOWLEDGE, ProcessAcknowledge(id, seq))

    def _fail(self, follower: _Follower, error: Exception) -> None:
        self._forget(follower)
        follower.process.fail(error)

    def _forget(self, follower: _Follower) -> None:
        id = follower.process.process_id
        if self._followers.get(id) is follower:
            del self._followers[id]

    # Events that are asked for

    async def replay(self, connection: Connection, progressed: Callable[[], None]) -> None:
        """See :class:`harness.client.session.Followed`."""
        self._clean_up(connection)
        for follower in self._followers.values():
            # The last one may have been lost, and then the process waits for it.
            follower.unacknowledged = 0
            self._acknowledge(follower.process.process_id, follower.order.published)
        try:
            waiting = list(self._followers.values())
            while waiting:
                if await self._read_all(connection, waiting):
                    progressed()
                waiting = [follower for follower in waiting if self._is_behind(follower)]
        except ConnectionLost:
            # Where no connection lasts for a whole page, nothing would ever come.
            self._page_bytes = max(_LEAST_PAGE_BYTES, self._page_bytes // 4)
        else:
            self._page_bytes = _PAGE_BYTES

    async def _read_all(self, connection: Connection, followers: Sequence[_Follower]) -> bool:
        """Reads a page of each; returns whether anything came."""
        came = False
        asked = deque[tuple[_Follower, Pending[ProcessReadResult]]]()
        try:
            for follower in followers:
                asked.append((follower, await connection.submit(PROCESS_READ, self._page(follower))))
            while asked:
                follower, pending = asked.popleft()
                try:
                    came |= self._take(follower, await pending)
                except (RpcError, BadReply, OutputLost) as error:
                    self._fail(follower, error)
        finally:
            for _, pending in asked:
                pending.abandon()
        return came

    async def _repair(self, follower: _Follower, connection: Connection) -> None:
        """Fetches events that were skipped; without them the process fails, and only it.

        If the connection is lost, the replay over the next one does so.
        """
        order, before = follower.order, follower.order.published
        with contextlib.suppress(ConnectionLost):
            while self._is_behind(follower):
                await self._read_all(connection, [follower])
                if order.missing and not order.replaying:
                    if order.published == before:
                        self._fail(follower, _skipped(follower))
                        return
                    before = order.published
                    order.begin_replay(resumed=False)

    def _is_behind(self, follower: _Follower) -> bool:
        is_followed = self._followers.get(follower.process.process_id) is follower
        return is_followed and follower.order.replaying

    def _page(self, follower: _Follower) -> ProcessReadParams:
        # How another executor tells that it has cut an answer short is not known.
        max_bytes = self._page_bytes if self._session.info.capabilities.session_resume else None
        return ProcessReadParams(follower.process.process_id, follower.order.replay_after, max_bytes)

    def _take(self, follower: _Follower, read: ProcessReadResult) -> bool:
        """
        :raises RpcError, BadReply, OutputLost: as :meth:`Order.replay`.
        """
        if not self._is_behind(follower):
            return False
        outputs = [
            OutputEvent(chunk.seq, chunk.stream, decode_base64(chunk.chunk, "chunk")) for chunk in read.chunks
        ]
        exit_code = read.exit_code if read.exited else None
        events = follower.order.replay(outputs, read.next_seq, exit_code, read.closed, read.sandbox_denied)
        self._deliver(follower, events)
        return bool(events or outputs)

    # What must not stay

    def _clean_up(self, connection: Connection) -> None:
        """Has ended what may have started without anybody's knowing."""
        for id in list(self._session.recovery.doubtful):
            with contextlib.suppress(ConnectionLost):
                pending = connection.post(PROCESS_TERMINATE, ProcessParams(id))
                pending.future.add_done_callback(partial(self._cleaned_up, id))

    def _cleaned_up(self, id: str, future: asyncio.Future[msgspec.Raw]) -> None:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, ConnectionLost):
            return
        if error is not None:
            logger.warning("process %r may run on %s: %s", id, self._session.url, error)
        self._session.recovery.cleaned_up(id)


async def _end(process: Process) -> None:
    await process.terminate()
    await process.wait()


def _skipped(follower: _Follower) -> BadReply:
    missing = follower.order.missing
    return BadReply(
        f"the executor skipped {missing.stop - missing.start} of the events of process "
        f"{follower.process.process_id!r} and does not know of them"
    )


def _check_id(id: str, result: ProcessStartResult) -> None:
    if result.process_id != id:
        raise BadReply(f"process {id!r} was to be started, and the executor tells of {result.process_id!r}")
