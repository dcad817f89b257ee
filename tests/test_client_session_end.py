"""What ends with a connection, and what ends a session: file handles, refusals, time, the executor."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.client import (
    Client,
    HandleLost,
    Interrupted,
    OutcomeUnknown,
    OutputEvent,
    RecoveryOptions,
    SessionLost,
    State,
    StreamInterrupted,
    connect,
)
from harness.environments import EnvironmentFailed, Running
from harness.environments.local import LocalEnvironment
from tests.support.relay import Relay, recovering, status, through
from tests.support.watch import Watched

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SECONDS = 60
PYTHON = [sys.executable, "-I", "-u", "-c"]
COPY = [*PYTHON, "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]
NUMBERS = [*PYTHON, "import sys, time\nfor n in range(int(sys.argv[1])): print(n); time.sleep(0.002)"]


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


# Files


async def test_file_handles_end_with_their_connection(line: tuple[Relay, Client], up: Running) -> None:
    path, client = line
    file = up.workspace_root.join("handles")
    await client.files.write_file(file, b"abc")
    lost = pytest.raises(HandleLost, match="fs/close")
    with lost:
        async with client.files.open_read(file) as reader, client.files.open_replace(file) as writer:
            await writer.write_block(0, b"other")
            path.cut()
            await status_again(client)
            with pytest.raises(HandleLost, match="the file handle ended with it"):
                await reader.read_block(0)
            with pytest.raises(HandleLost):
                await writer.write_block(0, b"x")
            with pytest.raises(StreamInterrupted, match="offset 2"):
                await anext(reader.stream(2))
    assert await client.files.read_file(file) == b"abc"


async def test_a_file_whose_close_is_not_answered_may_be_there(
    line: tuple[Relay, Client], up: Running
) -> None:
    path, client = line
    file = up.workspace_root.join("closed")
    with pytest.raises(OutcomeUnknown, match="fs/close"):
        async with client.files.open_replace(file) as writer:
            await writer.write_block(0, b"x")
            path.hold_answers()
            asyncio.get_running_loop().call_later(0.05, path.cut)


async def status_again(client: Client) -> None:
    """Makes a call that a cut may meet on its way."""
    while True:
        try:
            await status(client)
            return
        except Interrupted:
            continue


async def test_a_stream_that_is_cut_says_how_far_it_came(line: tuple[Relay, Client], up: Running) -> None:
    path, client = line
    file = up.workspace_root.join("streamed")
    data = os.urandom(12 * MIB)
    await client.files.write_file(file, data)
    got = b""
    with pytest.raises(StreamInterrupted) as cut:
        async for block in client.files.stream(file):
            got += block
            if len(got) == 3 * MIB:
                path.cut()
    assert cut.value.offset == len(got)
    assert got == data[: len(got)]
    async with client.files.open_read(file) as handle:
        got += b"".join([block async for block in handle.stream(cut.value.offset)])
    assert got == data


async def test_a_written_stream_that_is_cut_says_what_is_there(
    line: tuple[Relay, Client], up: Running
) -> None:
    path, client = line
    file = up.workspace_root.join("written-stream")
    await client.files.write_file(file, b"old")
    data = bytes(12 * MIB)

    async def source() -> AsyncIterator[bytes]:
        for start in range(0, len(data), MIB):
            if start == 8 * MIB:
                path.cut()
            yield data[start : start + MIB]

    with pytest.raises(StreamInterrupted) as cut:
        await client.files.write_stream(file, source())
    assert 4 * MIB <= cut.value.offset <= 8 * MIB
    assert await client.files.read_file(file) == b"old"


async def test_a_file_is_opened_once_it_is_back(line: tuple[Relay, Client], up: Running) -> None:
    path, client = line
    file = up.workspace_root.join("later")
    await client.files.write_file(file, b"abc")
    await recovering(path, client)
    reading = asyncio.ensure_future(anext(client.files.stream(file)))
    await asyncio.sleep(0)
    path.refuses = False
    assert await reading == b"abc"


# The end


async def test_out_of_time(up: Running) -> None:
    recovery = RecoveryOptions(give_up_seconds=2)
    async with through(up.url, recovery=recovery) as (path, client):
        process = await client.start(SLEEP)
        await recovering(path, client)
        calls: list[Awaitable[Any]] = [
            status(client),
            status(client),
            process.wait(),
            anext(process),
            process.write(b""),
            process.write(b"x"),
            process.terminate(),
            client.start(SLEEP),
            client.files.read_file("file:///x"),
        ]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert ends.pop(4) is None
        lost = await client.wait_lost()
        assert client.state is State.FAILED
        # One error, told to each with what he waited for.
        for end in [*ends, await asyncio.gather(status(client), return_exceptions=True)][:-1]:
            assert isinstance(end, SessionLost)
            assert (end.code, end.reason, end.why) == (lost.code, lost.reason, lost.why)
        assert "not resumed within 2 s" in str(lost)
        with pytest.raises(SessionLost, match="while waiting for environment/status"):
            await status(client)


async def test_a_session_that_has_expired(up: Running) -> None:
    recovery = RecoveryOptions(retention_seconds=0.2)
    async with through(up.url, recovery=recovery) as (path, client):
        script = "import os, time; print(os.getpid()); time.sleep(600)"
        process = await client.start([*PYTHON, script])
        event = await anext(process)
        assert isinstance(event, OutputEvent)
        watched = Watched(int(event.data))
        await recovering(path, client)
        # The executor ends what runs once nobody can come back.
        assert await asyncio.to_thread(watched.has_ended, SECONDS)
        watched.close()
        path.refuses = False
        with pytest.raises(SessionLost, match=rf"does not resume it: .*{client.session_id}"):
            await process.wait()


async def test_a_session_that_ends_with_its_connection(up: Running) -> None:
    for options in (RecoveryOptions(enabled=False), RecoveryOptions(retention_seconds=0)):
        async with through(up.url, recovery=options) as (path, client):
            process = await client.start(SLEEP)
            path.cut()
            with pytest.raises(SessionLost, match="ends with its connection"):
                await process.wait()
            assert path.connections == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("name", "text"), [("SIGTERM", "has ended"), ("SIGKILL", "0.5 s")])
async def test_an_executor_that_ends(name: str, text: str) -> None:
    async with AsyncExitStack() as stack:
        # Nobody can tidy up through it.
        stack.enter_context(pytest.raises(EnvironmentFailed, match="remains on local"))
        await stack.enter_async_context(asyncio.timeout(SECONDS))
        up = await stack.enter_async_context(LocalEnvironment().start())
        recovery = RecoveryOptions(give_up_seconds=0.5)
        client = await stack.enter_async_context(connect(up.url, recovery=recovery))
        pid = int((await client.run([*PYTHON, "import os; print(os.getppid())"])).stdout)
        process = await client.start(COPY, stdin=True)
        os.kill(pid, signal.Signals[name])
        with pytest.raises(SessionLost, match=text):
            await process.wait()
        Path(up.workspace_root.to_native(up.platform)).rmdir()


async def test_closing_while_it_is_being_recovered(up: Running) -> None:
    async with through(up.url) as (path, client):
        waiting = asyncio.ensure_future(status(client))
        await waiting
        await recovering(path, client)
        waiting = asyncio.ensure_future(status(client))
        await asyncio.sleep(0)
    with pytest.raises(SessionLost, match="this client was closed"):
        await waiting
    with pytest.raises(SessionLost, match="this client was closed"):
        await status(client)


async def test_closing_ends_what_runs_even_then(up: Running) -> None:
    async with through(up.url) as (path, client):
        process = await client.start(SLEEP)
        await recovering(path, client)
        path.refuses = False
    assert process.exit_code is not None
