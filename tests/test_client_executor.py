"""The client against a real executor: processes, files, back-pressure."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.errors import ErrorCode
from executors.protocol.methods import ENVIRONMENT_STATUS, FS_CLOSE
from harness.client import (
    BufferLimits,
    Client,
    ClosedEvent,
    CommandFailed,
    Completed,
    ConnectionLost,
    EnvPolicy,
    ExitedEvent,
    LinkOptions,
    OutputEvent,
    OutputOverflow,
    PathUri,
    Process,
    RecoveryOptions,
    RpcError,
    StdinClosed,
    connect,
)
from harness.client.calls import Pending
from harness.environments import Running
from harness.environments.local import LocalEnvironment
from tests.support.links import pings_of_links

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SECONDS = 60
PYTHON = [sys.executable, "-I", "-c"]
COPY = [*PYTHON, "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]


def flood(size: int) -> list[str]:
    """A program that writes *size* bytes."""
    return [*PYTHON, f"import sys\nfor _ in range({size} // 65536): sys.stdout.buffer.write(bytes(65536))"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def up() -> AsyncIterator[Running]:
    async with LocalEnvironment().start() as running:
        yield running


@pytest.fixture
async def client(up: Running) -> AsyncIterator[Client]:
    async with asyncio.timeout(SECONDS), up.connect() as client:
        yield client


async def test_the_client_knows_the_environment_and_its_session(up: Running, client: Client) -> None:
    assert client.info == up.info
    assert client.info.shell.path
    assert client.session_id
    assert (await client.call(ENVIRONMENT_STATUS, Empty())).status == "ready"


async def test_thousands_of_calls_are_in_flight_at_once(client: Client) -> None:
    pending = [await client.submit(ENVIRONMENT_STATUS, Empty()) for _ in range(5000)]
    assert [(await call).status for call in pending] == ["ready"] * 5000


async def test_a_refused_call_raises_the_executors_error(client: Client, up: Running) -> None:
    with pytest.raises(RpcError) as error:
        await client.files.read_file(up.workspace_root.join("none"))
    assert error.value.code == ErrorCode.NOT_FOUND


async def test_a_cancelled_call_leaves_the_connection_usable(client: Client, up: Running) -> None:
    process = await client.start(SLEEP)
    waiting = asyncio.create_task(process.wait())
    call = asyncio.create_task(client.call(ENVIRONMENT_STATUS, Empty()))
    await asyncio.sleep(0)
    waiting.cancel()
    call.cancel()
    await asyncio.wait([waiting, call])
    assert not len(client.connection._calls)
    assert (await client.call(ENVIRONMENT_STATUS, Empty())).status == "ready"
    assert await process.terminate() is True


# Processes


async def test_events_come_in_order_with_their_streams(client: Client) -> None:
    script = "import os, sys; os.write(1, b'out'); sys.stdin.read(); os.write(2, b'err'); sys.exit(3)"
    process = await client.start([*PYTHON, script], stdin=True)
    events = []
    async for event in process:
        events.append(event)
        if isinstance(event, OutputEvent) and event.stream == "stdout":
            await process.close_stdin()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    output = {event.stream: event.data for event in events if isinstance(event, OutputEvent)}
    assert output == {"stdout": b"out", "stderr": b"err"}
    assert [event.exit_code for event in events if isinstance(event, ExitedEvent)] == [3]
    assert isinstance(events[-1], ClosedEvent)
    assert (process.exit_code, process.closed) == (3, True)
    assert await process.next_events() == []


async def test_run_returns_exit_code_and_output(client: Client, up: Running) -> None:
    script = "import os, sys; print(os.getcwd()); print(sys.argv[1:], file=sys.stderr); sys.exit(5)"
    done = await client.run([*PYTHON, script, "a b", "ü"], cwd=up.workspace_root)
    assert done.exit_code == 5
    assert os.fsdecode(done.stdout).rstrip() == up.workspace_root.to_native(up.platform)
    assert done.stderr.split() == b"['a b', '\xc3\xbc']".split()
    assert client._processes._followers == {}


async def test_run_with_check_raises_what_the_command_said(client: Client) -> None:
    with pytest.raises(CommandFailed, match="exit code 9") as error:
        await client.run([*PYTHON, "import sys; print('why', file=sys.stderr); sys.exit(9)"], check=True)
    assert error.value.stderr.strip() == b"why"
    assert "why" in str(error.value)
    assert (await client.run([*PYTHON, "pass"], check=True)).exit_code == 0


async def test_input_of_megabytes_comes_back(client: Client) -> None:
    data = os.urandom(5 * MIB)
    assert await client.run(COPY, input=data) == Completed(0, data, b"")


async def test_a_program_may_leave_its_input_unread(client: Client) -> None:
    assert await client.run([*PYTHON, "print('done')"], input=bytes(4 * MIB)) == Completed(0, b"done\n", b"")


async def test_writing_to_a_process_without_input_says_why(client: Client) -> None:
    process = await client.start(SLEEP)
    with pytest.raises(StdinClosed, match=r"started without `stdin`"):
        await process.write(b"x")
    await process.terminate()


async def test_two_writers_do_not_lose_a_byte(client: Client) -> None:
    process = await client.start(COPY, stdin=True)
    await asyncio.gather(process.write(b"a" * MIB), process.write(b"b" * MIB))
    await process.close_stdin()
    done = await process.communicate()
    assert (done.stdout.count(b"a"), done.stdout.count(b"b")) == (MIB, MIB)


async def test_the_exit_is_known_before_the_output_is_read(client: Client) -> None:
    process = await client.start([*PYTHON, "print('kept', end='')"])
    assert await process.wait() == 0
    assert await process.communicate() == Completed(0, b"kept", b"")


async def test_the_environment_of_a_process(client: Client) -> None:
    show = [*PYTHON, "import os, sys; sys.stdout.write(','.join(sorted(os.environ)))"]
    clean = {"SYSTEMROOT": os.environ["SYSTEMROOT"]} if sys.platform == "win32" else {}
    everything = set((await client.run(show)).stdout.decode().split(","))
    assert set(os.environ) <= everything
    only = set((await client.run(show, env={**clean, "ONLY": "1"})).stdout.decode().split(","))
    assert "ONLY" in only
    assert "PATH" not in only
    policy = EnvPolicy("all", ignore_default_excludes=True, exclude=["PATH"])
    overlaid = (await client.run(show, env={"ADDED": "1"}, env_policy=policy)).stdout.decode().split(",")
    assert ("ADDED" in overlaid, "PATH" in overlaid) == (True, False)


async def test_a_second_consumer_is_refused(client: Client) -> None:
    process = await client.start(SLEEP)
    first = asyncio.create_task(anext(process))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="another consumer"):
        await anext(process)
    await process.terminate()
    assert isinstance(await first, ExitedEvent)


async def test_a_process_id_in_use_is_refused_and_the_first_process_lives_on(client: Client) -> None:
    first = await client.start(COPY, stdin=True, process_id="mine")
    with pytest.raises(RpcError) as error:
        await client.start(SLEEP, process_id="mine")
    assert error.value.code == ErrorCode.INVALID_REQUEST
    await first.write(b"still here")
    await first.close_stdin()
    assert (await first.communicate()).stdout == b"still here"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and exit codes")
async def test_interrupt_and_terminate(client: Client) -> None:
    script = """
