"""The client against servers that misbehave, and against its own back-pressure."""

import asyncio
import base64
import json
import logging
import socket
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from executors.protocol.environment import Empty
from executors.protocol.files import WriteFileParams
from executors.protocol.methods import ENVIRONMENT_STATUS, FS_WRITE_FILE
from harness.client import (
    BadReply,
    Client,
    ConnectFailed,
    ConnectionLost,
    LinkOptions,
    OutputEvent,
    RpcError,
    Unsupported,
    connect,
)
from tests.support.fake_executor import SECONDS, Fake, fake

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def ready(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
    return {"status": "ready"}


async def status(client: Client) -> str:
    return (await client.call(ENVIRONMENT_STATUS, Empty())).status


async def test_an_old_executor_tells_only_shell_and_directory() -> None:
    async with fake(ready) as client:
        assert (client.info.shell.name, client.info.cwd, client.info.platform_os) == ("sh", "file:///", None)
        assert client.session_id == "s"


async def test_what_an_old_executor_lacks_is_refused_before_it_is_asked() -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        assert method in ("process/start", "process/terminate")
        if method == "process/terminate":
            await server.told("exited", processId=params["processId"], seq=1, exitCode=137)
            return {"running": True}
        return {"processId": params["processId"]}

    async with fake(answer) as client:
        process = await client.start(["x"], stdin=True)
        with pytest.raises(Unsupported, match="process_close_stdin"):
            await process.close_stdin()
        with pytest.raises(Unsupported, match="process_resize"):
            await process.resize(1, 1)
        with pytest.raises(Unsupported):
            await process.communicate(b"input")


async def test_replies_are_matched_by_id_in_any_order() -> None:
    waiting: list[int] = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        waiting.append(id)
        if len(waiting) == 100:
            for each in reversed(waiting):
                await server.send(id=each, result={"status": str(each)})

    async with fake(answer) as client:
        pending = [await client.submit(ENVIRONMENT_STATUS, Empty()) for _ in range(100)]
        assert [(await call).status for call in pending] == [str(call.id) for call in pending]


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        ({"result": {"status": 5}}, BadReply, r"environment/status: .*\$\.status"),
        ({"result": None}, BadReply, "environment/status"),
        ({"error": {"code": -32000, "message": "no"}}, RpcError, r"no \(-32000\)"),
        ({"error": "text"}, BadReply, "malformed error reply to environment/status"),
    ],
)
async def test_a_wrong_reply_fails_its_call_only(
    reply: dict[str, Any], error: type[Exception], text: str
) -> None:
    replies = [reply, {"result": {"status": "ready"}}]

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        await server.send(id=id, **replies.pop(0))

    async with fake(answer) as client:
        with pytest.raises(error, match=text):
            await status(client)
        assert await status(client) == "ready"


async def test_what_nobody_asked_for_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if not calls:
            await server.send(id=10**6, result={})
            await server.send(id="never", result={})
            await server.send(id=-1, error={"code": -32600, "message": "what was that?"})
            await server.send(method="new/thing", params={"a": 1})
            await server.told("closed", processId="nobody", seq=1)
            for method in ("give/me", "process/closed"):
                await server.send(method=method, id=method, params={"processId": "nobody", "seq": 2})
                calls.append(json.loads(await server.socket.recv()))
        return {"status": "ready"}

    with caplog.at_level(logging.WARNING, "harness"):
        async with fake(answer) as client:
            assert await status(client) == "ready"
    assert [(call["id"], call["error"]["code"]) for call in calls] == [
        ("give/me", -32601),
        ("process/closed", -32601),
    ]
    for text in ("never made: id 1000000", "id 'never'", "what was that?", "new/thing ignored", "give/me"):
        assert text in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        "{bad",
        "",
        "[]",
        '{"id":1}',
        b"\xff\xfe",
        '{"method":"process/exited","params":{"processId":"p","seq":"x"}}',
        '{"method":"process/output","params":{"processId":"p","seq":1,"stream":"stdout","chunk":"?"}}',
    ],
)
async def test_an_unreadable_message_ends_the_connection_and_says_so(garbage: str | bytes) -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        await server.socket.send(garbage)

    async with fake(answer) as client:
        with pytest.raises(ConnectionLost, match="unreadable message") as error:
            await status(client)
        assert error.value.code == 1002
        with pytest.raises(ConnectionLost, match="unreadable message"):
            await status(client)


async def test_a_lost_connection_fails_every_waiting_call_and_process() -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method == "process/start":
            await server.told("output", processId=params["processId"], seq=1, stream="stdout", chunk="aGk=")
            return {"processId": params["processId"]}
        if params == {}:
            return None
        await server.socket.close(4001, "going home")

    async with fake(answer) as client:
        process = await client.start(["x"])
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(status(client)) for _ in range(10)]
        waiting.append(asyncio.ensure_future(process.wait()))
        with pytest.raises(ConnectionLost) as lost:
            await client.files.read_file("file:///x")
        assert (lost.value.code, lost.value.reason, lost.value.url) == (4001, "going home", client.url)
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(each, ConnectionLost)
            assert "4001: going home" in str(each)
        # What had come is not lost with it.
        assert await anext(process) == OutputEvent(1, "stdout", b"hi")
        with pytest.raises(ConnectionLost, match=process.process_id):
            await anext(process)
        with pytest.raises(ConnectionLost, match="while waiting for environment/status"):
            await status(client)


