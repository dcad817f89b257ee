"""A client of one executor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final, TypeVar, Unpack

from executors.protocol.environment import EnvironmentInfo
from executors.protocol.methods import Method
from executors.protocol.processes import EnvPolicy, ProcessStartParams
from harness.bearer import BearerAuth
from harness.client.calls import Caller, Pending
from harness.client.connection import Connection
from harness.client.errors import ClientError, CommandDenied, CommandFailed, SessionLost
from harness.client.events import Completed
from harness.client.files import Files
from harness.client.flow import BufferLimits
from harness.client.links import Link, LinkOptions, MakeReceiver, open_stdio, open_websocket
from harness.client.process import Process, StartOptions
from harness.client.processes import Processes
from harness.client.recovery import RecoveryOptions, RetryPolicy, State
from harness.client.sandbox import encode, told_apart
from harness.client.session import OpenLink, Session

P = TypeVar("P")
R = TypeVar("R")

_LINK_OPTIONS: Final = LinkOptions()
_BUFFER_LIMITS: Final = BufferLimits()
_RECOVERY_OPTIONS: Final = RecoveryOptions()


class Client:
    """One session with an executor; made by :func:`connect` or :func:`connect_stdio`.

    It belongs to one event loop. Any number of calls may be under way at a time. When its connection
    is lost it gets another one, while new calls wait; see :class:`harness.client.recovery.RecoveryOptions`.
    """

    def __init__(self, session: Session, limits: BufferLimits) -> None:
        self._session = session
        self._processes = Processes(session, limits)
        self.url = session.url
        self.files = Files(self)

    def __repr__(self) -> str:
        return f"<Client of {self.url}>"

    @property
    def info(self) -> EnvironmentInfo:
        """Where commands will run; an older executor tells only its shell and working directory."""
        return self._session.info

    @property
    def session_id(self) -> str:
        return self._session.id

    @property
    def connection(self) -> Connection:
        """The present connection, or the last one."""
        return self._session.connection

    @property
    def state(self) -> State:
        """How the session stands."""
        return self._session.recovery.state

    @property
    def generation(self) -> int:
        """How many connections the session has had; 1 until the first is lost."""
        return self._session.recovery.generation

    @property
    def recovered(self) -> int:
        """How often the session came back after a loss."""
        return self._session.recovery.recovered

    async def wait_lost(self) -> SessionLost:
        """Waits until the session is lost for good, or this client closed, and returns why."""
        return await self._session.wait_lost()

    async def open(self) -> None:
        """Connects; :func:`connect` has done so.

        :raises ConnectFailed: nobody listens there, or the handshake failed.
        """
        await self._session.open(self._processes)

    async def call(self, method: Method[P, R], params: P) -> R:
        """Makes one call of the protocol.

        While the connection is being recovered it waits, however long that takes: a caller who does not want
        to gives it a time limit (:func:`asyncio.timeout`).

        :raises RpcError: the executor refused.
        :raises BadReply: the reply has another form than the method's.
        :raises Interrupted: the connection was lost meanwhile; the call changes nothing.
        :raises OutcomeUnknown: the connection was lost meanwhile; the call may have been carried out.
        :raises SessionLost: the session is lost for good.
        """
        return await self._session.call(method, params)

    async def submit(self, method: Method[P, R], params: P) -> Pending[R]:
        """Sends the request of a call; await the returned object for the result."""
        return await self._session.submit(method, params)

    async def one_connection(self) -> Caller:
        """See :meth:`harness.client.calls.Caller.one_connection`."""
        return await self._session.one_connection()

    async def start(self, argv: Sequence[str], **options: Unpack[StartOptions]) -> Process:
        """Starts a program; there is no shell in between. See :class:`StartOptions`.

        :raises RpcError: INVALID_PARAMS for a bad *cwd* or an empty *argv*, INTERNAL_ERROR with the
            operating system's text if it cannot be started.
        :raises SandboxRefused: the executor does not enforce the intent; nothing was started.
        :raises OutcomeUnknown: the connection was lost before the answer. Should it have started, it is
            terminated as soon as there is another connection.
        """
        params = self._start_params(argv, options)
        with told_apart(params.sandbox is not None):
            return await self._processes.start(params)

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
        """Terminates the processes that still run and closes the connection.

        If it is just being recovered, this waits for it, though not for long; without one the executor
        ends them itself, when the time is over that it keeps a session.
        """
        try:
            await self._processes.close()
        finally:
            await self._session.close()

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


@asynccontextmanager
async def connect(
    url: str,
    *,
    client_name: str = "crossexec",
    options: LinkOptions = _LINK_OPTIONS,
    limits: BufferLimits = _BUFFER_LIMITS,
    recovery: RecoveryOptions = _RECOVERY_OPTIONS,
    open_link: OpenLink | None = None,
    retry: RetryPolicy | None = None,
    bearer: BearerAuth | None = None,
) -> AsyncIterator[Client]:
    """Connects to the executor that listens on *url*, ``ws://HOST:PORT`` or ``unix:///PATH``.

    On leaving, the processes that this client started and that still run are terminated.

    :param recovery: what happens when a connection is lost.
    :param open_link: how to connect instead; *url* is for messages only then.
    :param retry: when to try again to get a connection back; None for always after the time that *recovery*
        gives.
    :param bearer: shows the token that the executor asks for, to *url* only; None for none.
    :raises ConnectFailed: nobody listens there, or the handshake failed.
    """

    async def open_url(make_receiver: MakeReceiver) -> Link:
        return await open_websocket(url, make_receiver, options, bearer)

    open_link = open_link or open_url
    session = Session(
        url, client_name, open_link, recovery, attempt_seconds=options.open_seconds, retry=retry
    )
    async with _opened(Client(session, limits)) as client:
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

    There is nothing to connect to again: the session ends with the connection.

    :param env: of the executor; None for this process's own.
    :param cwd: of the executor, a native path; None for this process's own.
    :param stderr: where the executor's standard error goes; None for this process's own.
    :raises ConnectFailed: it cannot be started, or the handshake failed.
    """
    async with contextlib.AsyncExitStack() as stack:

        async def start(make_receiver: MakeReceiver) -> Link:
            opened = open_stdio(argv, make_receiver, options, env=env, cwd=cwd, stderr=stderr)
            return await stack.enter_async_context(opened)

        session = Session(
            f"stdio:{argv[0]}",
            client_name,
            start,
            _RECOVERY_OPTIONS,
            attempt_seconds=options.open_seconds,
            can_resume=False,
        )
        yield await stack.enter_async_context(_opened(Client(session, limits)))


@asynccontextmanager
async def _opened(client: Client) -> AsyncIterator[Client]:
    await client.open()
    try:
        yield client
    finally:
        await client.close()