import time
try:
    print("up", flush=True)
    time.sleep(600)
except KeyboardInterrupt:
    raise SystemExit(4)
"""
    process = await client.start([*PYTHON, script])
    assert isinstance(await anext(process), OutputEvent)
    await process.interrupt()
    assert await process.wait() == 4
    process = await client.start(SLEEP)
    assert await process.terminate() is True
    assert await process.wait() == 128 + signal.SIGKILL
    assert await process.terminate() is False


async def test_a_process_ends_with_its_block(client: Client) -> None:
    async with await client.start(SLEEP) as process:
        assert process.exit_code is None
    assert process.exit_code not in (None, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="process ids of POSIX")
async def test_a_cancelled_run_and_a_closed_client_leave_no_process(
    up: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_pid = [*PYTHON, "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    async with asyncio.timeout(SECONDS), up.connect() as client:
        process = await client.start(show_pid)
        first = await anext(process)
        assert isinstance(first, OutputEvent)
        started = asyncio.Queue[Process]()
        start = client.start

        async def seen(*args: Any, **options: Any) -> Process:
            process = await start(*args, **options)
            started.put_nowait(process)
            return process

        monkeypatch.setattr(client, "start", seen)
        run = asyncio.create_task(client.run(SLEEP))
        other = await started.get()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert other.exit_code not in (None, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(first.data), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no resize there")
async def test_a_terminal_has_the_size_it_is_given(client: Client) -> None:
    script = "import os, sys\nfor _ in sys.stdin: print(*os.get_terminal_size(), flush=True)"
    process = await client.start([*PYTHON, script], tty=True)
    await process.resize(40, 100)
    await process.write(b"\n\x04")
    done = await process.communicate()
    assert b"100 40" in done.stdout
    assert done.stderr == b""


# Back-pressure


async def test_a_slow_consumer_stops_the_reading_and_loses_nothing(
    up: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = BufferLimits(pause_bytes=MIB)
    async with asyncio.timeout(SECONDS), connect(up.url, limits=limits) as client:
        gate = client._session.gate
        paused = asyncio.Event()
        pause = gate._pause

        def seen() -> None:
            pause()
            paused.set()

        monkeypatch.setattr(gate, "_pause", seen)
        process = await client.start(flood(64 * MIB))
        await paused.wait()
        unread = process._unread
        assert MIB < unread < 16 * MIB
        # What is awaited gets through all the same, and the reading stops again.
        assert (await client.call(ENVIRONMENT_STATUS, Empty())).status == "ready"
        assert gate.paused
        size = 0
        async for event in process:
            if isinstance(event, OutputEvent):
                size += len(event.data)
                assert not gate.paused or process._unread > MIB // 2
        assert size == 64 * MIB
        assert not gate.paused


async def test_waiting_for_an_exit_does_not_depend_on_a_consumer(up: Running) -> None:
    limits = BufferLimits(pause_bytes=MIB)
    async with asyncio.timeout(SECONDS), connect(up.url, limits=limits) as client:
        process = await client.start(flood(8 * MIB))
        assert await process.wait() == 0
        while not process.closed:
            await client.call(ENVIRONMENT_STATUS, Empty())
        # It can write no more, so there is nothing left to hold back.
        assert not client._session.gate.paused
        assert len((await process.communicate()).stdout) == 8 * MIB


async def test_output_that_nobody_reads_is_given_up_aloud(up: Running) -> None:
    limits = BufferLimits(pause_bytes=MIB, overflow_bytes=4 * MIB)
    async with asyncio.timeout(SECONDS), connect(up.url, limits=limits) as client:
        process = await client.start(flood(16 * MIB))
        assert await process.wait() == 0
        while not process.closed:
            await client.call(ENVIRONMENT_STATUS, Empty())
        with pytest.raises(OutputOverflow, match=f"more than {4 * MIB} bytes"):
            await anext(process)
        assert (await client.run([*PYTHON, "print(1)"])).stdout == b"1\n"


async def test_a_silent_executor_is_noticed_but_not_one_that_is_not_read(
    up: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While reading is paused no pong can come in, and its absence means nothing."""
    pings = pings_of_links(monkeypatch)
    options = LinkOptions(ping_seconds=0.25, pong_seconds=0.25)
    limits = BufferLimits(pause_bytes=MIB)
    async with asyncio.timeout(SECONDS), connect(up.url, options=options, limits=limits) as client:
        process = await client.start(flood(64 * MIB))
        paused = 0
        while paused < 5:
            paused += await pings.get()
        assert len((await process.communicate()).stdout) == 64 * MIB


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
async def test_a_stopped_executor_counts_as_lost() -> None:
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        up = await stack.enter_async_context(LocalEnvironment().start())
        script = [*PYTHON, "import os; print(os.getppid())"]
        # Before it is stopped, it may be as slow as that.
        options = LinkOptions(ping_seconds=1, pong_seconds=1)
        no_recovery = RecoveryOptions(enabled=False)
        client = await stack.enter_async_context(connect(up.url, options=options, recovery=no_recovery))
        pid = int((await client.run(script)).stdout)
        process = await client.start(SLEEP)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectionLost, match="ping"):
                await process.wait()
        finally:
            os.kill(pid, signal.SIGCONT)


