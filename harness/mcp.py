"""MCP servers that run where an executor is, as a transport of the client in the ``mcp`` package.

The server is a process of the executor and speaks MCP over its standard streams: one JSON-RPC message a
line, UTF-8. Give the transport to ``mcp.Client``, or its two streams to ``mcp.ClientSession``::

    async with connect(url) as executor:
        async with mcp.Client(stdio_client(executor, ["python3", "server.py"])) as session:
            await session.call_tool("add", {"a": 1, "b": 2})

The session lives as long as the process handle: through cut connections too, each message once and in order.
It needs the extra ``crossexec[mcp]``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import IO, Final, TypeAlias, Unpack

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from executors.protocol.processes import EnvPolicy
from harness.client.client import Client
from harness.client.errors import ClientError, RpcError, StdinClosed
from harness.client.events import OutputEvent
from harness.client.process import Process, StartOptions
from harness.client.redact import message_line

try:
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter
except ImportError as error:
    raise ImportError(
        f"harness.mcp needs the package mcp, 2.0 or later ({error}): pip install 'crossexec[mcp]'"
    ) from error

logger = logging.getLogger(__name__)

ReadStream: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
WriteStream: TypeAlias = MemoryObjectSendStream[SessionMessage]
Transport: TypeAlias = AbstractAsyncContextManager[tuple[ReadStream, WriteStream]]
"""What ``mcp.Client`` takes."""

GRACE_SECONDS: Final = 2.0
"""How long a server may take to leave once its input has ended; as long as in the ``mcp`` package's own."""
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""A longer line ends the session, so that a server which never ends a line cannot fill the memory."""

_FLUSH_SECONDS: Final = 0.5
_END_SECONDS: Final = 5.0


@asynccontextmanager
async def stdio_client(
    client: Client,
    argv: Sequence[str],
    *,
    stderr: IO[bytes] | None = None,
    grace_seconds: float = GRACE_SECONDS,
    **options: Unpack[StartOptions],
) -> AsyncIterator[tuple[ReadStream, WriteStream]]:
    """Starts an MCP server on the executor and yields what :func:`server_streams` does.

    As with the ``mcp`` package's own transport, the server gets only the core variables of its
    environment, and those of *env* besides; give *env_policy* for others.

    :param stderr: see :func:`server_streams`.
    :raises RpcError: the server cannot be started.
    :raises SandboxRefused: the executor does not enforce the intent; nothing was started.
    :raises ValueError: a terminal is asked for, which would echo messages and change their bytes.
    """
    if options.get("tty"):
        raise ValueError("an MCP server speaks over pipes: leave out `tty`")
    options["stdin"] = True
    if options.get("env_policy") is None:
        options["env_policy"] = EnvPolicy("core")
    async with (
        await client.start(argv, **options) as process,
        server_streams(process, stderr=stderr, grace_seconds=grace_seconds) as streams,
    ):
        yield streams


@asynccontextmanager
async def server_streams(
    process: Process, *, stderr: IO[bytes] | None = None, grace_seconds: float = GRACE_SECONDS
) -> AsyncIterator[tuple[ReadStream, WriteStream]]:
    """Yields the streams of messages from and to *process*, an MCP server started with ``stdin=True``.

    A line that is no message comes out of the read stream as the ``ValueError`` that says why, and the
    session goes on. When no more messages can come or go, since the server has ended or its executor is
    lost for good, the read stream ends, and so do all calls of the session; where that was an error, it
    comes out first.

    On leaving, the server's input is closed, then it has *grace_seconds* to leave by itself, then it is
    terminated with all that it has started. An executor that cannot close an input terminates it at once.
    This goes on under cancellation, and ends within seconds whether or not the executor answers.

    :param stderr: where the server's standard error goes, as it comes; None for this process's own.
    """
    incoming_in, incoming_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing_in, outgoing_out = anyio.create_memory_object_stream[SessionMessage](0)
    pumps = _Pumps(process, incoming_in, outgoing_out, stderr)
    # A task of its own and no group around the body: what the body raises leaves as it is, and whoever
    # cancels the body does not cancel what ends the server.
    moving = asyncio.create_task(pumps.run())
    try:
        yield incoming_out, outgoing_in
    finally:
        # What the server still says is read and dropped from here on: were it not, a server that is stuck in
        # a write would never read what is left for it, nor the end of its input.
        incoming_out.close()
        outgoing_in.close()
        with anyio.CancelScope(shield=True):
            try:
                await pumps.end_server(grace_seconds)
            finally:
                pumps.scope.cancel()
                await moving


class _Pumps:
    """Moves messages between the process and the streams.

    :ivar scope: to call off :meth:`run`.
    """

    def __init__(
        self,
        process: Process,
        incoming: MemoryObjectSendStream[SessionMessage | Exception],
        outgoing: MemoryObjectReceiveStream[SessionMessage],
        stderr: IO[bytes] | None,
    ) -> None:
        self.scope = anyio.CancelScope()
        # All that there was to send has been written, or cannot be.
        self._sent = anyio.Event()
        # The last event of the process is here, or none can come.
        self._received = anyio.Event()
        # The session is over, or an error has ended it: what else ends is no news.
        self._over = False
        self._failing = anyio.Lock()
        self._process = process
        self._name = f"MCP server {process.process_id} ({process.argv[0]})"
        self._incoming = incoming
        self._outgoing = outgoing
        self._lines = LineSplitter(MAX_MESSAGE_BYTES)
        self._stderr = stderr
        self._stderr_lost = False
        self._heard = True

    async def run(self) -> None:
        """Moves messages until there are no more in either direction."""
        with self.scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._receive)
                group.start_soon(self._send)

    async def end_server(self, grace_seconds: float) -> None:
        """Ends the server in the order that the MCP specification gives for standard streams."""
        self._over = True
        try:
            with anyio.move_on_after(_FLUSH_SECONDS):
                await self._sent.wait()
            with anyio.move_on_after(grace_seconds):
                await self._let_leave()
            with anyio.move_on_after(_END_SECONDS):
                if not self._process.closed:
                    # It may also have left something behind that holds its output.
                    await self._process.terminate()
                await self._received.wait()
        except (ClientError, RpcError) as error:
            logger.debug("%s cannot be terminated: %s", self._name, error)
        if not self._received.is_set():
            logger.warning(
                "%s may still run, until its session ends: the executor did not answer within %g s",
                self._name,
                _END_SECONDS,
            )

    async def _receive(self) -> None:
        try:
            async for event in self._process:
                if not isinstance(event, OutputEvent):
                    continue
                if event.stream == "stderr":
                    self._tell(event.data)
                elif self._heard:
                    await self._hear(event.data)
            if not self._over:
                code = self._process.exit_code
                logger.warning("%s has ended within its session, with exit code %s", self._name, code)
            if self._heard and (rest := self._lines.rest):
                logger.warning("%s ended within a message: %s", self._name, message_line(rest))
        except (ClientError, RpcError) as error:
            await self._fail(error)
        finally:
            self._received.set()
            self._incoming.close()

    async def _send(self) -> None:
        with self._outgoing:
            try:
                async for item in self._outgoing:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await self._process.write(text.encode() + b"\n")
            except (ClientError, RpcError) as error:
                # The server may live on, but no answer can come to what it does not read. The stream ends
                # after the error is told, so that no call fails without a reason.
                await self._fail(error)
                self._incoming.close()
            finally:
                self._sent.set()

    async def _let_leave(self) -> None:
        try:
            with suppress(StdinClosed):
                await self._process.close_stdin()
            await self._process.wait()
        except (ClientError, RpcError) as error:
            # Such as an executor that cannot close an input.
            logger.debug("%s is terminated at once: %s", self._name, error)

    async def _hear(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                await self._incoming.send(self._parsed(line))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The session is gone. What comes is still taken, and dropped.
            self._heard = False
        except LineTooLong as error:
            self._heard = False
            await self._fail(error)
            self._incoming.close()

    def _parsed(self, line: bytes) -> SessionMessage | Exception:
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            logger.warning(
                "%s wrote a line to its standard output that is no message of JSON-RPC: %s",
                self._name,
                message_line(line),
            )
            return error

    async def _fail(self, error: Exception) -> None:
        # Both directions may find the same loss. The second one waits: it goes on to close the stream.
        async with self._failing:
            if self._over:
                return
            self._over = True
            logger.error("the session with %s ends: %s", self._name, error)
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._incoming.send(error)

    def _tell(self, data: bytes) -> None:
        if self._stderr_lost:
            return
        stream = self._stderr
        try:
            if stream is None:
                stream = sys.stderr.buffer
            stream.write(data)
            stream.flush()
        except (AttributeError, OSError, ValueError) as error:
            # A program without a console has no standard error, and a file may have been closed.
            self._stderr_lost = True
            logger.warning("the standard error of %s is dropped from here on: %s", self._name, error)


class LineTooLong(ClientError):
    """A line of a server has more bytes than one message may have."""


class LineSplitter:
    """Cuts a stream of bytes into lines, in time linear in its length.

    :param max_bytes: of one line, without its end.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._held = 0

    @property
    def rest(self) -> bytes:
        """What has come after the last end of a line."""
        return b"".join(self._parts)

    def feed(self, data: bytes) -> list[bytes]:
        """Returns the lines that *data* completes, without their ends.

        :raises LineTooLong: a line has more bytes than one may have; all that has come is dropped.
        """
        head, end, tail = data.rpartition(b"\n")
        lines: list[bytes] = []
        if end:
            lines = b"".join((*self._parts, head)).split(b"\n")
            self._parts.clear()
            self._held = 0
        if tail:
            self._parts.append(tail)
            self._held += len(tail)
        longest = max(self._held, *map(len, lines), 0)
        if longest > self._max_bytes:
            self._parts.clear()
            self._held = 0
            raise LineTooLong(f"a line has {longest} bytes and more; at most {self._max_bytes} are taken")
        return lines
