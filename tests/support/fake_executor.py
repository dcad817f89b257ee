"""A server that makes the handshake of an executor and then does what a test wants, right or wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from harness.client import Client, LinkOptions, connect

SECONDS = 30
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


@asynccontextmanager
async def fake(answer: Answer, **options: Any) -> AsyncIterator[Client]:
    """A client of a server whose handshake works; a result other than None is sent as the reply."""

    async def talk(socket: ServerConnection) -> None:
        server = Fake(socket)
        try:
            async for text in socket:
                call = json.loads(text)
                if call["method"] == "initialize":
                    await server.send(id=call["id"], result=HANDSHAKE)
                elif "id" in call:
                    result = await answer(server, call["method"], call["params"], call["id"])
                    if result is not None:
                        await server.send(id=call["id"], result=result)
        except ConnectionClosed:
            # However the client ends it is the client's matter.
            return

    async with serve(talk, "127.0.0.1", 0, max_size=None, compression=None, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        link = LinkOptions(**options)
        async with asyncio.timeout(SECONDS), connect(f"ws://127.0.0.1:{port}", options=link) as client:
            yield client
