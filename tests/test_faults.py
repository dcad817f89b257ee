"""The chaos proxy does to connections what its plan says, and to nothing else anything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed

from executors.transport import unix
from fixtures.faults import (
    DOWN,
    UP,
    At,
    Chaos,
    ChaosProxy,
    Direction,
    Duplicate,
    Hold,
    How,
    Plan,
    Reach,
    Rule,
    Shape,
    Side,
    Swallow,
    after,
    at_byte,
    before,
    cut,
    within,
)
from tests.support.faults_scene import ANSWER, REQUEST, frame, scene

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = set(asyncio.all_tasks())
    yield
    left = {task for task in asyncio.all_tasks() - before if "fixtures/faults" in repr(task)}
    assert not left


def other(direction: Direction) -> Direction:
    return DOWN if direction is UP else UP


DIRECTIONS = pytest.mark.parametrize("direction", list(Direction), ids=str)
HOWS = pytest.mark.parametrize("how", list(How), ids=str)


async def test_nothing_is_altered_by_default() -> None:
    async def echo(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async with (
        serve(echo, "127.0.0.1", 0) as server,
        ChaosProxy(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/a?b=c") as proxy,
        connect(proxy.url, max_size=None) as client,
    ):
        assert client.request is not None and client.request.path == "/a?b=c"
        for message in ("text", b"", os.urandom(125), os.urandom(70_000), os.urandom(1_000_000)):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["one ", "message"])
        assert await client.recv() == "one message"
        await client.close(1000, "done")
        assert client.close_code == 1000
        # Each message, and the close frames.
        assert (proxy.counts.frames(UP), proxy.counts.frames(DOWN)) == (5 + 3 + 1, 6 + 1)
        assert proxy.counts.cuts == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")
async def test_a_unix_socket_is_a_target(tmp_path: Path) -> None:
    async def echo(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())
        await connection.wait_closed()

    path = tmp_path / "a b.sock"
    async with (
        unix_serve(echo, str(path)),
        ChaosProxy(unix.format_url(str(path))) as proxy,
        connect(proxy.url) as client,
    ):
        await client.send("x")
        assert await client.recv() == "x"
        assert proxy.cut(How.RST) == 1
        with pytest.raises(ConnectionClosed):
            await client.recv()


@pytest.mark.parametrize("target", ["wss://127.0.0.1:1", "http://127.0.0.1:1", "127.0.0.1:1"])
async def test_where_no_frames_can_be_found_there_is_no_proxy(target: str) -> None:
    with pytest.raises(ValueError, match="no frames can be found"):
        ChaosProxy(target)


@DIRECTIONS
@HOWS
@pytest.mark.parametrize(
    ("make", "arrives", "frames"),
    [(before, frame(), 1), (within, frame() + frame(20)[:11], 1), (after, frame() + frame(20), 2)],
    ids=["before", "within", "after"],
)
async def test_it_cuts_at_a_frame(
    direction: Direction, how: How, make: Callable[[Direction, int], At], arrives: bytes, frames: int
) -> None:
    async with scene(cut(make(direction, 2), how)) as made:
        ends = await made.pair()
        sender, receiver = ends[direction], ends[other(direction)]
        await sender.send(frame() + frame(20) + frame(30))
        assert await receiver.until_ended() == str(how)
        assert await sender.until_ended() == str(how)
        assert receiver.received == arrives
        assert made.proxy.counts.connections[0].passed(direction).frames == frames
        assert made.proxy.counts.connections[0].cut is not None
        # The next one is whole.
        again = await made.pair()
        await again[UP].send(frame())
        await again[DOWN].until_received(frame())


@DIRECTIONS
@pytest.mark.parametrize("byte", [1, 5, 20])
async def test_it_cuts_at_a_byte(direction: Direction, byte: int) -> None:
    head = len(REQUEST if direction is UP else ANSWER)
    async with scene(cut(at_byte(direction, head + byte))) as made:
        ends = await made.pair()
        for size in (1, 2, 30):
            await ends[direction].send(frame(size))
        receiver = ends[other(direction)]
        assert await receiver.until_ended() == "fin"
        assert receiver.received == (frame(1) + frame(2) + frame(30))[:byte]


async def test_it_cuts_in_the_middle_of_the_upgrade() -> None:
    plans = [
        cut(at_byte(UP, 0)),
        cut(at_byte(UP, 3)),
        cut(within(UP, 0)),
        cut(before(DOWN, 0)),
        cut(after(DOWN, 0)),
    ]
    async with scene(*plans) as made:
        for number, (arrives, answer) in enumerate(
            [(b"", b""), (REQUEST[:3], b""), (REQUEST[:10], b""), (REQUEST, b""), (REQUEST, ANSWER)], 1
        ):
            client = await made.client()
            await client.send(REQUEST)
            server = await made.server(number)
            await server.send(ANSWER)
            assert (await client.until_ended(), await server.until_ended()) == ("fin", "fin")
            assert (server.received, client.received) == (arrives, answer)


@HOWS
@pytest.mark.parametrize("side", [Side.CLIENT, Side.EXECUTOR], ids=str)
async def test_only_one_side_is_told(how: How, side: Side) -> None:
    async with scene(cut(after(UP, 1), how, side)) as made:
        ends = await made.pair()
        told, untold = (ends[UP], ends[DOWN]) if side is Side.CLIENT else (ends[DOWN], ends[UP])
        await ends[UP].send(frame())
        assert await told.until_ended() == str(how)
        # It can go on sending, for ever.
        await untold.send(frame(1_000_000))
        assert untold.ended == ""
        made.proxy.heal()
        assert await untold.until_ended() == "rst"


@DIRECTIONS
async def test_a_connection_that_swallows_stays_open(direction: Direction) -> None:
    rule = Rule(after(direction, 1), Swallow(frozenset([direction])))
    async with scene(Plan((rule,))) as made:
        ends = await made.pair()
        sender, receiver = ends[direction], ends[other(direction)]
        await sender.send(frame() + frame(2_000_000))
        await receiver.until_received(frame())
        # The other way is as it was.
        await receiver.send(frame(7))
        await sender.until_received(frame(7))
        # Nor is an end told.
        await sender.close()
        await receiver.send(frame(8))
        made.proxy.heal()
        assert await receiver.until_ended() == "rst"
        assert receiver.received == frame()


@DIRECTIONS
async def test_what_is_held_comes_when_it_is_released(direction: Direction) -> None:
    async with scene(Plan((Rule(within(direction, 1), Hold()),))) as made:
        ends = await made.pair()
        await ends[direction].send(frame() + frame(3))
        await ends[other(direction)].until_received(frame()[: len(frame()) // 2])
        await ends[other(direction)].send(frame(4))
        made.proxy.release()
        await ends[other(direction)].until_received(frame() + frame(3))
        await ends[direction].until_received(frame(4))
        # And by hand.
        assert made.proxy.hold(direction) == 1
        await ends[direction].send(frame(5))
        await ends[other(direction)].send(frame(6))
        await ends[direction].until_received(frame(4) + frame(6))
        assert ends[other(direction)].received == frame() + frame(3)
        made.proxy.release()
        await ends[other(direction)].until_received(frame() + frame(3) + frame(5))


@DIRECTIONS
@pytest.mark.parametrize(
    "shape", [Shape(delay=0.02), Shape(rate=20_000), Shape(slice=1), Shape(0.01, 50_000, 3)], ids=str
)
async def test_a_shape_alters_no_byte(direction: Direction, shape: Shape) -> None:
    data = b"".join(map(frame, (0, 1, 126, 2000)))
    async with scene(Plan(up=shape) if direction is UP else Plan(down=shape)) as made:
        ends = await made.pair()
        for begin in range(0, len(data), 500):
            await ends[direction].send(data[begin : begin + 500])
        await ends[other(direction)].until_received(data)
        await ends[direction].close()
        assert await ends[other(direction)].until_ended() == "fin"


async def test_a_delayed_byte_is_as_late_as_the_plan_says() -> None:
    clock = asyncio.get_running_loop().time
    async with scene(Plan(up=Shape(delay=0.3))) as made:
        ends = await made.pair()
        began = clock()
        for _ in range(5):
            await ends[UP].send(frame())
        await ends[DOWN].until_received(frame() * 5)
        # One after the other they would need 1.5 seconds; there is no upper bound on a loaded machine.
        assert clock() - began >= 0.3


async def test_a_throttled_connection_needs_its_time() -> None:
    clock = asyncio.get_running_loop().time
    async with scene(Plan(down=Shape(rate=10_000))) as made:
        ends = await made.pair()
        began = clock()
        await ends[DOWN].send(frame(5_000))
        await ends[UP].until_received(frame(5_000))
        assert clock() - began >= 0.45


async def test_who_sends_too_much_is_held_back() -> None:
    async with scene(Plan((Rule(after(UP, 1), Hold()),))) as made:
        ends = await made.pair()
        ends[UP].writer.write(frame() + frame(50_000_000))
        await ends[DOWN].until_received(frame())
        assert ends[UP].writer.transport.get_write_buffer_size() > 10_000_000


async def test_a_blackhole_takes_connections_and_answers_none() -> None:
    async with scene(Plan(reach=Reach.BLACKHOLE)) as made:
        lost = await made.client()
        await lost.send(REQUEST)
        ends = await made.pair()
        made.proxy.blackhole()
        later = await made.client()
        await later.send(REQUEST)
        await ends[UP].send(frame())
        await made.proxy.until(lambda counts: counts.accepted == 3)
        assert len(made.served) == 1
        made.proxy.heal()
        assert [await end.until_ended() for end in (lost, later, *ends.values())] == ["rst"] * 4
        assert ends[DOWN].received == b""
        await made.pair()


async def test_refused_connects_leave_the_others_alone() -> None:
    async with scene(Plan(), Plan(reach=Reach.REFUSED)) as made:
        ends = await made.pair()
        refused = await made.client()
        assert await refused.until_ended() == "rst"
        for number in (2, 3):
            made.proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                await made.client()
            made.proxy.refuse()
            await ends[UP].send(frame())
            await ends[DOWN].until_received(frame())
            ends[DOWN].received = b""
            made.proxy.heal()
            client = await made.client()
            # Were it still under way, it would be taken for the next one.
            await made.server(number)
            await client.close()
        await made.pair()


async def test_an_executor_that_is_gone_resets_the_client() -> None:
    async with scene() as made:
        made.proxy.target = "ws://127.0.0.1:1"
        client = await made.client()
        assert await client.until_ended() == "rst"
        assert "the executor cannot be reached" in made.proxy.text()


async def test_connects_arrive_in_another_order() -> None:
    async with scene(Plan(wait_for=2)) as made:
        late, early = await made.client(), await made.client()
        await late.send(REQUEST)
        await late.close()
        await early.send(REQUEST + frame())
        first = await made.server(1)
        await first.until_received(REQUEST + frame())
        assert len(made.served) == 1
        await first.send(ANSWER + frame())
        second = await made.server(2)
        # What it had sent before it went.
        assert await second.until_ended() == "fin"
        assert second.received == REQUEST


async def test_a_connect_that_waits_for_another_in_vain_is_let_go() -> None:
    async with scene(Plan(wait_for=9)) as made:
        client = await made.client()
        await client.send(REQUEST)
        await made.proxy.until(lambda counts: counts.accepted == 1)
        made.proxy.heal()
        await (await made.server(1)).until_received(REQUEST)


@pytest.mark.parametrize("first", [True, False], ids=["copy first", "copy last"])
async def test_a_connect_is_duplicated(first: bool) -> None:
    async with scene(Plan(duplicate=Duplicate(frames=1, first=first))) as made:
        client = await made.client()
        await client.send(REQUEST + frame() + frame(20))
        # They are connected in an order, and each is answered before the other is served.
        copy, original = await made.server(1), await made.server(2)
        for end in (copy, original) if first else (original, copy):
            await end.until(lambda end: len(end.received) >= len(REQUEST))
            await end.send(ANSWER)
            await end.until(lambda end: len(end.received) >= len(REQUEST + frame()))
            await end.send(frame(30 if end is copy else 40))
        await original.until_received(REQUEST + frame() + frame(20))
        await client.until_received(ANSWER + frame(40))
        await client.close()
        assert await original.until_ended() == "fin"
        await original.close()
        assert await copy.until_ended() == "rst"
        assert copy.received == REQUEST + frame()


async def test_ends_are_passed_on_as_they_are() -> None:
    async with scene() as made:
        half = await made.pair()
        half[UP].writer.write_eof()
        assert await half[DOWN].until_ended() == "fin"
        await half[DOWN].send(frame())
        await half[UP].until_received(frame())
        await half[DOWN].close()
        assert await half[UP].until_ended() == "fin"
        broken = await made.pair()
        socket_of_client = broken[UP].writer.get_extra_info("socket")
        socket_of_client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken[UP].writer.transport.abort()
        assert await broken[DOWN].until_ended() == "rst"


async def test_all_connections_can_be_cut_by_hand() -> None:
    async with scene() as made:
        pairs = [await made.pair() for _ in range(3)]
        assert made.proxy.cut(How.RST) == 3
        assert [await end.until_ended() for pair in pairs for end in pair.values()] == ["rst"] * 6
        await made.proxy.until(lambda counts: counts.open == 0)
        assert made.proxy.cut() == 0
        assert made.proxy.counts.cuts == 3


async def test_a_connection_that_ends_by_itself_takes_no_cut_from_the_others() -> None:
    chaos = next(
        chaos
        for chaos in (Chaos(seed, cuts=1) for seed in itertools.count())
        if chaos(1).rules[0].at.direction is UP and chaos(1).rules[0].at.byte > 1000
    )
    async with scene() as made:
        made.proxy.script(chaos)
        for _ in range(3):
            ends = await made.pair()
            await ends[UP].close()
            assert await ends[DOWN].until_ended() == "fin"
            await ends[DOWN].close()
            await made.proxy.until(lambda counts: counts.open == 0)
        ends = await made.pair()
        await ends[UP].send(frame(chaos.bytes))
        await ends[DOWN].until_ended()
        assert made.proxy.counts.cuts == 1
        assert len(ends[DOWN].received) == chaos(1).rules[0].at.byte - len(REQUEST)
        # After its cuts it leaves them alone.
        ends = await made.pair()
        await ends[UP].send(frame(chaos.bytes))
        await ends[DOWN].until_received(frame(chaos.bytes))


@DIRECTIONS
@HOWS
async def test_nothing_passes_after_a_cut_by_hand(direction: Direction, how: How) -> None:
    async with scene() as made:
        ends = await made.pair()
        assert made.proxy.cut(how) == 1
        # It is there before the proxy has come to stop.
        ends[direction].writer.write(frame())
        assert await ends[other(direction)].until_ended() == str(how)
        assert ends[other(direction)].received == b""
        assert made.proxy.counts.connections[0].passed(direction).frames == 0


async def test_several_rules_each_do_theirs_once() -> None:
    rules = (
        Rule(after(UP, 1), Hold(frozenset([UP]))),
        Rule(before(UP, 2), Swallow(frozenset([DOWN]))),
        Rule(after(UP, 2), Swallow(frozenset([UP]))),
    )
    async with scene(Plan(rules)) as made:
        ends = await made.pair()
        await ends[UP].send(frame() * 3)
        await ends[DOWN].until_received(frame())
        await ends[DOWN].send(frame(5))
        await ends[UP].until_received(frame(5))
        made.proxy.release()
        await ends[DOWN].until_received(frame() * 2)
        await ends[DOWN].send(frame(6))
        await ends[UP].send(frame())
        made.proxy.heal()
        assert await ends[UP].until_ended() == "rst"
        assert ends[UP].received == frame(5)
        assert made.proxy.text().count("swallow") == 2 + 2
