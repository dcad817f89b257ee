"""No byte is lost, doubled or out of order while connections are cut at random bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_INFO
from fixtures.faults import Chaos, How, Shape
from fixtures.faults_fixture import Faults
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client import BufferLimits, Client, Interrupted, OutputEvent, Process, RecoveryOptions, connect
from harness.client.sync import SyncClient
from suites.process.programs import COPY, END
from suites.recovery.conversation import Conversation, left_running
from suites.recovery.programs import CHATTER, DIGEST, STREAM

Begin = Callable[[], int]
Main = Callable[[Client, Begin], Coroutine[Any, Any, None]]
Talk = Callable[..., None]

RECOVERY: Final = RecoveryOptions(retry_seconds=0.02)
LIMITS: Final = BufferLimits()
SECONDS: Final = 100
MEBIBYTE: Final = 1024 * 1024
BLOCKS: Final = 64 * MEBIBYTE // 65536
ODD: Final = (Shape(), Shape(slice=1), Shape(delay=0.005), Shape(slice=7, delay=0.001))


@pytest.fixture
def talk(faults: Faults) -> Talk:
    """Runs a coroutine function with a client.

    From the moment that it says, the client's connections are cut by a plan, and the present one at once.
    """

    def run(main: Main, chaos: Chaos, least: int, limits: BufferLimits = LIMITS) -> None:
        def begin() -> int:
            faults.script(chaos)
            return faults.cut(How.RST)

        async def connected() -> None:
            async with (
                asyncio.timeout(SECONDS),
                connect(faults.url, open_link=faults.open_link, recovery=RECOVERY, limits=limits) as client,
            ):
                await main(client, begin)

        asyncio.run(connected())
        # A connection that is refused, since the executor still has the one before, ends before its cut.
        assert faults.counts.cuts >= least

    return run


async def outputs(process: Process) -> dict[str, bytes]:
    """All that a process writes, after a look at the numbers of its events."""
    found = {"stdout": bytearray(), "stderr": bytearray()}
    seq = 0
    async for event in process:
        seq += 1
        assert event.seq == seq
        if isinstance(event, OutputEvent):
            found[event.stream] += event.data
    return {stream: bytes(data) for stream, data in found.items()}


async def answered(client: Client) -> None:
    """Makes calls until one is answered."""
    while True:
        with contextlib.suppress(Interrupted):
            await client.call(ENVIRONMENT_INFO, Empty())
            return


def test_a_stream_of_output(talk: Talk, python: BoundPython, fault_seed: int) -> None:
    async def main(client: Client, begin: Begin) -> None:
        process = await client.start(python.argv(STREAM, str(fault_seed), str(BLOCKS)))
        begin()
        found = await outputs(process)
        assert len(found["stdout"]) == BLOCKS * 65536
        assert hashlib.sha256(found["stdout"]).hexdigest() == found["stderr"].decode()

    talk(main, Chaos(fault_seed, cuts=30, up=2_000, down=5_000_000), least=10)


def test_a_stream_of_input(talk: Talk, python: BoundPython, fault_seed: int) -> None:
    data = random.Random(fault_seed).randbytes(BLOCKS * 65536)

    async def main(client: Client, begin: Begin) -> None:
        process = await client.start(python.argv(DIGEST), stdin=True)
        begin()
        done = await process.communicate(data)
        assert done.stdout.decode().strip() == hashlib.sha256(data).hexdigest()

    talk(main, Chaos(fault_seed, cuts=30, up=5_000_000, down=4_000), least=10)


def test_ten_thousand_lines_through_a_hundred_cuts(talk: Talk, python: BoundPython, fault_seed: int) -> None:
    lines = [b"%d\n" % number for number in range(10_000)]

    async def main(client: Client, begin: Begin) -> None:
        process = await client.start(python.argv(COPY), stdin=True)
        begin()
        reading = asyncio.create_task(outputs(process))
        for first in range(0, len(lines), 20):
            # They are sent in the order in which they are asked for, and not one waits for another's answer.
            await asyncio.gather(*map(process.write, lines[first : first + 20]))
        await process.write(END)
        assert (await reading)["stdout"] == b"".join(lines)

    talk(main, Chaos(fault_seed, cuts=150, up=12_000, down=12_000), least=100)


def test_pieces_of_any_size_and_pace(talk: Talk, python: BoundPython, fault_seed: int) -> None:
    chosen = random.Random(fault_seed)
    pieces = [bytes(chosen.choices(range(255), k=chosen.choice((1, 10, 100, 1000)))) for _ in range(100)]

    async def main(client: Client, begin: Begin) -> None:
        process = await client.start(python.argv(COPY), stdin=True)
        begin()
        reading = asyncio.create_task(outputs(process))
        for piece in pieces:
            await process.write(piece)
        await process.write(END)
        assert (await reading)["stdout"] == b"".join(pieces)

    talk(main, Chaos(fault_seed, cuts=10, up=6_000, down=6_000, shapes=ODD), least=5)


def test_a_consumer_that_is_slow(talk: Talk, python: BoundPython, faults: Faults, fault_seed: int) -> None:
    blocks = 16 * MEBIBYTE // 65536

    async def main(client: Client, begin: Begin) -> None:
        process = await client.start(python.argv(STREAM, str(fault_seed), str(blocks)))
        begin()
        stdout, stderr = bytearray(), bytearray()
        async for event in process:
            if isinstance(event, OutputEvent):
                (stdout if event.stream == "stdout" else stderr).extend(event.data)
                if event.seq % 4 == 0:
                    # Unread output has piled up by now, and nothing reads the connection but for the call.
                    faults.cut(How.FIN if event.seq % 8 else How.RST)
                    await answered(client)
        assert client.recovered >= 5
        assert len(stdout) == blocks * 65536
        assert hashlib.sha256(stdout).hexdigest().encode() == stderr

    talk(main, Chaos(fault_seed, cuts=0), 5, BufferLimits(pause_bytes=128 * 1024))


def test_fifty_processes_chatter(
    talk: Talk, faults: Faults, env: RunningEnvironment, python: BoundPython, fault_seed: int
) -> None:
    # All is many times slower on Windows, and more so under Wine.
    cuts, pause = (10, "0.5") if env.platform == "windows" else (40, "0.05")

    async def main(client: Client, begin: Begin) -> None:
        processes = await asyncio.gather(
            *(client.start(python.argv(CHATTER, pause), stdin=True) for _ in range(50))
        )
        begin()
        reading = [asyncio.create_task(outputs(process)) for process in processes]
        await asyncio.to_thread(faults.until, lambda counts: counts.cuts >= cuts // 2, SECONDS)
        await asyncio.gather(*(process.close_stdin() for process in processes))
        for found in await asyncio.gather(*reading):
            count = int(found["stderr"])
            assert found["stdout"] == b"".join(b"%d\n" % number for number in range(count))

    talk(main, Chaos(fault_seed, cuts=cuts, up=8_000, down=50_000), least=cuts // 2)


def test_a_conversation(
    faults: Faults, client: SyncClient, python: BoundPython, workspace: Workspace, fault_seed: int
) -> None:
    ended = set()
    for number in range(5):
        faults.script(Chaos(fault_seed * 1000 + number, cuts=15, up=1_500, down=1_500))
        held = Conversation()
        held.hold(faults, python, workspace)
        held.check()
        ended.add(held.pid)
    assert left_running(client, python, workspace, ended) == set()
