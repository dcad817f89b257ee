"""MCP servers on an executor, talked to by the client of the ``mcp`` package."""

import asyncio
import inspect
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import mcp
import mcp.types
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.client.session import IncomingMessage
from mcp.shared.message import SessionMessage

import harness.mcp
from harness.client import Client, ConnectionLost, Process
from harness.client.errors import StdinClosed
from harness.environments import Running
from harness.environments.local import LocalEnvironment
from harness.mcp import LineSplitter, LineTooLong, server_streams, stdio_client
from suites.recovery import mcp_server
from tests.support.launch import ROOT
from tests.support.launch import Executor as ExecutorProcess
from tests.support.watch import Watched

pytestmark = pytest.mark.anyio

SECONDS = 60
MIB = 1024 * 1024
PYTHON = [sys.executable, "-I", "-S", "-c"]
PLAIN = [*PYTHON, inspect.getsource(mcp_server)]

SDK_SERVER = """
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums")

@server.tool()
def add(a: int, b: int) -> int:
    print("adding", file=sys.stderr)
    return a + b

@server.resource("memo://one")
def one() -> str:
    return "uno"

server.run("stdio")
"""

STAY = """
import json, os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pids = {"jsonrpc": "2.0", "method": "pids", "params": {"all": [os.getpid(), child.pid]}}
os.write(1, json.dumps(pids).encode() + b"\\n")
time.sleep(600)
"""
"""Tells its process id and that of its child, and takes no notice of its input."""

FLOOD = """
import os, sys
while True:
    os.write(1, b'{"jsonrpc": "2.0", "method": "more", "params": {"data": "%b"}}\\n' % (b"x" * 100_000))
"""


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


class Heard:
    """What a session hands to its message handler."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.logged: list[Any] = []
        self._news = asyncio.Event()

    async def __call__(self, message: IncomingMessage) -> None:
        if isinstance(message, Exception):
            self.errors.append(message)
        elif isinstance(message, mcp.types.LoggingMessageNotification):
            self.logged.append(message.params.data)
        self._news.set()

    async def until_error(self) -> Exception:
        await self._until(lambda: bool(self.errors))
        return self.errors[0]

    async def until_logged(self, count: int) -> None:
        await self._until(lambda: len(self.logged) >= count)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._news.clear()
            await self._news.wait()


def text_of(result: mcp.types.CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, mcp.types.TextContent)
    return content.text


async def call(session: mcp.Client | mcp.ClientSession, tool: str, **arguments: Any) -> str:
    result = await session.call_tool(tool, arguments)
    assert isinstance(result, mcp.types.CallToolResult)
    return text_of(result)


async def test_a_server_of_the_sdk_serves_its_client(client: Client) -> None:
    stderr = io.BytesIO()
    argv = [sys.executable, "-I", "-c", SDK_SERVER]
    async with await client.start(argv, stdin=True) as process:
        async with mcp.Client(server_streams(process, stderr=stderr, grace_seconds=SECONDS)) as session:
            assert session.server_info is not None
            assert session.server_info.name == "sums"
            assert [tool.name for tool in (await session.list_tools()).tools] == ["add"]
            assert await call(session, "add", a=20, b=22) == "42"
            (content,) = (await session.read_resource("memo://one")).contents
            assert isinstance(content, mcp.types.TextResourceContents)
            assert content.text == "uno"
        # It was not killed: the end of its input told it to leave.
        assert process.exit_code == 0
    assert b"adding\n" in stderr.getvalue()


async def test_the_two_streams_serve_a_client_session(client: Client) -> None:
    async with (
        stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO()) as (read, write),
        mcp.ClientSession(read, write) as session,
    ):
        assert (await session.initialize()).server_info.name == "plain"
        await session.send_ping()
        assert await call(session, "add", a=1, b=2) == "3"


async def test_calls_of_many_tasks_are_each_answered(client: Client) -> None:
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())) as session:
        answers = await asyncio.gather(*(call(session, "add", a=number, b=1) for number in range(300)))
        assert answers == [str(number + 1) for number in range(300)]


async def test_notifications_come_in_order_before_the_answer(client: Client) -> None:
    heard = Heard()
    transport = stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())
    async with mcp.Client(transport, message_handler=heard) as session:
        assert await call(session, "report", steps=500) == "500"
        await heard.until_logged(500)
    assert heard.logged == list(range(1, 501))


async def test_long_messages_pass_in_both_directions(client: Client) -> None:
    text = "ä\u2028\n" * (2 * MIB)
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())) as session:
        assert await call(session, "echo", text=text) == text


async def test_standard_error_is_kept_apart(client: Client) -> None:
    stderr = io.BytesIO()
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=stderr)) as session:
        for expected in "12":
            assert await call(session, "count") == expected
    assert stderr.getvalue() == b"count 1\ncount 2\nbye\n"


async def test_standard_error_is_this_programs_own_by_default(
    client: Client, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS)) as session:
        await call(session, "count")
    assert capfdbinary.readouterr() == (b"", b"count 1\nbye\n")


async def test_a_session_goes_on_when_its_standard_error_cannot_be_written(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    stderr = io.BytesIO()
    stderr.close()
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=stderr)) as session:
        assert [await call(session, "count") for _ in range(3)] == ["1", "2", "3"]
    (told,) = [record.message for record in caplog.records if record.name == "harness.mcp"]
    assert "is dropped from here on: I/O operation on closed file" in told


@pytest.mark.parametrize(
    "line", [b"hello", b"", b'{"jsonrpc": "2.0"}', b'{"jsonrpc": "2.0", "method": "\xff"}', b"\x00", b"[1"]
)
async def test_a_line_that_is_no_message_is_told_and_passed_over(
    client: Client, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    heard = Heard()
    transport = stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())
    async with mcp.Client(transport, message_handler=heard) as session:
        assert await call(session, "print", hex=(line + b"\n").hex()) == "printed"
        assert await call(session, "add", a=1, b=2) == "3"
        assert isinstance(await heard.until_error(), ValueError)
    assert len(heard.errors) == 1
    (told,) = [record for record in caplog.records if record.name == "harness.mcp"]
    assert told.levelno == logging.WARNING
    assert "no message of JSON-RPC" in told.message


async def test_messages_come_whole_however_they_are_cut(client: Client) -> None:
    pieces = b"".join(
        json.dumps(
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": n}}
        ).encode()
        + (b"\r\n" if n % 2 else b"\n")
        for n in range(20)
    )
    slow = """