async def test_a_connection_dropped_without_a_word() -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        server.socket.transport.abort()

    async with fake(answer) as client:
        with pytest.raises(ConnectionLost, match="no close frame") as error:
            await status(client)
        assert error.value.code is None


async def test_too_large_a_message_is_named() -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        return {"status": "x" * MIB}

    async with fake(answer, max_frame_size=MIB) as client:
        with pytest.raises(ConnectionLost, match=rf"\b{MIB}\b") as error:
            await status(client)
        assert error.value.code == 1009


async def test_large_messages_both_ways_in_fragments() -> None:
    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        reply = json.dumps({"id": id, "result": {"status": params["dataBase64"]}})
        await server.socket.send(reply[start : start + 3 * MIB] for start in range(0, len(reply), 3 * MIB))

    async with fake(answer) as client:
        text = "".join(chr(65 + n % 26) for n in range(20 * MIB))
        params: Any = WriteFileParams("file:///", msgspec.Raw(json.dumps(text).encode()))
        assert (await client.call(ENVIRONMENT_STATUS, params)).status == text


async def test_several_blocks_of_a_file_are_in_flight() -> None:
    waiting: list[int] = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method != "fs/readBlock":
            return params
        waiting.append(id)
        if len(waiting) == 4:
            for each in waiting:
                await server.send(id=each, result={"chunk": "", "eof": True})

    async with fake(answer) as client:
        assert [block async for block in client.files.stream("file:///x")] == []


async def test_a_short_block_of_a_file_does_not_shift_what_follows() -> None:
    """Blocks are asked for in advance, at offsets that a short one makes wrong."""
    content = "".join(map(chr, range(65, 91)))
    offsets = []

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        if method != "fs/readBlock":
            return params
        offset = params["offset"]
        offsets.append(offset)
        piece = content[offset : offset + 7].encode()
        return {"chunk": base64.b64encode(piece).decode(), "eof": offset + 7 > len(content)}

    async with fake(answer) as client:
        assert b"".join([block async for block in client.files.stream("file:///x")]) == content.encode()
    assert {0, 7, 14, 21} <= set(offsets)


def told_by(owner: object, method: str) -> asyncio.Event:
    """An event that is set once that method has been called."""
    called = asyncio.Event()
    original = getattr(owner, method)

    def wrapper() -> None:
        original()
        called.set()

    setattr(owner, method, wrapper)
    return called


# Connecting, and sending more than is read


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectFailed, match=f"cannot connect to {url}: ConnectionRefused"):
            async with connect(url):
                pass


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectFailed, match=r"no answer within 0\.2 s"):
            async with connect(url, options=LinkOptions(open_seconds=0.2)):
                pass


async def test_a_server_of_another_kind() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectFailed, match="404"):
            async with connect(url):
                pass


async def test_a_server_that_hangs_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ConnectFailed, match="closed the connection during the handshake"):
            async with connect(url):
                pass


@pytest.mark.parametrize("info", [None, {"shell": 5}])
async def test_a_handshake_that_fails_is_told_and_closes_the_connection(info: Any) -> None:
    ended = asyncio.Event()

    async def talk(socket: ServerConnection) -> None:
        call = json.loads(await socket.recv())
        await socket.send(
            json.dumps({"id": call["id"], "result": {"sessionId": "s", "environmentInfo": info}})
        )
        await socket.wait_closed()
        ended.set()

    async with asyncio.timeout(SECONDS), serve(talk, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(
            ConnectFailed, match=r"handshake with ws://.* failed: malformed reply to initialize"
        ):
            async with connect(url):
                pass
        await ended.wait()


async def test_an_error_inside_the_block_leaves_it_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with fake(ready):
            raise ZeroDivisionError


async def test_sending_waits_while_the_executor_does_not_read() -> None:
    go = asyncio.Event()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        await go.wait()
        return {}

    async with fake(answer) as client:
        params = WriteFileParams("file:///x", msgspec.Raw(b'"%b"' % bytes(MIB).replace(b"\0", b"x")))
        full = told_by(client.connection, "pause_writing")
        sent = 0

        async def send() -> None:
            nonlocal sent
            pending = await client.submit(FS_WRITE_FILE, params)
            sent += 1
            await pending

        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(send())
            await full.wait()
            assert sent < 100
            assert client.connection._link.send_buffer_size() < 20 * MIB
            go.set()
        assert sent == 200


async def test_a_call_that_waits_to_be_sent_fails_with_the_connection() -> None:
    go = asyncio.Event()

    async def answer(server: Fake, method: str, params: dict[str, Any], id: int) -> Any:
        await go.wait()

    async with fake(answer) as client:
        params = WriteFileParams("file:///x", msgspec.Raw(b'"%b"' % bytes(MIB).replace(b"\0", b"x")))
        full = told_by(client.connection, "pause_writing")
        calls = [asyncio.ensure_future(client.call(FS_WRITE_FILE, params)) for _ in range(50)]
        await full.wait()
        client.connection.abort()
        for each in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(each, ConnectionLost)
        go.set()
