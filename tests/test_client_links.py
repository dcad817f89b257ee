"""How a connection comes about, and that nothing stays of one that did not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.utils import accept_key

from executors.transport.base import Receiver
from harness.client import ConnectFailed, LinkOptions
from harness.client.links import Link, open_websocket
from tests.support.both import speed_ups  # noqa: F401

pytestmark = pytest.mark.anyio

SECONDS = 60


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Slow:
    """A server that takes a connection and answers its handshake when it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = asyncio.Event()
        self.dropped = asyncio.Event()
        self._answer = b""
        self._writer: asyncio.StreamWriter

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            key = next(
                line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")
            )
            self._answer = (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key.split()[1].decode()).encode() + b"\r\n\r\n"
            )
            self._writer = writer
            self.asked.set()
            await reader.read()
        except ConnectionError:
            pass
        finally:
            self.dropped.set()
            writer.close()

    def answer(self) -> None:
        """Writes to the socket at once."""
        self._writer.write(self._answer)


@asynccontextmanager
async def slow() -> AsyncIterator[Slow]:
    made = Slow()
    async with await asyncio.start_server(made.talk, "127.0.0.1", 0) as listening:
        made.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(SECONDS):
            yield made


class Sink:
    """Takes whatever comes."""

    def message_received(self, message: bytes) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self) -> None: ...


def make_sink(link: Link) -> Receiver:
    return Sink()


def make_none(link: Link) -> Receiver:
    raise AssertionError("a connection that nobody waits for any more")


async def test_a_handshake_that_is_called_off_is_dropped_at_once() -> None:
    async with slow() as server:
        opening = asyncio.ensure_future(open_websocket(server.url, make_none, LinkOptions(open_seconds=3600)))
        await server.asked.wait()
        opening.cancel()
        await server.dropped.wait()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_an_answer_that_comes_as_it_is_called_off_makes_no_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with slow() as server:
        opening = asyncio.ensure_future(open_websocket(server.url, make_none, LinkOptions(open_seconds=3600)))
        await server.asked.wait()
        server.answer()
        opening.cancel()
        await server.dropped.wait()
        with pytest.raises(asyncio.CancelledError):
            await opening
    assert caplog.records == []


async def test_a_handshake_that_takes_too_long() -> None:
    async with slow() as server:
        with pytest.raises(ConnectFailed, match="no answer within 2 s"):
            # By then the server has to have it.
            await open_websocket(server.url, make_none, LinkOptions(open_seconds=2))
        await server.dropped.wait()


async def test_a_handshake_that_is_answered_late_but_in_time() -> None:
    async with slow() as server:
        opening = asyncio.ensure_future(open_websocket(server.url, make_sink, LinkOptions()))
        await server.asked.wait()
        server.answer()
        (await opening).abort()
        await server.dropped.wait()


async def test_each_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow() as server:
        port = int(server.url.rpartition(":")[2])
        closed = socket.create_server(("127.0.0.1", 0))
        refusing = closed.getsockname()
        closed.close()
        stream = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        addresses = [(*stream, refusing), (*stream, ("127.0.0.1", port))]

        async def resolve(host: str, port: int, **options: object) -> object:
            return addresses

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        opening = asyncio.ensure_future(open_websocket("ws://far:1", make_sink, LinkOptions()))
        await server.asked.wait()
        server.answer()
        (await opening).abort()
        addresses[1:] = [addresses[0]]
        with pytest.raises(ConnectFailed, match=f"{refusing[1]}.*; .*{refusing[1]}"):
            await open_websocket("ws://far:1", make_none, LinkOptions())


async def test_small_messages_go_out_at_once() -> None:
    async with slow() as server:
        opening = asyncio.ensure_future(open_websocket(server.url, make_sink, LinkOptions()))
        await server.asked.wait()
        server.answer()
        link = await opening
        raw = vars(link)["_stream"].get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        link.abort()
        await server.dropped.wait()