# Files


@pytest.fixture
def file(up: Running) -> PathUri:
    return up.workspace_root.join(f"file-{os.urandom(4).hex()}")


async def test_files_are_written_read_and_removed(client: Client, up: Running, file: PathUri) -> None:
    data = os.urandom(20 * MIB)
    await client.files.write_file(file, data)
    assert await client.files.read_file(str(file)) == data
    meta = await client.files.metadata(file)
    assert (meta.size, meta.is_file, meta.is_directory) == (len(data), True, False)
    assert await client.files.canonicalize(file) == await client.files.canonicalize(str(file))
    copied = up.workspace_root.join("copied")
    await client.files.copy(file, copied)
    await client.files.remove(file)
    names = {entry.file_name for entry in await client.files.read_directory(up.workspace_root)}
    assert "copied" in names
    assert file.basename not in names
    with pytest.raises(RpcError):
        await client.files.remove(file, force=False)


async def test_a_tree_is_made_walked_and_removed(client: Client, up: Running) -> None:
    top = up.workspace_root.join("tree")
    deep = top.join("a").join("b")
    await client.files.create_directory(deep)
    await client.files.write_file(deep.join("f"), b"")
    with pytest.raises(RpcError):
        await client.files.create_directory(deep, recursive=False)
    walked = await client.files.walk(top)
    assert [(entry.path.removeprefix(str(top)), entry.kind) for entry in walked.entries] == [
        ("/a", "directory"),
        ("/a/b", "directory"),
        ("/a/b/f", "file"),
    ]
    assert len((await client.files.walk(top, max_depth=0)).entries) == 1
    await client.files.remove(top)
    with pytest.raises(RpcError):
        await client.files.walk(top)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 9 * MIB + 5])
