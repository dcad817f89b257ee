"""Sessions that outlive their connections: the client, a real executor, and a relay between them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS, PROCESS_READ
from executors.protocol.processes import ProcessReadParams
from harness.client import (
    BufferLimits,
    CallTimeout,
    Client,
    ConnectionLost,
    Interrupted,
    LinkOptions,
    OutcomeUnknown,
    OutputEvent,
    RecoveryOptions,
    RpcError,
    SessionLost,
    State,
    StdinClosed,
    connect,
)
from harness.client.flow import ReadGate
from harness.client.sync import blocking_context, connect_sync
from harness.environments import Running
from harness.environments.local import LocalEnvironment
from tests.support.launch import Executor
from tests.support.links import pings_of_links
from tests.support.relay import Relay, recovering, relay, status, through
from tests.support.watch import Watched

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SECONDS = 60
PYTHON = [sys.executable, "-I", "-u", "-c"]
COPY = [*PYTHON, "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]
NUMBERS = [
    *PYTHON,
    "import sys, time\n"
    "for n in range(int(sys.argv[1])): print(n); time.sleep(0.002)\n"
    "if sys.argv[2:]: input()",
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def up() -> AsyncIterator[Running]:
    async with LocalEnvironment().start() as running:
        yield running


@pytest.fixture
async def line(up: Running) -> AsyncIterator[tuple[Relay, Client]]:
    async with through(up.url) as made:
        yield made


# What goes on


async def test_output_goes_on_through_cuts(line: tuple[Relay, Client]) -> None:
    path, client = line
    process = await client.start([*NUMBERS, "500", "wait"], stdin=True)
    data = b""
    due = 0
    seqs = []
    async for event in process:
        seqs.append(event.seq)
        if isinstance(event, OutputEvent):
            data += event.data
            # By bytes: a slow machine has fewer events. One cut in a replay makes a connection more.
            if len(data) >= due and client.state is State.CONNECTED:
                due = len(data) + 100
                path.cut()
            if data.endswith(b"\n499\n"):
                # A cut at the very end would still be unnoticed, or under repair.
                await process.write(b"\n")
    assert data.split() == [b"%d" % number for number in range(500)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert process.exit_code == 0
    assert client.recovered
    assert (client.state, client.generation) == (State.CONNECTED, client.recovered + 1)


async def test_what_happened_meanwhile_is_made_up_for(line: tuple[Relay, Client]) -> None:
    path, client = line
    process = await client.start(
        [*PYTHON, "import sys; sys.stdin.read(); print('x' * 3_000_000)"], stdin=True
    )
    await process.close_stdin()
    await recovering(path, client)
    path.refuses = False
    done = await process.communicate()
    assert (done.exit_code, len(done.stdout)) == (0, 3_000_001)


async def test_input_arrives_once_and_in_order(line: tuple[Relay, Client]) -> None:
    path, client = line
    lines = b"".join(b"%d\n" % number for number in range(600_000))
    process = await client.start(COPY, stdin=True)

    path.cut_every = 3_000_000
    done = await process.communicate(lines)
    assert done.stdout == lines
    assert client.recovered


async def test_several_tasks_write_to_one_process(line: tuple[Relay, Client]) -> None:
    path, client = line
    process = await client.start(COPY, stdin=True)

    async def write(name: str) -> None:
        for number in range(200):
            await process.write(b"%s %d\n" % (name.encode(), number))

    path.cut_every = 20_000
    async with asyncio.TaskGroup() as writers:
        for name in "abcdef":
            writers.create_task(write(name))
    path.cut_every = None
    assert client.recovered
    await process.close_stdin()
    found = (await process.communicate()).stdout.splitlines()
    assert len(found) == 6 * 200
    for name in "abcdef":
        own = [row.split()[1] for row in found if row.startswith(name.encode())]
        assert own == [b"%d" % number for number in range(200)]


async def test_the_end_of_input_stays_behind_what_is_written(line: tuple[Relay, Client]) -> None:
    path, client = line
    process = await client.start(COPY, stdin=True)
    path.hold_answers()
    calls = [asyncio.ensure_future(process.write(b"x" * MIB)), asyncio.ensure_future(process.close_stdin())]
    await asyncio.sleep(0)
    path.cut()
    await asyncio.gather(*calls)
    with pytest.raises(StdinClosed):
        await process.write(b"y")
    assert (await process.communicate()).stdout == b"x" * MIB


async def test_many_processes_come_back_together(line: tuple[Relay, Client]) -> None:
    path, client = line
    processes = [await client.start([*NUMBERS, "50"]) for _ in range(20)]
    await recovering(path, client)
    path.refuses = False
    for process in processes:
        done = await process.communicate()
        assert done.stdout.split() == [b"%d" % number for number in range(50)]


async def test_a_slow_consumer_has_all_of_it(up: Running) -> None:
    flood = [*PYTHON, "import sys\nfor n in range(256): sys.stdout.buffer.write(bytes([n]) * 65536)"]
    async with through(up.url, limits=BufferLimits(pause_bytes=MIB)) as (path, client):
        process = await client.start(flood)
        await until_paused(client._session.gate)
        path.cut()
        data = b""
        async for event in process:
            if isinstance(event, OutputEvent):
                data += event.data
        assert data == b"".join(bytes([number]) * 65536 for number in range(256))
        assert client.recovered


async def test_a_slow_consumer_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers no ping while it does not read, and is not taken for dead."""
    pings = pings_of_links(monkeypatch)
    flood = [*PYTHON, "import sys\nfor n in range(64): sys.stdout.buffer.write(bytes(1048576))"]
    with Executor("--ping-seconds", "1") as executor:
        options = LinkOptions(ping_seconds=0.75, pong_seconds=0.75)
        limits = BufferLimits(pause_bytes=MIB)
        async with connect(executor.url, options=options, limits=limits) as client:
            process = await client.start(flood)
            paused = 0
            # Three times as long as the executor waits for a word.
            while paused < 8:
                paused += await pings.get()
            assert len((await process.communicate()).stdout) == 64 * MIB
            assert client.recovered == 0


