"""A server that makes the handshake of an executor and then does what a test wants, right or wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from harness.client import Client, LinkOptions, RecoveryOptions, connect

SECONDS = 60
HANDSHAKE = {
    "sessionId": "s",
    "environmentInfo": {"shell": {"name": "sh", "path": "/bin/sh"}, "cwd": "file:///"},
}


class Fake:
    """One connection of a server; *answer* says what it does with each call."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.separators = (",", ":")

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message, separators=self.separators), text=True)

    async def told(self, name: str, **params: Any) -> None:
        await self.send(method=f"process/{name}", params=params)


Answer = Callable[[Fake, str, dict[str, Any], int], Awaitable[Any]]
Greet = Callable[[Fake, dict[str, Any]], Awaitable[dict[str, Any] | None]]


async def greet(server: Fake, params: dict[str, Any]) -> dict[str, Any]:
    """Takes every client, and resumes every session, as it is asked to."""
    return {"result": HANDSHAKE}


NO_RECOVERY = RecoveryOptions(enabled=False)


@asynccontextmanager
async def fake(
    answer: Answer,
    *,
    greet: Greet = greet,
    notified: asyncio.Queue[tuple[str, Any]] | None = None,
    recovery: RecoveryOptions = NO_RECOVERY,
    **options: Any,
) -> AsyncIterator[Client]:
    """A client of a server.

    :param answer: a result other than None is sent as the reply.
    :param greet: answers ``initialize`` with ``result`` or ``error``, or not at all.
    :param notified: gets what the client tells without asking.
    :param options: of :class:`LinkOptions`.
    """

    async def talk(socket: ServerConnection) -> None:
        server = Fake(socket)
        try:
            async for text in socket:
                call = json.loads(text)
                if call["method"] == "initialize":
                    greeting = await greet(server, call["params"])
                    if greeting is not None:
                        await server.send(id=call["id"], **greeting)
                elif "id" in call:
                    result = await answer(server, call["method"], call["params"], call["id"])
                    if result is not None:
                        await server.send(id=call["id"], result=result)
                elif notified is not None:
                    notified.put_nowait((call["method"], call["params"]))
        except ConnectionClosed:
            # However the client ends it is the client's matter.
            return

    async with serve(talk, "127.0.0.1", 0, max_size=None, compression=None, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        link = LinkOptions(**options)
        connected = connect(f"ws://127.0.0.1:{port}", options=link, recovery=recovery)
        async with asyncio.timeout(SECONDS), connected as client:
            yield client