async def test_streams_keep_order_and_size(client: Client, file: PathUri, size: int) -> None:
    data = os.urandom(size)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 700_001):
            yield data[start : start + 700_001]

    assert await client.files.write_stream(file, pieces()) == size
    blocks = [block async for block in client.files.stream(file)]
    assert b"".join(blocks) == data
    assert all(len(block) == MIB for block in blocks[:-1])


async def test_blocks_are_read_and_written_anywhere(client: Client, file: PathUri) -> None:
    async with client.files.open_replace(file) as handle:
        await handle.write_block(3, b"def")
        await handle.write_block(0, b"abc")
    async with client.files.open_read(file) as handle:
        assert await handle.read_block(2, 3) == (b"cde", False)
        assert await handle.read_block(4, 100) == (b"ef", True)
        assert b"".join([block async for block in handle.stream(5)]) == b"f"


async def test_a_stream_that_is_left_early_closes_its_handle(
    client: Client, file: PathUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.files.write_file(file, bytes(8 * MIB))
    closed = []
    submit = client.connection.submit

    async def seen(method: object, params: object) -> Pending[object]:
        if method is FS_CLOSE:
            closed.append(params)
        return await submit(method, params)  # type: ignore[arg-type]

    monkeypatch.setattr(client.connection, "submit", seen)
    stream = client.files.stream(file)
    assert len(await anext(stream)) == MIB
    await stream.aclose()
    assert len(closed) == 1
    assert not len(client.connection._calls)


async def test_a_source_that_fails_closes_the_handle_and_raises(client: Client, file: PathUri) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        await client.files.write_stream(file, failing())
    assert not len(client.connection._calls)
    assert (await client.call(ENVIRONMENT_STATUS, Empty())).status == "ready"
