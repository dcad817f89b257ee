"""The WebSocket transport: addresses, HTTP, frames, limits and closing."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from executors.transport.websocket import format_url, parse_listen_url
from tests.support.both import speed_ups  # noqa: F401
from tests.support.launch import Executor, http_get
from tests.support.watch import forget_peak, peak_resident_bytes, resident_bytes
from tests.support.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    WebSocket,
    frame,
    websocket,
)

MIB = 1024 * 1024
STATUS = b'{"id":1,"method":"environment/status"}'


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ws://127.0.0.1:0", ("127.0.0.1", 0)),
        ("ws://0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("ws://[::1]:80", ("::1", 80)),
        ("ws://[0:0::1]:080", ("::1", 80)),
    ],
)
def test_listen_urls(url: str, found: tuple[str, int]) -> None:
    assert parse_listen_url(url) == found
    assert parse_listen_url(format_url(*found)) == found


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ws://",
        "ws://127.0.0.1",
        "ws://127.0.0.1:",
        "ws://127.0.0.1:0/",
        "ws://127.0.0.1:65536",
        "ws://127.0.0.1:-1",
        "ws://127.0.0.1:+1",
        "ws://127.0.0.1: 1",
        "ws://127.0.0.1:1_0",
        "ws://127.0.0.1:²",
        "ws://127.0.0.1:x",
        "ws://localhost:0",
        "ws://:0",
        "ws://*:0",
        "ws://127.1:0",
        "ws://[]:0",
        "ws://u@127.0.0.1:0",
        "ws:127.0.0.1:0",
        "wss://127.0.0.1:0",
        "tcp://127.0.0.1:0",
        "WS://127.0.0.1:0",
        "127.0.0.1:0",
        "stdio",
    ],
)
def test_what_is_no_listen_url(url: str) -> None:
    with pytest.raises(ValueError, match="ws://IP:PORT"):
        parse_listen_url(url)


def test_ipv6() -> None:
    with Executor(listen="ws://[::1]:0") as executor:
        assert executor.url.startswith("ws://[::1]:")
        with executor.client() as client:
            assert client.call("environment/status") == {"status": "ready"}


def test_plain_http(executor: Executor) -> None:
    assert http_get(executor.url, "/readyz") == (200, b"ok\n")
    assert http_get(executor.url, "/readyz?x=1")[0] == 200
    for path in ("/", "/nope", "/readyz/", "/readyzz", "//readyz"):
        assert http_get(executor.url, path)[0] == 404
    assert http_get(executor.url, "/readyz", method="POST")[0] >= 400


@pytest.mark.parametrize("origin", ["http://127.0.0.1", "null", "", "http://evil.example"])
@pytest.mark.parametrize("name", ["Origin", "origin", "ORIGIN"])
def test_whoever_has_an_origin_is_refused(executor: Executor, name: str, origin: str) -> None:
    header = f"{name}: {origin}"
    with websocket(executor.url, header) as ws:
        assert ws.status == 403
        assert ws.receive_frame() is None or True
    for path in ("/readyz", "/", "/nope"):
        assert http_get(executor.url, path, header)[0] == 403


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"],
        [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 8",
            "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==",
        ],
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x"],
        [
            "Upgrade: h2c",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==",
        ],
        [
            "Upgrade: websocket",
            "Connection: close",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==",
        ],
    ],
)
def test_half_an_upgrade_is_refused(executor: Executor, lines: list[str]) -> None:
    assert http_get(executor.url, "/", *lines)[0] == 400


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"\x16\x03\x01" * 50 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken\r\n\r\n",
    ],
)
def test_what_is_no_http_is_dropped(executor: Executor, client: Client, text: bytes) -> None:
    host, port = executor.url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(text)
        answer = b""
        while data := connection.recv(1000):
            answer += data
    assert not answer or answer.split()[1].startswith(b"4")
    assert client.call("environment/status") == {"status": "ready"}


def frames_until_the_end(ws: WebSocket) -> list[Frame]:
    found = []
    while (one := ws.receive_frame()) is not None:
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", 1000),
        (struct.pack("!H", 1000), 1000),
        (struct.pack("!H", 1001) + b"bye", 1001),
        (struct.pack("!H", 4321), 4321),
    ],
)
def test_a_close_is_answered(executor: Executor, payload: bytes, code: int) -> None:
    with websocket(executor.url) as ws:
        ws.socket.sendall(frame(CLOSE, payload) + frame(TEXT, STATUS))
        [closing] = frames_until_the_end(ws)
        assert (closing.opcode, closing.close_code) == (CLOSE, code)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (bytes([0x81, 2]) + b"{}", 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(TEXT, b"{}", rsv=1), 1002),
        (frame(3, b""), 1002),
        (frame(11, b""), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(TEXT, b"", fin=False) + frame(BINARY, b"", fin=False), 1002),
    ],
)
def test_what_breaks_the_protocol_closes_with_a_reason(
    executor: Executor, client: Client, sent: bytes, code: int
) -> None:
    with websocket(executor.url) as ws:
        # What follows is not served any more.
        ws.socket.sendall(sent + frame(TEXT, STATUS) * 3)
        [closing] = frames_until_the_end(ws)
        assert (closing.opcode, closing.close_code) == (CLOSE, code)
        assert closing.close_reason
    assert client.call("environment/status") == {"status": "ready"}


def test_a_length_that_is_written_against_the_rules_does_no_harm(executor: Executor) -> None:
    with websocket(executor.url) as ws:
        ws.socket.sendall(bytes([0x81, 0xFF]) + b"\xff" * 8)
        [closing] = frames_until_the_end(ws)
        assert closing.close_code in (1002, 1009)
    with websocket(executor.url) as ws:
        ws.socket.sendall(bytes([0x81, 0xFF]) + struct.pack("!Q", 5) + b"\0\0\0\0hello")
        answer = ws.receive_frame()
        assert answer is not None
        assert answer.close_code == 1002 if answer.opcode == CLOSE else b"-32600" in answer.payload


def test_pings_are_answered_also_inside_a_message(executor: Executor) -> None:
    with websocket(executor.url) as ws:
        ws.send_frame(PING, b"one")
        assert ws.receive_frame() == Frame(PONG, b"one")
        ws.send_frame(TEXT, STATUS[:10], fin=False)
        ws.send_frame(PING, b"x" * 125)
        ws.send_frame(PONG, b"uncalled for")
        ws.send_frame(CONTINUATION, STATUS[10:])
        assert ws.receive_frame() == Frame(PONG, b"x" * 125)
        reply = ws.receive_frame()
        assert reply is not None
        assert b'"id":1' in reply.payload


def message(size: int) -> bytes:
    """A call of *size* bytes that is answered with an error."""
    text = b'{"id":1,"method":"nope","x":"%b"}'
    return text % (b"y" * (size - len(text) + 2))


def test_limits_hold_to_the_byte() -> None:
    with Executor("--max-frame-bytes", "1000", "--max-message-bytes", "3000") as executor:
        with websocket(executor.url) as ws:
            ws.send_frame(TEXT, message(1000))
            text = message(3000)
            for at in (0, 1000):
                ws.send_frame(CONTINUATION if at else TEXT, text[at : at + 1000], fin=False)
            ws.send_frame(CONTINUATION, text[2000:])
            for _ in range(2):
                found = ws.receive_frame()
                assert found is not None
                assert b"-32601" in found.payload
            ws.send_frame(TEXT, message(1001))
            [closing] = frames_until_the_end(ws)
            assert closing.close_code == 1009
            assert "1001" in closing.close_reason
            assert "1000" in closing.close_reason
        with websocket(executor.url) as ws:
            text = message(3001)
            for at in (0, 1000, 2000):
                ws.send_frame(CONTINUATION if at else TEXT, text[at : at + 1000], fin=False)
            ws.send_frame(CONTINUATION, text[3000:])
            [closing] = frames_until_the_end(ws)
            assert closing.close_code == 1009
            assert "3000 bytes" in closing.close_reason


def test_the_message_limit_holds_for_a_single_frame() -> None:
    with Executor("--max-message-bytes", "1000") as executor, websocket(executor.url) as ws:
        ws.send_frame(TEXT, message(1001))
        assert [one.close_code for one in frames_until_the_end(ws)] == [1009]


def test_the_default_limits(executor: Executor) -> None:
    with websocket(executor.url) as ws:
        ws.send_frame(TEXT, message(16 * MIB))
        found = ws.receive_frame()
        assert found is not None
        assert b"-32601" in found.payload


def test_a_frame_of_ten_gibibytes_is_refused_by_its_head(executor: Executor, client: Client) -> None:
    forget_peak(executor.pid)
    before = resident_bytes(executor.pid)
    with websocket(executor.url) as ws:
        ws.socket.sendall(bytes([0x81, 0xFF]) + struct.pack("!Q", 10 << 30) + bytes(4))
        block = b"x" * MIB
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                ws.socket.sendall(block)
        closing = ws.receive_frame()
        assert closing is not None
        assert (closing.opcode, closing.close_code) == (CLOSE, 1009)
    assert peak_resident_bytes(executor.pid) - before < 64 * MIB
    assert client.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize("size", [0, 1, 2, 7])
def test_fragments_cost_no_more_than_their_bytes(executor: Executor, client: Client, size: int) -> None:
    forget_peak(executor.pid)
    before = resident_bytes(executor.pid)
    with websocket(executor.url) as ws:
        ws.send_frame(TEXT, b"{", fin=False)
        block = frame(CONTINUATION, b" " * size, fin=False) * 20_000
        for _ in range(50):
            ws.socket.sendall(block)
        ws.send_frame(PING, b"")
        assert ws.receive_frame() == Frame(PONG, b"")
        assert peak_resident_bytes(executor.pid) - before < 32 * MIB
    assert client.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize("fragments", [False, True])
def test_a_client_that_is_still_sending_gets_the_reason(executor: Executor, fragments: bool) -> None:
    # A socket that is closed with data unread is reset, and a reset may overtake the close frame.
    picows = pytest.importorskip("picows")

    class Collector(picows.WSListener):  # type: ignore[name-defined, misc]
        closed: int | None = None

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                self.closed = frame.get_close_code()
                transport.disconnect()

    async def send() -> int | None:
        transport, listener = await picows.ws_connect(Collector, executor.url)
        assert isinstance(listener, Collector)
        if fragments:
            for number in range(70):
                kind = picows.WSMsgType.CONTINUATION if number else picows.WSMsgType.TEXT
                transport.send(kind, b"x" * MIB, fin=False)
        else:
            transport.send(picows.WSMsgType.TEXT, b"x" * 40 * MIB)
        await transport.wait_disconnected()
        return listener.closed

    for _ in range(5):
        assert asyncio.run(send()) == 1009


def test_a_client_that_broke_the_protocol_may_end_its_sentence(executor: Executor) -> None:
    with websocket(executor.url) as ws:
        ws.socket.sendall(bytes([0x81, 0xFF]) + struct.pack("!Q", 20 << 20) + bytes(4))
        [closing] = frames_until_the_end(ws)
        assert closing.close_code == 1009
        # The other side has ended, but it still takes what comes: an error here would have kept a
        # client that writes first from reading the reason.
        for _ in range(100):
            ws.socket.sendall(b"x" * 65536)


def test_what_follows_a_breach_is_not_done(executor: Executor, tmp_path: Path) -> None:
    with executor.client() as client:
        assert isinstance(client.channel, WebSocket)
        call = {"id": 9, "method": "fs/createDirectory", "params": {"path": (tmp_path / "made").as_uri()}}
        order = frame(TEXT, json.dumps(call).encode())
        client.channel.socket.sendall(frame(CONTINUATION, b"stray") + order)
        assert [one.close_code for one in frames_until_the_end(client.channel)] == [1002]
    with executor.client() as client:
        client.call("fs/createDirectory", path=(tmp_path / "other").as_uri())
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_silent_client_is_pinged_and_then_dropped() -> None:
    # As long is this side given to answer.
    with Executor("--ping-seconds", "1") as executor, websocket(executor.url) as ws:
        for _ in range(3):
            ping = ws.receive_frame()
            assert ping is not None
            assert ping.opcode == PING
            ws.send_frame(PONG, ping.payload)
        found = frames_until_the_end(ws)
        assert found[-1].opcode == CLOSE
        assert (found[-1].close_code, "ping" in found[-1].close_reason) == (3008, True)


def test_pinging_can_be_turned_off() -> None:
    with Executor("--ping-seconds", "0") as executor, websocket(executor.url) as ws:
        assert not select.select([ws.socket], [], [], 0.5)[0]
        ws.send_frame(PING, b"x")
        assert ws.receive_frame() == Frame(PONG, b"x")
