"""Both ends of the connections through a chaos proxy, each of which records what it gets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode

from fixtures.faults import CLEAR, DOWN, UP, ChaosProxy, Direction, Plan, script

SECONDS = 60
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def frame(size: int = 10) -> bytes:
    return Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)


@dataclass(eq=False)
class End:
    """One end of a connection: all that it has received, and how it ended."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytes = b""
    ended: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        while not self.ended:
            try:
                data = await self.reader.read(65536)
                self.received += data
                self.ended = "" if data else "fin"
            except ConnectionError:
                self.ended = "rst"
            self.changed.set()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def until(self, reached: Callable[[End], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not reached(self):
                await self.changed.wait()
                self.changed.clear()

    async def until_received(self, data: bytes) -> None:
        await self.until(lambda end: len(end.received) >= len(data) or bool(end.ended))
        assert (self.received, self.ended) == (data, "")

    async def until_ended(self) -> str:
        await self.until(lambda end: bool(end.ended))
        return self.ended

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Scene:
    """A server that records, the proxy before it, and clients of the proxy."""

    def __init__(self, proxy: ChaosProxy) -> None:
        self.proxy = proxy
        self.served: list[End] = []
        self.arrived = asyncio.Event()
        self.ends: list[End] = []
        self.reading: list[asyncio.Task[None]] = []

    def made(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> End:
        end = End(reader, writer)
        self.ends.append(end)
        self.reading.append(asyncio.create_task(end.read()))
        return end

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served.append(self.made(reader, writer))
        self.arrived.set()

    async def client(self) -> End:
        port = int(self.proxy.url.rpartition(":")[2])
        return self.made(*await asyncio.open_connection("127.0.0.1", port))

    async def server(self, number: int) -> End:
        """The server's end of its connection of that number."""
        async with asyncio.timeout(SECONDS):
            while len(self.served) < number:
                await self.arrived.wait()
                self.arrived.clear()
        return self.served[number - 1]

    async def pair(self) -> dict[Direction, End]:
        """Both ends of a new connection, after the upgrade; each by the direction that it sends in."""
        client = await self.client()
        await client.send(REQUEST)
        server = await self.server(len(self.served) + 1)
        await server.until_received(REQUEST)
        await server.send(ANSWER)
        await client.until_received(ANSWER)
        client.received = server.received = b""
        return {UP: client, DOWN: server}


@asynccontextmanager
async def scene(*plans: Plan, then: Plan = CLEAR) -> AsyncIterator[Scene]:
    made: list[Scene] = []
    server = await asyncio.start_server(lambda *pair: made[0].accept(*pair), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with ChaosProxy(f"ws://127.0.0.1:{port}", script(*plans, then=then)) as proxy:
            made.append(Scene(proxy))
            yield made[0]
    finally:
        server.close()
        for end in made[0].ends:
            await end.close()
        await asyncio.gather(*made[0].reading)
