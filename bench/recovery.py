"""What a cut connection costs: this project's client, a proxy that cuts, an executor that keeps sessions."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bench.launch import running
from bench.measures import Bench, Measure, Unmeasurable
from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from fixtures.faults import DOWN, ChaosProxy, How, Plan, at_byte, cut
from harness.client import Client, OutputEvent, Process, connect
from harness.client.recovery import State

SEED: Final = 7
"""Of the places where ``cuts`` cuts."""

_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin"}
_TALK: Final = ["sh", "-c", "while :; do echo; sleep 0.001; done"]
# One number at a time: what it says without a connection must be less than what passes between two cuts.
_COUNT: Final = [
    "sh",
    "-c",
    'i=0; while [ ! -e "$0" ]; do i=$((i+1)); echo $i; sleep 0.001; done; echo end $i',
]
_CUTS_OF_MANY: Final = 5
_STARTS_IN_FLIGHT: Final = 16
_POLL_SECONDS: Final = 0.0005
_WARM_BYTES: Final = 1_500
_BYTES: Final = 2_600


@dataclass(frozen=True)
class Cuttable:
    """A client, and the proxy through which it is connected."""

    client: Client
    proxy: ChaosProxy

    def cut(self, number: int) -> float:
        """Cuts the connection, in both ways by turns, and returns when."""
        begin = time.perf_counter()
        if not self.proxy.cut(How.RST if number % 2 else How.FIN):
            raise ValueError("there was no connection to cut")
        return begin

    async def start(self, argv: list[str], *, stdin: bool = False) -> Process:
        return await self.client.start(argv, env=_ENVIRONMENT, cwd="file:///", stdin=stdin)

    async def until_recovered(self, times: int) -> None:
        """Waits until the session has come back so many times, which nobody is told of."""
        while self.client.recovered < times:
            if self.client.state is State.FAILED:
                raise ValueError("the session is lost")
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def cuttable(url: str) -> AsyncIterator[Cuttable]:
    """A client of the executor that listens at *url*."""
    async with ChaosProxy(url) as proxy, connect(proxy.url, client_name="crossexec-bench") as client:
        yield Cuttable(client, proxy)


async def _until_next_byte(bench: Bench, amount: int) -> list[float]:
    return await until_next_byte(cuttable(bench.executor.url), amount)


async def until_next_byte(connected: AbstractAsyncContextManager[Cuttable], amount: int) -> list[float]:
    """Cuts so often; returns the times until output has come by another connection, in ms."""
    result = []
    async with connected as made, await made.start(_TALK) as process:
        for number in range(amount):
            # A connection that was of no use is not replaced at once.
            await made.client.call(ENVIRONMENT_STATUS, Empty())
            await _next_output(process)
            generation = made.client.generation
            begin = made.cut(number)
            # What had arrived before the cut is still to be read.
            while made.client.generation == generation:
                await _next_output(process)
            result.append((time.perf_counter() - begin) * 1e3)
            await made.until_recovered(number + 1)
    return result


async def _next_output(process: Process) -> None:
    """Waits for the next piece of output."""
    async for event in process:
        if isinstance(event, OutputEvent):
            return
    raise ValueError(f"{process!r} has ended with {process.exit_code}")


class _ManyProcesses:
    """Both times of each cut, so that the processes are started once for two measures."""

    def __init__(self) -> None:
        self._connected: dict[str, deque[list[float]]] = defaultdict(deque)
        self._talking: dict[str, deque[list[float]]] = defaultdict(deque)

    async def connected(self, bench: Bench, amount: int) -> list[float]:
        if not self._connected[bench.target.name]:
            await self._run(bench, amount)
        return self._connected[bench.target.name].popleft()

    async def talking(self, bench: Bench, amount: int) -> list[float]:
        if not self._talking[bench.target.name]:
            await self._run(bench, amount)
        return self._talking[bench.target.name].popleft()

    async def _run(self, bench: Bench, amount: int) -> None:
        connected: list[float] = []
        talking: list[float] = []
        async with _many(bench, amount) as (made, processes):
            for number in range(_CUTS_OF_MANY):
                begin = made.cut(number)
                await made.until_recovered(number + 1)
                connected.append((time.perf_counter() - begin) * 1e3)
                await asyncio.gather(*map(_echoed, processes))
                talking.append((time.perf_counter() - begin) * 1e3)
        self._connected[bench.target.name].append(connected)
        self._talking[bench.target.name].append(talking)


@asynccontextmanager
async def _many(bench: Bench, amount: int) -> AsyncIterator[tuple[Cuttable, list[Process]]]:
    """So many processes that answer, in an executor of their own."""
    if not bench.target.command:
        raise Unmeasurable("not launched here")
    async with running(bench.target) as executor, cuttable(executor.url) as made:
        room = asyncio.Semaphore(_STARTS_IN_FLIGHT)

        async def start() -> Process:
            async with room:
                return await made.start(["cat"], stdin=True)

        processes = await asyncio.gather(*(start() for _ in range(amount)))
        await asyncio.gather(*map(_echoed, processes))
        yield made, processes


async def _echoed(process: Process) -> None:
    await process.write(b"x")
    await _next_output(process)


async def _numbers_wrong(bench: Bench, amount: int) -> list[float]:
    stop = bench.folder / "stop"
    async with cuttable(bench.executor.url) as made, await made.start([*_COUNT, str(stop)]) as process:
        made.proxy.script(_random_cut)
        made.cut(0)
        try:
            async with asyncio.TaskGroup() as group:
                collecting = group.create_task(process.communicate())
                await made.proxy.until(lambda counts: counts.cuts >= amount, seconds=float("inf"))
                made.proxy.heal()
                stop.touch()
        finally:
            made.proxy.heal()
            stop.unlink(missing_ok=True)
    return [float(_wrong(collecting.result().stdout))]


def _random_cut(number: int) -> Plan:
    chosen = random.Random(f"{SEED}/{number}")
    # Beyond the handshake: what falls into it is for the tests.
    byte = chosen.randint(_WARM_BYTES, _BYTES)
    return cut(at_byte(DOWN, byte), chosen.choice(tuple(How)))


def _wrong(output: bytes) -> int:
    """Returns how many numbers are missing, doubled or out of order.

    :raises ValueError: the output has not the form that the program gives it.
    """
    lines = output.split(b"\n")
    end, last = lines[-2].split()
    if end != b"end" or lines[-1]:
        raise ValueError(f"the output ends with {output[-40:]!r}")
    found = [int(line) for line in lines[:-2]]
    expected = range(1, int(last) + 1)
    if len(found) == len(expected) and all(map(int.__eq__, found, expected)):
        return 0
    distinct = set(found)
    doubled = len(found) - len(distinct)
    lost = len(set(expected) - distinct)
    disordered = sum(second < first for first, second in itertools.pairwise(found))
    return doubled + lost + disordered


_MANY: Final = _ManyProcesses()

MEASURES: Final = [
    Measure("recover", "cut to the next byte", "ms", "lower", 150, "cut", 100, _until_next_byte),
    Measure(
        "recover-many",
        "cut to connected, 1,000 processes",
        "ms",
        "lower",
        None,
        "",
        1000,
        _MANY.connected,
        fresh=True,
    ),
    Measure(
        "recover-many-bytes",
        "cut to the next byte of each of 1,000",
        "ms",
        "lower",
        None,
        "",
        1000,
        _MANY.talking,
        fresh=True,
    ),
    Measure(
        "cuts",
        "numbers lost or doubled by cuts",
        "",
        "lower",
        0,
        "cut",
        200,
        _numbers_wrong,
        worst=True,
    ),
]
