"""Servers that stall, refuse and go away, and what the tests of environments in a client share besides."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from harness.client import Client
from harness.client.sync import blocking_context
from harness.environments.base import Running
from harness.environments.local import LocalEnvironment
from harness.environments.manager import EnvironmentManager
from tests.support.fake_executor import HANDSHAKE

SECONDS = 60
USERS = 100
PYTHON = [sys.executable, "-I", "-c"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]
GOING_AWAY = 1001
"""What an executor says as it ends, and with it all its sessions."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with blocking_context(LocalEnvironment().start()) as running:
        yield running


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    """The test leaves no task behind it."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before
    # The runner of tests has a task for each phase.
    assert [task for task in left if "TestRunner." not in repr(task)] == []


class Server:
    """A server that greets as an executor does; what it does to the next connections may be said before.

    :ivar plan: a word for each of the next connections: ``serve``, ``refuse`` the handshake, ``stall`` in it.
    :ivar opened: how many connections there were.
    """

    def __init__(self) -> None:
        self.url = ""
        self.plan: list[str] = []
        self.opened = 0
        self.stalled = asyncio.Event()
        self.greeted = asyncio.Event()
        self._open: set[ServerConnection] = set()
        self._changed = asyncio.Condition()

    async def talk(self, socket: ServerConnection) -> None:
        self.opened += 1
        self._open.add(socket)
        try:
            await self._talk(socket, self.plan.pop(0) if self.plan else "serve")
        except ConnectionClosed:
            pass
        finally:
            self._open.discard(socket)
            async with self._changed:
                self._changed.notify_all()

    async def _talk(self, socket: ServerConnection, what: str) -> None:
        async for text in socket:
            call = json.loads(text)
            if what == "refuse":
                await socket.close(1011, "not today")
            elif what == "stall":
                self.stalled.set()
            elif call["method"] == "initialize":
                await socket.send(json.dumps({"id": call["id"], "result": HANDSHAKE}), text=True)
                self.greeted.set()

    async def go_away(self) -> None:
        """Ends every connection as an executor that is shut down."""
        for socket in list(self._open):
            await socket.close(GOING_AWAY, "shutting down")

    async def until_open(self, count: int) -> None:
        """Waits until so many connections are open."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._open) == count)


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with serve(made.talk, "127.0.0.1", 0, compression=None, close_timeout=1) as listening:
        made.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


class Mute:
    """A TCP server that takes connections and never says a word."""

    def __init__(self) -> None:
        self.url = ""
        self.taken = asyncio.Event()
        self.dropped = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.taken.set()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.dropped.set()
            writer.close()


@asynccontextmanager
async def mute() -> AsyncIterator[Mute]:
    made = Mute()
    async with await asyncio.start_server(made.talk, "127.0.0.1", 0) as listening:
        made.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


@asynccontextmanager
async def managing() -> AsyncIterator[EnvironmentManager]:
    """A manager, and a limit to how long a test may hang."""
    async with asyncio.timeout(SECONDS), EnvironmentManager() as manager:
        yield manager


async def ask_many(manager: EnvironmentManager, name: str) -> list[Client]:
    return await asyncio.gather(*(manager.client(name) for _ in range(USERS)))


async def failures(manager: EnvironmentManager, name: str) -> list[BaseException]:
    """What many who ask at the same time get; all must get an error."""
    results = await asyncio.gather(*(manager.client(name) for _ in range(USERS)), return_exceptions=True)
    assert all(isinstance(result, BaseException) for result in results)
    return [result for result in results if isinstance(result, BaseException)]


async def release(event: asyncio.Event) -> None:
    """What a source waits for; a test that has failed does not come to set it."""
    async with asyncio.timeout(SECONDS):
        await event.wait()