async def until_paused(gate: ReadGate) -> None:
    paused = asyncio.Event()
    update = gate.update

    def seen() -> None:
        update()
        if gate.paused:
            paused.set()

    gate.update = seen  # type: ignore[method-assign]
    # What it is to wait for may have come together with the answer to the start.
    if not gate.paused:
        await paused.wait()


@pytest.mark.parametrize("count", [1, 100, 129, 200, 700, 900, 1000, 1300, 2000, 20_000])
async def test_a_cut_while_it_comes_back(up: Running, count: int) -> None:
    """In the answer to the WebSocket handshake, to the resume, and in the replay."""
    async with through(up.url) as (path, client):
        process = await client.start([*NUMBERS, "100"])
        first = await anext(process)
        path.cut_after = count
        path.cut()
        data = first.data if isinstance(first, OutputEvent) else b""
        data += (await process.communicate()).stdout
        assert data.split() == [b"%d" % number for number in range(100)]
        assert path.connections >= 2


# Calls


async def test_calls_wait_until_it_is_back(line: tuple[Relay, Client]) -> None:
    path, client = line
    await recovering(path, client)
    calls = [asyncio.ensure_future(status(client)) for _ in range(50)]
    start = asyncio.ensure_future(client.run([*PYTHON, "print(1)"]))
    await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    path.refuses = False
    assert await asyncio.gather(*calls) == ["ready"] * 50
    assert (await start).stdout == b"1\n"


async def test_a_caller_need_not_wait(line: tuple[Relay, Client]) -> None:
    path, client = line
    process = await client.start(COPY, stdin=True)
    await recovering(path, client)
    waits: list[Awaitable[Any]] = [
        status(client),
        client.start(SLEEP),
        process.write(b"lost"),
        process.terminate(),
        client.files.read_file("file:///"),
        client.wait_lost(),
    ]
    for wait in waits:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await wait
    assert not client._session._waiters
    path.refuses = False
    # What was called off before it was sent is never sent.
    assert (await process.communicate(b"kept")).stdout == b"kept"


