"""What is measured of the encrypted relay: executor, service and harness are a process each."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

from bench import measures
from bench.launch import running
from bench.measures import Bench, Measure, Unmeasurable, pipelined
from bench.recovery import until_next_byte
from bench.relay_route import RelayRoute

GROUP: Final = "relay"
"""Stands for all measures here."""

_CALLS_IN_FLIGHT: Final = 16
_STREAMS: Final = 4
_MANY_STREAMS: Final = 100
_OPENED_AT_ONCE: Final = 10


def _route(bench: Bench) -> RelayRoute:
    route = bench.target.route
    if not isinstance(route, RelayRoute):
        raise Unmeasurable("this executor does not dial out")
    return route


async def _handshake(bench: Bench, amount: int) -> list[float]:
    result = []
    for _ in range(amount):
        opened = await _route(bench).open_timed(bench.system)
        result.append(opened.handshake_seconds * 1e3)
        await opened.client.initialize()
        opened.client.disconnect()
        await opened.client.lost
    return result


async def _first_reply(bench: Bench, amount: int) -> list[float]:
    result = []
    for _ in range(amount):
        opened = await _route(bench).open_timed(bench.system)
        await opened.client.initialize()
        result.append((time.perf_counter() - opened.dialled) * 1e3)
        opened.client.disconnect()
        await opened.client.lost
    return result


async def _call(bench: Bench, amount: int) -> list[float]:
    return [microseconds / 1e3 for microseconds in await measures.metadata(bench, amount)]


async def _calls(bench: Bench, amount: int) -> list[float]:
    params = b'{"path":"%b"}' % bench.uri(bench.folder).encode()
    async with bench.connected() as client:
        begin = time.perf_counter()
        await pipelined(client, b"fs/getMetadata", lambda _: params, amount, _CALLS_IN_FLIGHT)
        return [amount / (time.perf_counter() - begin)]


async def _outputs(bench: Bench, amount: int) -> list[float]:
    """Of as many streams at once, each with a connection of its own to the rendezvous."""
    share = max(1, amount // _STREAMS)
    begin = time.perf_counter()
    await asyncio.gather(*(measures.output(bench, share) for _ in range(_STREAMS)))
    return [_STREAMS * share * measures.MIB / (time.perf_counter() - begin) / 1e6]


async def _until_next_byte(bench: Bench, amount: int) -> list[float]:
    return await until_next_byte(_route(bench).cuttable(), amount)


async def _resident(bench: Bench, amount: int) -> list[float]:
    """Of a fresh executor with so many streams."""
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(_route(bench).another())
        executor = await stack.enter_async_context(running(target))
        route = target.route
        assert route is not None
        room = asyncio.Semaphore(_OPENED_AT_ONCE)

        async def open_one() -> None:
            async with room:
                client = await route.open(bench.system)
                stack.callback(client.disconnect)
                await client.initialize()

        await asyncio.gather(*(open_one() for _ in range(amount)))
        resident = executor.memory("VmRSS")
        if resident is None:
            raise Unmeasurable("its /proc may not be read")
        return [resident]


MEASURES: Final = [
    Measure("relay-handshake", "handshake with validation", "ms", "lower", 5, "handshake", 20, _handshake),
    Measure(
        "relay-first-reply", "dialled to first reply", "ms", "lower", None, "connection", 20, _first_reply
    ),
    Measure("relay-call", "getMetadata", "ms", "lower", 1.5, "call", 500, _call),
    Measure("relay-calls", "getMetadata, 16 in flight", "1/s", "higher", None, "call", 5000, _calls),
    Measure("relay-output", "output of one process", "MB/s", "higher", 150, "MiB", 64, measures.output),
    Measure("relay-outputs", "output on 4 streams at once", "MB/s", "higher", None, "MiB", 64, _outputs),
    # In base64 a whole file may have 48 MiB, since a message may have 64.
    Measure("relay-read-file", "readFile of 32 MiB", "MB/s", "higher", None, "MiB", 32, measures.read_file),
    Measure(
        "relay-read-blocks",
        "readBlock of 1 MiB, 4 in flight",
        "MB/s",
        "higher",
        150,
        "MiB",
        64,
        measures.read_blocks,
    ),
    Measure(
        "relay-write-blocks",
        "writeBlock of 1 MiB, 4 in flight",
        "MB/s",
        "higher",
        None,
        "MiB",
        64,
        measures.write_blocks,
    ),
    Measure("relay-recover", "cut to the next byte", "ms", "lower", 150, "cut", 20, _until_next_byte),
    Measure("relay-rss", "resident, 1 stream", "MiB", "lower", None, "", 1, _resident, fresh=True),
    Measure(
        "relay-rss-100",
        f"resident, {_MANY_STREAMS} streams",
        "MiB",
        "lower",
        None,
        "",
        _MANY_STREAMS,
        _resident,
        fresh=True,
    ),
]
