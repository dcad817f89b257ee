"""A client of one executor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final, TypeVar, Unpack

from executors.protocol.binary import decode_base64
from executors.protocol.environment import Empty, EnvironmentInfo, InitializeParams
from executors.protocol.errors import RpcError
from executors.protocol.methods import (
    INITIALIZE,
    INITIALIZED,
    PROCESS_CLOSED,
    PROCESS_EXITED,
    PROCESS_OUTPUT,
    PROCESS_READ,
    PROCESS_START,
    PROCESS_TERMINATE,
    Method,
)
from executors.protocol.processes import (
    EnvPolicy,
    ProcessClosed,
    ProcessExited,
    ProcessOutput,
    ProcessParams,
    ProcessReadParams,
    ProcessStartParams,
)
from harness.client.calls import Pending
from harness.client.connection import Connection
from harness.client.errors import (
    BadReply,
    ClientError,
    CommandDenied,
    CommandFailed,
    ConnectFailed,
    ConnectionLost,
)
from harness.client.events import ClosedEvent, Completed, Event, ExitedEvent, OutputEvent
from harness.client.files import Files
from harness.client.flow import BufferLimits
from harness.client.links import Link, LinkOptions, open_stdio, open_websocket
from harness.client.order import Order
from harness.client.process import Process, StartOptions
from harness.client.sandbox import encode, told_apart

P = TypeVar("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

_TERMINATE_SECONDS: Final = 5.0
_LINK_OPTIONS: Final = LinkOptions()
_BUFFER_LIMITS: Final = BufferLimits()


class Client:
    """One session with an executor; made by :func:`connect` or :func:`connect_stdio`.

    It belongs to one event loop. Any number of calls may be under way at a time.
    """

    info: EnvironmentInfo
    """Where commands will run; an older executor tells only its shell and working directory."""
    session_id: str
    connection: Connection

    def __init__(self, url: str, limits: BufferLimits) -> None:
        self.url = url
        self.files = Files(self)
        self._limits = limits
        self._processes: dict[str, tuple[Process, Order]] = {}
        self._repairs: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"

    def attach(self, link: Link) -> Connection:
        """Makes *link* the one that carries the calls; returns who receives from it."""
        self.connection = Connection(link, self.url, self._connection_lost)
        self.connection.on(PROCESS_OUTPUT, self._process_output)
        self.connection.on(PROCESS_EXITED, self._process_exited)
        self.connection.on(PROCESS_CLOSED, self._process_closed)
        return self.connection

    async def initialize(self, client_name: str, resume_session_id: str | None = None) -> None:
        """Makes the handshake; :func:`connect` has done so."""
        result = await self.call(INITIALIZE, InitializeParams(client_name, resume_session_id))
        self.session_id = result.session_id
        self.info = result.environment_info
        self.connection.notify(INITIALIZED, Empty())

    async def call(self, method: Method[P, R], params: P) -> R:
        """Makes one call of the protocol.

        :raises RpcError: the executor refused.
        :raises BadReply: the reply has another form than the method's.
        :raises ConnectionLost: no reply can come any more.
        """
        return await self.connection.call(method, params)

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        """Sends the request of a call; await the returned object for the result."""
        return await self.connection.submit(method, params)

    async def start(self, argv: Sequence[str], **options: Unpack[StartOptions]) -> Process:
        """Starts a program; there is no shell in between. See :class:`StartOptions`.

        :raises RpcError: INVALID_PARAMS for a bad *cwd* or an empty *argv*, INTERNAL_ERROR with the
            operating system's text if it cannot be started.
        :raises SandboxRefused: the executor does not enforce the intent; nothing was started.
        """
        params = self._start_params(argv, options)
        id = params.process_id
        process = Process(self, id, params.argv, self.connection.gate, self._limits)
        # Its events may come before the reply. An id in use is the executor's to refuse.
        fresh = id not in self._processes
        if fresh:
            self._processes[id] = process, Order(id)
        try:
            with told_apart(params.sandbox is not None):
                await self.call(PROCESS_START, params)
        except asyncio.CancelledError:
            # Whether it starts is unknown, and nobody will have a handle to it. Where the id was in
            # use, it names another process.
            if fresh:
                self._processes.pop(id, None)
                with contextlib.suppress(ConnectionLost):
                    self.connection.post(PROCESS_TERMINATE, ProcessParams(id)).abandon()
            raise
        except BaseException:
            if fresh:
                self._processes.pop(id, None)
            raise
        if not fresh:
            self._processes[id] = process, Order(id)
        return process

    async def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        check: bool = False,
        **options: Unpack[StartOptions],
    ) -> Completed:
        """Runs a program to its end and returns its exit code and output.

        It is terminated if this call is cancelled.

        :param input: all that it can read from its standard input.
        :raises CommandFailed: with *check*, its exit code is not 0.
        :raises CommandDenied: with *check*, it failed since its sandbox kept it from something.
        """
        if input is not None:
            options.setdefault("stdin", True)
        async with await self.start(argv, **options) as process:
            completed = await process.communicate(input)
        if check and completed.exit_code != 0:
            error = CommandDenied if completed.sandbox_denied else CommandFailed
            raise error(process.argv, completed.exit_code, completed.stdout, completed.stderr)
        return completed

    async def close(self) -> None:
        """Terminates the processes that still run and closes the connection."""
        for task in self._repairs.values():
            task.cancel()
        await asyncio.gather(*self._repairs.values(), return_exceptions=True)
        if self.connection.lost is None and self._processes:
            await self._terminate_all()
        await self.connection.close()

    async def _terminate_all(self) -> None:
        processes = [process for process, _ in self._processes.values()]
        try:
            async with asyncio.timeout(_TERMINATE_SECONDS):
                ends = await asyncio.gather(*map(_end, processes), return_exceptions=True)
        except TimeoutError:
            ends = [TimeoutError(f"no end within {_TERMINATE_SECONDS:g} s")]
        for error in ends:
            if isinstance(error, Exception) and not isinstance(error, ConnectionLost):
                logger.warning("a process may still run on %s: %s", self.url, error)

    def _start_params(self, argv: Sequence[str], options: StartOptions) -> ProcessStartParams:
        cwd = options.get("cwd")
        if cwd is None:
            cwd = self.info.cwd
            if cwd is None:
                raise ClientError("give `cwd`: the executor does not tell its working directory")
        env = options.get("env")
        policy = options.get("env_policy")
        if env is None and policy is None:
            policy = EnvPolicy("all", ignore_default_excludes=True)
        sandbox = options.get("sandbox")
        return ProcessStartParams(
            process_id=options.get("process_id") or f"p{os.urandom(8).hex()}",
            argv=list(argv),
            cwd=str(cwd),
            env=dict(env or {}),
            tty=options.get("tty", False),
            pipe_stdin=options.get("stdin", False) or None,
            arg0=options.get("arg0"),
            env_policy=policy,
            sandbox=None if sandbox is None else encode(sandbox),
            enforce_managed_network=options.get("enforce_managed_network"),
        )

    def _process_output(self, told: ProcessOutput) -> None:
        data = decode_base64(told.chunk, "chunk")
        self._event(told.process_id, OutputEvent(told.seq, told.stream, data))

    def _process_exited(self, told: ProcessExited) -> None:
        self._event(told.process_id, ExitedEvent(told.seq, told.exit_code, told.sandbox_denied))

    def _process_closed(self, told: ProcessClosed) -> None:
        self._event(told.process_id, ClosedEvent(told.seq))

    def _event(self, id: str, event: Event) -> None:
        known = self._processes.get(id)
        if known is None:
            logger.debug("event %d of process %r, which this client does not follow", event.seq, id)
            return
        process, order = known
        self._deliver(process, order, order.feed(event))
        if order.missing and id not in self._repairs:
            task = asyncio.get_running_loop().create_task(self._repair(process, order))
            self._repairs[id] = task

    def _deliver(self, process: Process, order: Order, events: Sequence[Event]) -> None:
        for event in events:
            process.deliver(event)
        if order.finished:
            self._processes.pop(process.process_id, None)

    async def _repair(self, process: Process, order: Order) -> None:
        """Fetches events that were skipped; without them the process fails, and only it."""
        id = process.process_id
        try:
            while order.missing:
                params = ProcessReadParams(id, after_seq=order.published)
                read = await self.call(PROCESS_READ, params)
                outputs = [
                    OutputEvent(chunk.seq, chunk.stream, decode_base64(chunk.chunk, "chunk"))
                    for chunk in read.chunks
                ]
                before = order.published
                exit_code = read.exit_code if read.exited else None
                events = order.replay(outputs, read.next_seq, exit_code, read.closed, read.sandbox_denied)
                self._deliver(process, order, events)
                if order.missing and order.published == before:
                    raise BadReply(
                        f"the executor skipped {order.missing} of the events of process {id!r} "
                        f"and does not know of them"
                    )
        except (RpcError, ClientError) as error:
            self._processes.pop(id, None)
            process.fail(error)
        finally:
            del self._repairs[id]

    def _connection_lost(self, lost: ConnectionLost) -> None:
        processes, self._processes = self._processes, {}
        for process, _ in processes.values():
            waiting_for = f"process {process.process_id!r} ({process.argv!r})"
            process.fail(ConnectionLost(lost.url, lost.code, lost.reason, waiting_for))


async def _end(process: Process) -> None:
    await process.terminate()
    await process.wait()


@asynccontextmanager
async def connect(
    url: str,
    *,
    client_name: str = "crossexec",
    options: LinkOptions = _LINK_OPTIONS,
    limits: BufferLimits = _BUFFER_LIMITS,
) -> AsyncIterator[Client]:
    """Connects to the executor that listens on *url*, ``ws://HOST:PORT`` or ``unix:///PATH``.

    On leaving, the processes that this client started and that still run are terminated.

    :raises ConnectFailed: nobody listens there, or the handshake failed.
    """
    client = Client(url, limits)
    await open_websocket(url, client.attach, options)
    async with _session(client, client_name, options):
        yield client


@asynccontextmanager
async def connect_stdio(
    argv: Sequence[str],
    *,
    client_name: str = "crossexec",
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stderr: IO[bytes] | None = None,
    options: LinkOptions = _LINK_OPTIONS,
    limits: BufferLimits = _BUFFER_LIMITS,
) -> AsyncIterator[Client]:
    """Starts *argv*, an executor that speaks over its standard streams, for this client alone.

    :param env: of the executor; None for this process's own.
    :param cwd: of the executor, a native path; None for this process's own.
    :param stderr: where the executor's standard error goes; None for this process's own.
    :raises ConnectFailed: it cannot be started, or the handshake failed.
    """
    client = Client(f"stdio:{argv[0]}", limits)
    opened = open_stdio(argv, client.attach, options, env=env, cwd=cwd, stderr=stderr)
    async with opened, _session(client, client_name, options):
        yield client


@asynccontextmanager
async def _session(client: Client, client_name: str, options: LinkOptions) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(options.open_seconds):
            await client.initialize(client_name)
    except BaseException as error:
        await client.connection.close(orderly=False)
        if isinstance(error, TimeoutError):
            raise ConnectFailed(
                f"handshake with {client.url} failed: no reply to initialize in {options.open_seconds:g} s"
            ) from None
        if isinstance(error, (RpcError, ClientError)):
            raise ConnectFailed(f"handshake with {client.url} failed: {error}") from error
        raise
    try:
        yield
    finally:
        await client.close()
