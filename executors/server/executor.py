"""The executor as a whole: listens, owns every connection's tasks, and shuts down in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from executors.process import SystemBackend
from executors.process.base import Backend
from executors.sandbox import make_sandboxes
from executors.sandbox.choice import Sandboxes
from executors.sandbox.system import places
from executors.server.confinements import Confinements
from executors.server.connection import Connection
from executors.server.environment import PLATFORM
from executors.server.file_calls import FileCalls
from executors.server.sandboxed_files import SandboxedFiles
from executors.server.session import Session
from executors.server.sessions import DEFAULT_RETENTION_SECONDS, Sessions
from executors.server.workers import Workers
from executors.transport import unix, websocket
from executors.transport.base import Receiver, ReceiverFactory, Transport
from executors.transport.stdio import StdioTransport

_GOING_AWAY = 1001
_SHUTTING_DOWN = "the executor is shutting down"
_CLOSE_SECONDS = 2.0


class Executor:
    """Makes a :class:`Connection` of every transport and waits for all of their tasks.

    :param retention_seconds: how long a session may be without a connection.
    """

    def __init__(
        self,
        backend: Backend,
        workers: Workers,
        sandboxes: Sandboxes,
        tasks: asyncio.TaskGroup,
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
    ) -> None:
        self._backend = backend
        self._sandboxes = sandboxes
        self._places = places()
        self._workers = workers
        self._tasks = tasks
        self._connections: set[Connection] = set()
        self._closing = False
        self.sessions = Sessions(self._make_session, self._start_task, retention_seconds)
        self.unused = asyncio.Event()
        """Set once a connection has ended and no other is left."""

    def connect(self, transport: Transport) -> Receiver:
        """The receiver factory of the transports."""
        connection = Connection(transport, self.sessions, self._make_files, self._start_task, self._lost)
        self._connections.add(connection)
        self.unused.clear()
        if self._closing:
            # Its handshake was under way when the others were told.
            connection.close(_GOING_AWAY, _SHUTTING_DOWN)
        return connection

    async def close_connections(self) -> None:
        """Tells every peer; one that does not take the close within 2 s is dropped.

        When it returns, the tasks that end all sessions have been started.
        """
        self._closing = True
        self.sessions.close()
        if not self._connections:
            return
        for connection in list(self._connections):
            connection.close(_GOING_AWAY, _SHUTTING_DOWN)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.unused.wait()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort()
            await self.unused.wait()

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self.unused.set()

    def _make_session(self) -> Session:
        return Session(self._backend, Confinements(self._sandboxes, self._places))

    def _make_files(self) -> FileCalls:
        # What runs in the sandbox of a process could take over a helper that shares it.
        confinements = Confinements(self._sandboxes, self._places)
        return FileCalls(self._workers, PLATFORM, SandboxedFiles(self._backend, self._workers, confinements))

    def _start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._tasks.create_task(coroutine)


@asynccontextmanager
async def open_executor(
    retention_seconds: float = DEFAULT_RETENTION_SECONDS,
) -> AsyncIterator[Executor]:
    """Everything but the transports; at the end no process, task or thread is left.

    Connections must have been closed before the end.

    :param retention_seconds: how long a session may be without a connection.
    """
    loop = asyncio.get_running_loop()
    backend = SystemBackend(loop)
    workers = Workers()
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            executor = Executor(backend, workers, make_sandboxes(backend), tasks, retention_seconds)
            try:
                yield executor
            except Exception as error:
                # Kept out of the group that a task group would make of it.
                failure = error
            finally:
                await executor.close_connections()
        if failure is not None:
            raise failure
    finally:
        workers.close()
        await backend.close()


async def serve_websocket(
    url: str,
    limits: websocket.Limits,
    stop: asyncio.Event,
    announce: Callable[[str], None],
    retention_seconds: float = DEFAULT_RETENTION_SECONDS,
    authorize: websocket.Authorize | None = None,
) -> None:
    """Serves on *url*, ``ws://IP:PORT`` or ``unix:///PATH``, until *stop* is set.

    :param announce: gets the URL with the port that was found, once connections are taken.
    :param retention_seconds: how long a session may be without a connection.
    :param authorize: decides who may connect; None to let everybody in.
    :raises ValueError: *url* is malformed.
    :raises OSError: the address cannot be bound.
    """
    async with open_executor(retention_seconds) as executor:
        listen = unix.serve if url.startswith(unix.SCHEME) else _serve_tcp
        async with listen(url, limits, executor.connect, authorize) as found:
            announce(found)
            await stop.wait()


@asynccontextmanager
async def _serve_tcp(
    url: str,
    limits: websocket.Limits,
    make_receiver: ReceiverFactory,
    authorize: websocket.Authorize | None,
) -> AsyncIterator[str]:
    server, found = await websocket.serve(url, limits, make_receiver, authorize)
    try:
        yield found
    finally:
        server.close()


async def serve_stdio(read_fd: int, write_fd: int, line_bytes: int, stop: asyncio.Event) -> None:
    """Serves one peer over two descriptors until it ends or *stop* is set."""
    async with open_executor() as executor:
        transport = StdioTransport(read_fd, write_fd, line_bytes, executor.connect)
        async with asyncio.TaskGroup() as either:
            waits = [either.create_task(executor.unused.wait()), either.create_task(stop.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
    # A peer that has ended its side may still read: what was answered before must get there.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await transport.written.wait()
