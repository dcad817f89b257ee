"""Our client against the released executor, which lacks our extensions."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from executors.protocol.errors import ErrorCode
from harness.client import (
    Client,
    ClosedEvent,
    ConnectFailed,
    EnvPolicy,
    ExitedEvent,
    OutputEvent,
    PathUri,
    RpcError,
    StdinClosed,
    Unsupported,
    connect,
)
from harness.client.sync import connect_sync
from harness.executor_kinds.codex.release import VERSION

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SH = ["/bin/sh", "-c"]
# The released executor no longer answers once some 250 calls wait for their replies.
MANY = 200


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def client(released_url: str) -> AsyncIterator[Client]:
    async with connect(released_url) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> PathUri:
    return PathUri.parse(f"file://{tmp_path}")


async def test_what_it_tells_of_itself(client: Client) -> None:
    assert client.info.platform_os == "linux"
    assert client.info.executor_version == VERSION
    assert client.info.shell.path.startswith("/")
    assert client.info.cwd is not None
    assert not client.info.capabilities.process_close_stdin
    assert not client.info.capabilities.process_resize


async def test_run(client: Client) -> None:
    done = await client.run([*SH, "echo grüße; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, "grüße\n".encode(), b"err\n")


async def test_events_come_in_order_and_whole(client: Client) -> None:
    process = await client.start([*SH, "seq 1 200000; exit 3"])
    events = [event async for event in process]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    output = b"".join(event.data for event in events if isinstance(event, OutputEvent))
    assert output == b"".join(b"%d\n" % number for number in range(1, 200001))
    (exited,) = [event for event in events if isinstance(event, ExitedEvent)]
    assert exited.exit_code == 3
    assert isinstance(events[-1], ClosedEvent)


async def test_wait_does_not_wait_for_a_background_child(client: Client) -> None:
    process = await client.start([*SH, "sleep 600 & echo $!"])
    assert await process.wait() == 0
    assert not process.closed
    event = await anext(process)
    while not isinstance(event, OutputEvent):
        # The output may come after the exit.
        event = await anext(process)
    # The released executor does not end what has outlived its leader.
    await client.run(["/bin/kill", event.data.decode().strip()], check=True)
    assert [type(event) async for event in process][-1] is ClosedEvent


async def test_write_to_a_pipe_and_terminate(client: Client) -> None:
    async with await client.start(["/bin/cat"], stdin=True) as process:
        await process.write("grüße\n".encode() * 50_000)
        found = b""
        while len(found) < 8 * 50_000:
            event = await anext(process)
            assert isinstance(event, OutputEvent)
            found += event.data
        assert found == "grüße\n".encode() * 50_000
        assert await process.terminate()
    assert process.exit_code == 128 + signal.SIGKILL


async def test_a_terminal(client: Client) -> None:
    async with await client.start([*SH, "stty size; read x; echo got $x"], tty=True) as process:
        found = b""
        # A terminal may hand a line over without its end.
        while not found.endswith(b"\n"):
            event = await anext(process)
            assert isinstance(event, OutputEvent)
            assert event.stream == "pty"
            found += event.data
        assert found == b"24 80\r\n"
        await process.write(b"this\n")
        done = await process.communicate()
    assert (done.exit_code, done.stdout) == (0, b"this\r\ngot this\r\n")


async def test_an_interrupt(client: Client) -> None:
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done"
    async with await client.start([*SH, script]) as process:
        event = await anext(process)
        assert isinstance(event, OutputEvent)
        assert event.data == b"ready\n"
        await process.interrupt()
        done = await process.communicate()
    assert (done.exit_code, done.stdout) == (3, b"caught\n")


async def test_what_it_cannot_do_says_so(client: Client) -> None:
    with pytest.raises(Unsupported, match=f"{VERSION}.*close the standard input"):
        await client.run(["/bin/cat"], input=b"x")
    async with await client.start(["/bin/cat"], tty=True) as process:
        with pytest.raises(Unsupported, match="resize a terminal"):
            await process.resize(10, 20)
    async with await client.start(["/bin/cat"]) as process:
        with pytest.raises(StdinClosed):
            await process.write(b"x")


async def test_environment_and_directory(client: Client, folder: PathUri) -> None:
    exact = await client.run(["/usr/bin/env"], env={"A": "ü"}, cwd=folder)
    assert exact.stdout == "A=ü\n".encode()
    policy = EnvPolicy("none", set={"A": "1", "B": "2"}, include_only=["A"])
    assert (await client.run(["/usr/bin/env"], env_policy=policy, env={"C": "3"})).stdout == b"A=1\nC=3\n"
    assert (await client.run(["/bin/pwd"], cwd=folder)).stdout.decode().strip() == folder.to_native("linux")


@pytest.mark.parametrize(
    ("argv", "cwd", "code"),
    [
        ([], "file:///", ErrorCode.INVALID_PARAMS),
        (["/bin/true"], "/", ErrorCode.INVALID_PARAMS),
        (["/bin/true"], "file:///C:/windows", ErrorCode.INVALID_PARAMS),
        (["/none"], "file:///", ErrorCode.INTERNAL_ERROR),
        (["/bin/true"], "file:///none", ErrorCode.INTERNAL_ERROR),
    ],
)
async def test_a_refused_start(client: Client, argv: list[str], cwd: str, code: ErrorCode) -> None:
    with pytest.raises(RpcError) as refused:
        await client.start(argv, cwd=cwd)
    assert refused.value.code == code
    assert (await client.run(["/bin/echo", "on"])).stdout == b"on\n"


async def test_files(client: Client, folder: PathUri, tmp_path: Path) -> None:
    files = client.files
    await files.create_directory(folder.join("a/b"))
    await files.write_file(folder.join("a/b/größe 1%?"), b"\0\xff")
    assert (tmp_path / "a/b/größe 1%?").read_bytes() == b"\0\xff"
    assert await files.read_file(folder.join("a/b/größe 1%?")) == b"\0\xff"
    (tmp_path / "link").symlink_to("a/b")
    assert await files.canonicalize(folder.join("link")) == folder.join("a/b")
    metadata = await files.metadata(folder.join("link"))
    assert (metadata.is_directory, metadata.is_symlink) == (True, True)
    await files.copy(folder.join("a"), folder.join("c"), recursive=True)
    assert {entry.file_name for entry in await files.read_directory(folder)} == {"a", "c", "link"}
    walked = await files.walk(folder.join("c"))
    assert [(PathUri.parse(entry.path).basename, entry.kind) for entry in walked.entries] == [
        ("b", "directory"),
        ("größe 1%?", "file"),
    ]
    await files.remove(folder.join("a"))
    assert not (tmp_path / "a").exists()
    with pytest.raises(RpcError) as refused:
        await files.read_file(folder.join("a"))
    assert refused.value.code == ErrorCode.NOT_FOUND


async def test_streams_of_files(client: Client, folder: PathUri, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 5 + b"end"
    blocks = (content[start : start + MIB + 7] for start in range(0, len(content), MIB + 7))
    assert await client.files.write_stream(folder.join("big"), blocks) == len(content)
    assert (tmp_path / "big").read_bytes() == content
    assert b"".join([block async for block in client.files.stream(folder.join("big"))]) == content
    async with client.files.open_read(folder.join("big")) as handle:
        (tmp_path / "other").write_bytes(b"other")
        (tmp_path / "other").rename(tmp_path / "big")
        assert await handle.read_block(len(content) - 3, 10) == (b"end", True)


async def test_many_calls_at_once(client: Client, folder: PathUri) -> None:
    await client.files.write_file(folder.join("file"), b"x" * 100)
    found = await asyncio.gather(*(client.files.metadata(folder.join("file")) for _ in range(MANY)))
    assert [each.size for each in found] == [100] * MANY


async def test_many_processes_at_once(client: Client) -> None:
    done = await asyncio.gather(*(client.run([*SH, f"echo {number}; exit {number}"]) for number in range(40)))
    assert [(each.stdout, each.exit_code) for each in done] == [
        (b"%d\n" % number, number) for number in range(40)
    ]


def test_the_blocking_client(released_url: str, folder: PathUri) -> None:
    with connect_sync(released_url) as client:
        assert client.run([*SH, "echo x; exit 2"]).exit_code == 2
        client.files.write_file(folder.join("file"), b"x")
        assert client.files.read_file(folder.join("file")) == b"x"


async def test_a_wrong_address(released_url: str) -> None:
    with pytest.raises(ConnectFailed):
        async with connect(f"{released_url}/none"):
            raise AssertionError("connected")
