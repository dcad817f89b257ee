"""A TCP relay that a test can cut, hold and close, and a client behind it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from harness.client import Client, State, connect

SECONDS = 60

_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class Relay:
    """Passes connections on to an executor, as long as it may.

    :ivar url: where to connect instead.
    :ivar connections: how many there have been.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname, parts.port
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.url = ""
        self.connections = 0
        self.refuses = False
        self.cut_after: int | None = None
        """Bytes from the executor after which the next connection is cut."""
        self.cut_every: int | None = None
        """Bytes of both ways after which all connections are cut, again and again."""
        self._passed = 0
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self.connected = asyncio.Event()

    def hold_answers(self) -> None:
        """Passes nothing on to the client until the next cut."""
        self._may_answer.clear()

    def cut(self) -> None:
        """Drops every connection, both sides of it, at once and by RST."""
        for writer in self._open:
            connection = writer.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._may_answer.set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def close(self) -> None:
        """Drops every connection, one that is being made too, and waits until nothing of them runs."""
        self._is_closed = True
        self.cut()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_through(reader, writer)
        finally:
            writer.transport.abort()

    async def _pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        if self.refuses:
            return
        there, out = await asyncio.open_connection(*self._target)
        limit, self.cut_after = self.cut_after, None
        self._open |= {writer, out}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on(reader, out))
                tasks.create_task(self._pass_on(there, writer, limit, answers=True))
        finally:
            self._open -= {writer, out}
            out.transport.abort()

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        limit: int | None = None,
        *,
        answers: bool = False,
    ) -> None:
        try:
            while data := await source.read(_BYTES):
                if answers:
                    await self._may_answer.wait()
                if limit is not None:
                    data, limit = data[:limit], limit - len(data)
                sink.write(data)
                await sink.drain()
                self._passed += len(data)
                is_due = self.cut_every is not None and self._passed >= self.cut_every
                if is_due or (limit is not None and limit <= 0):
                    self._passed = 0
                    self.cut()
            # What the other side still says is passed on.
            if sink.can_write_eof():
                sink.write_eof()
        except OSError:
            sink.transport.abort()


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    """Listens for clients of the executor at *target*, ``ws://HOST:PORT``."""
    made = Relay(target)
    async with await asyncio.start_server(made.accept, "127.0.0.1", 0) as server:
        made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            server.close()
            await made.close()


@asynccontextmanager
async def through(target: str, **options: Any) -> AsyncIterator[tuple[Relay, Client]]:
    """A client whose connection can be cut; afterwards nothing of it runs."""
    async with asyncio.timeout(SECONDS), relay(target) as path:
        async with connect(path.url, **options) as client:
            yield path, client
        assert client.state in (State.CLOSED, State.FAILED)
        left = [task for task in asyncio.all_tasks() if "harness/client" in repr(task.get_coro())]
        assert not left, left


async def status(client: Client) -> str:
    return (await client.call(ENVIRONMENT_STATUS, Empty())).status


async def recovering(path: Relay, client: Client) -> None:
    """Cuts, and has every further connection refused."""
    path.refuses = True
    path.connected.clear()
    path.cut()
    await path.connected.wait()
    assert client.state is State.RECOVERING