async def test_calls_under_way(line: tuple[Relay, Client], up: Running) -> None:
    path, client = line
    process = await client.start(SLEEP)
    path.hold_answers()
    file = up.workspace_root.join("written")
    read = ProcessReadParams(process.process_id, wait_ms=60_000)
    calls: list[tuple[type[ConnectionLost], Awaitable[Any]]] = [
        (Interrupted, status(client)),
        (Interrupted, client.call(PROCESS_READ, read)),
        (Interrupted, client.files.read_directory(up.workspace_root)),
        (OutcomeUnknown, client.files.write_file(file, b"x")),
        (OutcomeUnknown, client.files.remove(file)),
        (OutcomeUnknown, process.interrupt()),
    ]
    waiting = [(error, asyncio.ensure_future(call)) for error, call in calls]
    await asyncio.sleep(0)
    path.cut()
    for error, call in waiting:
        with pytest.raises(error, match=r"lost while waiting for .*no close frame"):
            await call
    assert await status(client) == "ready"


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
async def test_a_start_under_way_leaves_nothing(line: tuple[Relay, Client], up: Running) -> None:
    path, client = line
    told = Path(up.workspace_root.to_native(up.platform)) / "pid"
    os.mkfifo(told)
    path.hold_answers()
    script = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    start = asyncio.ensure_future(client.start([*PYTHON, script, str(told)], process_id="p"))
    process = Watched(int(await asyncio.to_thread(told.read_text)))
    path.cut()
    with pytest.raises(OutcomeUnknown, match="process/start"):
        await start
    assert await asyncio.to_thread(process.has_ended, SECONDS)
    process.close()
    assert await status(client) == "ready"
    # Its id is taken, for it had started: nobody gets another's process for his own.
    with pytest.raises(RpcError, match="already exists"):
        await client.start(SLEEP, process_id="p")


async def test_ending_a_process_through_a_cut(line: tuple[Relay, Client]) -> None:
    path, client = line
    async with await client.start(SLEEP) as process:
        path.hold_answers()
        ending = asyncio.ensure_future(process.terminate())
        await asyncio.sleep(0)
        path.cut()
        await ending
        async with await client.start(SLEEP) as other:
            path.cut()
    assert process.exit_code is not None
    assert other.exit_code is not None
    assert client.recovered == 2


# Blocking callers


def test_blocking_callers_have_the_same() -> None:
    with blocking_context(LocalEnvironment().start()) as up, blocking_context(relay(up.url)) as path:
        with connect_sync(path.url) as client:
            process = client.start([*NUMBERS, "100", "wait"], stdin=True)
            data = b""
            for event in process.events():
                if isinstance(event, OutputEvent):
                    if not data:
                        client._loop._loop.call_soon_threadsafe(path.cut)
                    data += event.data
                    if data.endswith(b"\n99\n"):
                        # It is answered over the next connection: the cut is made up for then.
                        process.write(b"\n")
            assert data.split() == [b"%d" % number for number in range(100)]
            assert (client.generation, client.recovered, client.state) == (2, 1, State.CONNECTED)
        with connect_sync(path.url, recovery=RecoveryOptions(give_up_seconds=3)) as client:
            path.refuses = True
            client._loop._loop.call_soon_threadsafe(path.cut)
            with pytest.raises(CallTimeout):
                client.wait_lost(timeout=0.1)
            with pytest.raises(CallTimeout):
                client.call(ENVIRONMENT_STATUS, Empty(), timeout=0.1)
            with pytest.raises(SessionLost, match="not resumed within 3 s"):
                client.files.write_file("file:///x", b"")
            assert client.wait_lost().why.startswith("not resumed")
            assert client.state is State.FAILED
