"""The WebSocket to the rendezvous, with a server that does what none should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from executors.remote.dial import dial
from executors.remote.wire import Wire
from executors.transport.relay_frames import MAX_FRAME_BYTES
from tests.support.watch import SECONDS

Serve = Callable[[ServerConnection], Awaitable[None]]


class User:
    """Keeps what comes and sends what a test has given it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.to_send: list[bytes] = []
        self.sent = 0
        self.failures: list[str] = []
        self.lost: asyncio.Future[ConnectionClosed] = asyncio.get_running_loop().create_future()
        self.answer: Callable[[bytes], None] = lambda frame: None

    def frame_received(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.answer(frame)

    def next_frame(self) -> bytes | None:
        return self.to_send.pop(0) if self.to_send else None

    def frame_sent(self) -> None:
        self.sent += 1

    def wire_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def wire_lost(self, error: ConnectionClosed) -> None:
        self.lost.set_result(error)


@asynccontextmanager
async def wired(handle: Serve, user: User) -> AsyncIterator[Wire]:
    async with (
        asyncio.timeout(SECONDS),
        serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        wire = await dial(f"ws://127.0.0.1:{port}/", None, ping_seconds=None, pong_seconds=None)
        try:
            yield wire
        finally:
            await wire.close()


@pytest.mark.parametrize("frames", [[b"one"], [b"one", b"two"], [b"", b"x" * MAX_FRAME_BYTES]])
def test_what_came_before_the_start_is_handed_on_first(frames: list[bytes]) -> None:
    async def body() -> None:
        told = asyncio.Event()

        async def handle(connection: ServerConnection) -> None:
            for frame in frames:
                await connection.send(frame)
            await told.wait()
            await connection.send(b"later")
            await connection.wait_closed()

        user, came = User(), asyncio.Event()
        user.answer = lambda frame: came.set() if frame == b"later" else None
        async with wired(handle, user) as wire:
            # The pong comes after them.
            await (await wire.ping())
            assert user.frames == []
            wire.start(user)
            assert user.frames == frames
            told.set()
            await came.wait()
            assert user.frames == [*frames, b"later"]

    asyncio.run(body())


def test_fragments_are_one_frame() -> None:
    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            await connection.send([b"a" * 1000, b"b", b"", b"c"])
            await connection.send(b"whole")
            await connection.close(4000)

        user = User()
        async with wired(handle, user) as wire:
            wire.start(user)
            await user.lost
            assert user.frames == [b"a" * 1000 + b"bc", b"whole"]

    asyncio.run(body())


def test_what_comes_right_before_the_end_is_handed_on() -> None:
    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            connection.protocol.send_binary(b"last")
            connection.protocol.send_close(4321)
            connection.send_data()

        user = User()
        async with wired(handle, user) as wire:
            wire.start(user)
            error = await user.lost
            assert user.frames == [b"last"]
            assert error.rcvd is not None and error.rcvd.code == 4321
            assert user.failures == []

    asyncio.run(body())


def test_the_end_before_the_start_is_told() -> None:
    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            await connection.send(b"early")
            await connection.close(4000)

        user = User()
        async with wired(handle, user) as wire:
            await wire.wait_closed()
            wire.start(user)
            error = await user.lost
            assert error.rcvd is not None and error.rcvd.code == 4000

    asyncio.run(body())


def test_answers_go_out_with_the_frame_that_asks_for_them() -> None:
    async def body() -> None:
        got: list[bytes | str] = []

        async def handle(connection: ServerConnection) -> None:
            await connection.send(b"question")
            async for frame in connection:
                got.append(frame)
                if frame == b"end":
                    return

        user = User()

        def answer(frame: bytes) -> None:
            user.to_send += [b"answer", b"end"]
            wire.send_soon()

        user.answer = answer
        async with wired(handle, user) as wire:
            wire.start(user)
            await user.lost
            assert got == [b"answer", b"end"]
            assert user.sent == 2

    asyncio.run(body())


def test_much_is_sent_in_order_as_the_other_side_reads() -> None:
    async def body() -> None:
        frames = [bytes([number]) * 60_000 for number in range(200)]
        got: list[bytes | str] = []
        may_read = asyncio.Event()

        async def handle(connection: ServerConnection) -> None:
            await may_read.wait()
            while len(got) < len(frames):
                got.append(await connection.recv())

        user = User()
        user.to_send = list(frames)
        async with wired(handle, user) as wire:
            wire.start(user)
            while not wire.paused:  # noqa: ASYNC110 - the event loop tells the wire alone
                await asyncio.sleep(0)
            assert user.to_send, "not all is taken from its owner while nobody reads"
            may_read.set()
            await user.lost
            assert got == frames

    asyncio.run(body())


def test_text_ends_the_connection_though_the_other_side_does_not() -> None:
    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            connection.protocol.send_binary(b"first")
            connection.protocol.send_text(b"text")
            connection.protocol.send_binary(b"second")
            connection.send_data()
            connection.transport.pause_reading()
            await user.lost
            connection.transport.abort()

        user = User()
        async with wired(handle, user) as wire:
            wire.start(user)
            error = await user.lost
            assert user.frames == [b"first"]
            assert user.failures == ["the rendezvous sent text: frames of the relay are binary"]
            assert error.sent is not None and error.sent.code == 1003

    asyncio.run(body())


@pytest.mark.parametrize("message", [bytes(MAX_FRAME_BYTES + 1), [bytes(MAX_FRAME_BYTES), b"x"]])
def test_a_frame_that_is_too_long_ends_the_connection(message: bytes | list[bytes]) -> None:
    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            await connection.send(message)
            connection.transport.pause_reading()
            await user.lost
            connection.transport.abort()

        user = User()
        async with wired(handle, user) as wire:
            wire.start(user)
            error = await user.lost
            assert user.frames == []
            assert error.sent is not None and error.sent.code == 1009

    asyncio.run(body())


@pytest.mark.parametrize("where", ["answer", "next_frame", "frame_sent"])
def test_what_goes_wrong_within_costs_the_connection(
    where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a mistake")

    async def body() -> None:
        async def handle(connection: ServerConnection) -> None:
            await connection.send(b"first")
            await connection.send(b"second")
            await connection.wait_closed()

        user = User()
        user.to_send = [b"something"]
        monkeypatch.setattr(user, where, fail)
        async with wired(handle, user) as wire:
            wire.start(user)
            await user.lost
            assert user.failures == ["an unexpected error"]
            assert len(user.frames) <= 1

    asyncio.run(body())
    assert "unexpected error in the relay" in caplog.text and "a mistake" in caplog.text