import os, sys
os.set_blocking(1, True)
data = bytes.fromhex(sys.argv[1])
for at in range(len(data)):
    os.write(1, data[at:at+1])
sys.stdin.read()
"""
    argv = [*PYTHON, slow, pieces.hex()]
    async with (
        stdio_client(client, argv) as (read, _),
        asyncio.timeout(SECONDS),
    ):
        for number in range(20):
            item = await read.receive()
            assert not isinstance(item, Exception)
            assert isinstance(item.message, mcp.types.JSONRPCNotification)
            assert (item.message.params or {})["data"] == number


async def test_the_calls_of_a_server_that_ends_fail(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    async with mcp.Client(stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())) as session:
        with pytest.raises(mcp.MCPError) as failed:
            await call(session, "leave", code=7)
        assert failed.value.error.code == mcp.types.CONNECTION_CLOSED
        with pytest.raises(mcp.MCPError):
            await call(session, "count")
    assert "has ended within its session, with exit code 7" in caplog.text


async def test_a_message_that_a_server_does_not_end_is_told(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    argv = [*PYTHON, "import os; os.write(1, b'{\"jsonrpc\": ')"]
    async with stdio_client(client, argv) as (read, _):
        assert [item async for item in read] == []
    assert "ended within a message" in caplog.text


async def test_a_server_that_closes_its_input_ends_the_session(client: Client) -> None:
    code = "import os, sys, time; os.close(0); os.write(1, b'\\n'); time.sleep(600)"
    heard = Heard()
    async with (
        await client.start([*PYTHON, code], stdin=True) as process,
        server_streams(process, grace_seconds=0) as (read, write),
        mcp.ClientSession(read, write, message_handler=heard) as session,
    ):
        # The empty line tells that it has closed its input.
        assert isinstance(await heard.until_error(), ValueError)
        with pytest.raises(mcp.MCPError):
            await session.initialize()
        assert isinstance(heard.errors[-1], StdinClosed)


async def test_an_endless_line_ends_the_session(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.mcp, "MAX_MESSAGE_BYTES", MIB)
    heard = Heard()
    transport = stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())
    async with mcp.Client(transport, message_handler=heard) as session:
        with pytest.raises(mcp.MCPError):
            await call(session, "print", hex=(b"x" * (MIB + 1) + b"\n").hex())
        assert isinstance(heard.errors[-1], LineTooLong)


async def pids_of(read: harness.mcp.ReadStream) -> list[int]:
    item = await read.receive()
    assert not isinstance(item, Exception)
    assert isinstance(item.message, mcp.types.JSONRPCNotification)
    pids: list[int] = (item.message.params or {})["all"]
    return pids


async def test_a_server_that_stays_is_terminated_with_its_children(client: Client) -> None:
    with Watch() as watch:
        async with (
            await client.start([*PYTHON, STAY], stdin=True) as process,
            server_streams(process, grace_seconds=0.1) as (read, _),
        ):
            watch.add(*await pids_of(read))
        assert process.closed
        assert watch.all_ended()


async def test_a_server_is_ended_when_its_session_is_cancelled(client: Client) -> None:
    talking = asyncio.Event()
    processes: list[Process] = []
    with Watch() as watch:

        async def talk() -> None:
            process = await client.start([*PYTHON, STAY], stdin=True)
            processes.append(process)
            async with server_streams(process, grace_seconds=0.1) as (read, _):
                watch.add(*await pids_of(read))
                talking.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(talk())
        await talking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert processes[0].closed
        assert watch.all_ended()


async def test_a_server_that_is_stuck_in_a_write_can_leave(client: Client) -> None:
    async with (
        await client.start([*PYTHON, FLOOD], stdin=True) as process,
        server_streams(process, grace_seconds=0.1) as (read, _),
    ):
        await read.receive()
    assert process.closed


async def test_what_the_body_raises_leaves_as_it_is(client: Client) -> None:
    with pytest.raises(LookupError):
        async with stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO()):
            raise LookupError


async def test_all_that_was_sent_is_written_before_the_input_ends(client: Client) -> None:
    stderr = io.BytesIO()
    request = mcp.types.JSONRPCRequest(
        jsonrpc="2.0",
        id=1,
        method="tools/call",
        params={"name": "count", "_meta": {"padding": "x" * (4 * MIB)}},
    )
    async with stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=stderr) as (_, write):
        await write.send(SessionMessage(request))
    assert stderr.getvalue() == b"count 1\nbye\n"


async def test_an_executor_that_cannot_close_an_input_terminates_at_once(client: Client) -> None:
    msgspec.structs.force_setattr(client.info.capabilities, "process_close_stdin", False)
    async with (
        await client.start([*PYTHON, STAY], stdin=True) as process,
        # Were it waited for, the test would time out.
        server_streams(process, grace_seconds=10 * SECONDS) as (read, _),
    ):
        await pids_of(read)
    assert process.closed


async def test_a_server_gets_the_core_variables_and_those_that_are_given(client: Client, up: Running) -> None:
    async with mcp.Client(
        stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO(), env={"GIVEN": "1"})
    ) as session:
        names = set(json.loads(await call(session, "where"))["variables"])
    assert {"PATH", "GIVEN"} <= names
    completed = await client.run([*PYTHON, "import json, os; print(json.dumps([*os.environ]))"])
    everything = set(json.loads(completed.stdout))
    # The executor runs with this process's variables, of which pytest makes some.
    assert "PYTEST_VERSION" in everything - names


async def test_a_terminal_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="tty"):
        async with stdio_client(client, PLAIN, grace_seconds=SECONDS, tty=True):
            pass


async def test_a_lost_executor_ends_the_session_with_the_reason() -> None:
    heard = Heard()
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ExecutorProcess())
        client = await stack.enter_async_context(harness.client.connect(executor.url))
        transport = stdio_client(client, PLAIN, grace_seconds=SECONDS, stderr=io.BytesIO())
        session = await stack.enter_async_context(mcp.Client(transport, message_handler=heard))
        assert await call(session, "count") == "1"
        executor.process.terminate()
        with pytest.raises(mcp.MCPError):
            while True:
                await call(session, "count")
        assert isinstance(heard.errors[-1], ConnectionLost)
        assert executor.process.wait(SECONDS) == 0


def test_without_the_sdk_the_extra_is_named(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['mcp'] = None; import harness.mcp"
    result = subprocess.run(
        [sys.executable, "-c", blocked], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == 1
    assert "pip install 'crossexec[mcp]'" in result.stderr


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\x00", b"\n"))))
def test_lines_are_the_same_however_they_are_cut(pieces: list[bytes]) -> None:
    splitter = LineSplitter(max_bytes=1000)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    assert [*lines, splitter.rest] == b"".join(pieces).split(b"\n")


def test_a_line_may_have_its_limit_and_no_more() -> None:
    splitter = LineSplitter(max_bytes=5)
    assert splitter.feed(b"123") == []
    assert splitter.feed(b"45") == []
    assert splitter.feed(b"\n") == [b"12345"]
    assert splitter.feed(b"12345\n1234\n") == [b"12345", b"1234"]
    with pytest.raises(LineTooLong):
        splitter.feed(b"1\n123456\n")
    assert splitter.rest == b""
    splitter.feed(b"12345")
    with pytest.raises(LineTooLong, match="6 bytes and more; at most 5"):
        splitter.feed(b"6")


class Watch:
    """Sees whether processes have ended."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []

    def add(self, *pids: int) -> None:
        self._watched += map(Watched, pids)

    def all_ended(self) -> bool:
        return bool(self._watched) and all(each.has_ended() for each in self._watched)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._watched:
            each.close()
