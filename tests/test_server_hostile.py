"""Hostile clients: whatever they send, there is an answer or a close with a reason, and nothing is lost.

About 10,000 messages a run. After every example another connection must still be answered, and
in the end the executor holds what it held before.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executors.protocol.errors import ErrorCode
from executors.protocol.methods import METHODS, NOTIFICATIONS
from tests.support.launch import Executor
from tests.support.watch import Holdings, holdings
from tests.support.wire import CLOSE, PONG, TEXT, Client, WebSocket, frame, websocket

CODES = {int(code) for code in ErrorCode}
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))
BIG = 10**400

junk_text = st.text(max_size=20).filter(lambda text: "file" not in text.lower()) | st.sampled_from(
    [
        "",
        "\0",
        "\x7f",
        "..",
        "/",
        "~",
        "p",
        "q",
        "x" * 70_000,
        "ü€😀",
        "\u2028",
        "C:\\",
        "NaN",
        "YQ==",
        "*a" * 50,
    ]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, BIG, 1.5, 1e308, -0.0])
    | st.floats(allow_nan=False, allow_infinity=False)
    | junk_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(junk_text, inner, max_size=4),
    max_leaves=8,
)
# Real calls, to be spoilt. Paths lead below what is no directory: nothing can be there, or be made there.
NOWHERE = "file:///dev/null/x"
CALLS: dict[str, dict[str, Any]] = {
    "initialize": {"clientName": "x", "resumeSessionId": None},
    "environment/info": {},
    "environment/status": {},
    "process/start": {
        "processId": "q",
        "argv": ["/bin/true"],
        "cwd": "file:///",
        "env": {"PATH": "/dev/null"},
        "tty": False,
        "pipeStdin": True,
        "arg0": None,
        "envPolicy": {"inherit": "core", "exclude": [], "set": {}, "includeOnly": []},
        "sandbox": None,
    },
    "process/read": {"processId": "p", "afterSeq": 0, "maxBytes": 10, "waitMs": 0},
    "process/write": {"processId": "p", "chunk": "YQ==", "writeId": "w"},
    "process/closeStdin": {"processId": "q"},
    "process/signal": {"processId": "q", "signal": "interrupt"},
    "process/resize": {"processId": "p", "rows": 1, "cols": 1},
    "process/terminate": {"processId": "q"},
    "fs/readFile": {"path": NOWHERE},
    "fs/writeFile": {"path": NOWHERE, "dataBase64": "YQ=="},
    "fs/createDirectory": {"path": NOWHERE, "recursive": False},
    "fs/remove": {"path": NOWHERE, "recursive": False, "force": False},
    "fs/copy": {"sourcePath": NOWHERE, "destinationPath": NOWHERE, "recursive": False},
    "fs/canonicalize": {"path": NOWHERE},
    "fs/getMetadata": {"path": NOWHERE},
    "fs/readDirectory": {"path": NOWHERE},
    "fs/walk": {"path": NOWHERE, "options": {"maxDepth": 1, "maxDirectories": 1, "maxEntries": 1}},
    "fs/open": {"handleId": "h", "path": NOWHERE, "mode": "read"},
    "fs/readBlock": {"handleId": "h", "offset": 0, "len": 1},
    "fs/writeBlock": {"handleId": "h", "offset": 0, "chunk": "YQ=="},
    "fs/close": {"handleId": "h"},
}
counter = itertools.count(1)


def test_every_method_is_among_the_calls() -> None:
    assert set(CALLS) == set(METHODS)


@st.composite
def spoilt_calls(draw: st.DrawFn) -> bytes:
    """A real call in which one or two things are not what they should be."""
    method = draw(st.sampled_from(sorted(CALLS)))
    params: dict[str, Any] = dict(CALLS[method])
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*params, "unknown"]) if params else st.just("unknown"))
        if name in params and draw(st.booleans()):
            del params[name]
        else:
            params[name] = draw(junk)
    if method == "process/read":
        # Waiting is no fault, but these tests do not wait.
        params["waitMs"] = min(params.get("waitMs") or 0, 5) if isinstance(params.get("waitMs"), int) else "x"
    return json.dumps(
        {"id": draw(st.integers(1, 9) | st.just("s")), "method": method, "params": params}
    ).encode()


@st.composite
def spoilt_envelopes(draw: st.DrawFn) -> bytes:
    message = {
        name: draw(values)
        for name, values in {
            "id": junk,
            # All but one are answered: `initialized` is not.
            "method": junk | st.sampled_from(sorted({*METHODS, *NOTIFICATIONS} - {"initialized"})),
            "params": junk,
            "result": junk,
            "error": junk,
        }.items()
        if draw(st.booleans())
    }
    return json.dumps(message, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def broken_texts(draw: st.DrawFn) -> bytes:
    """JSON of a harmless call with its bytes changed."""
    method = draw(st.sampled_from(["environment/info", "process/read", "process/write", "process/signal"]))
    text = bytearray(json.dumps({"id": 5, "method": method, "params": CALLS[method]}).encode())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text) - 1))
        text[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"{", b"\\", b"\\u"])
        )
        if not text:
            break
    return bytes(text).replace(b"\n", b"")


deep = st.builds(
    lambda opening, closing, depth, cut: (
        b'{"id":1,"method":"process/read","params":'
        + (opening * depth + b"1" + closing * (depth - cut))
        + b"}"
    ),
    st.sampled_from([b"[", b'{"a":']),
    st.sampled_from([b"]", b"}"]),
    st.sampled_from([10, 500, 1000, 5000, 50_000]),
    st.integers(0, 2),
)
messages = st.one_of(
    spoilt_calls(),
    spoilt_calls(),
    spoilt_envelopes(),
    broken_texts(),
    st.binary(max_size=60).filter(lambda data: b"\n" not in data),
    deep,
)


def check_replies(client: Client, sent: int) -> None:
    """Takes in one reply for each message that was sent, and one more for a last proper call."""
    last = f"last {next(counter)}"
    client.send({"id": last, "method": "environment/status"})
    # File calls are answered when they are done, which may be after the last call.
    replies = 0
    while replies < sent + 1:
        message = client.receive()
        if "id" not in message:
            assert message["method"] in NOTIFICATIONS
            continue
        assert set(message) in ({"id", "result"}, {"id", "error"})
        replies += 1
        assert message["id"] != last or message["result"] == {"status": "ready"}
        if "error" in message:
            assert message["error"]["code"] in CODES
            assert "unexpected error" not in message["error"]["message"], message


class Target:
    """An executor with one connection to torment and one that must not notice."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.witness = executor.new_client()
        self.witness.handshake()
        self.witness.start("p", "cat", pipeStdin=True)
        self.before: Holdings = holdings(executor.pid)
        self.victim = self.new_victim()

    def new_victim(self) -> Client:
        client = self.executor.new_client()
        client.handshake()
        client.start("p", "cat", pipeStdin=True)
        return client

    def check(self) -> None:
        assert self.witness.write("p", b"x") == "accepted"
        assert self.witness.call("environment/status") == {"status": "ready"}

    def close(self) -> None:
        self.victim.channel.close()
        self.executor.until_holds(self.before)
        assert self.witness.call("process/terminate", processId="p") == {"running": True}
        self.witness.channel.close()


@pytest.fixture(scope="module")
def torment(executor: Executor) -> Iterator[Target]:
    target = Target(executor)
    yield target
    target.close()


@pytest.fixture(scope="module")
def stdio() -> Iterator[Client]:
    with Executor(listen="stdio") as executor:
        client = executor.new_client()
        client.handshake()
        client.start("p", "cat", pipeStdin=True)
        before = executor.usual_holdings(client)
        yield client
        executor.until_holds(before)


@settings(SLOW, max_examples=350)
@given(st.lists(messages, min_size=25, max_size=25))
def test_any_messages(torment: Target, sent: list[bytes]) -> None:
    assert isinstance(torment.victim.channel, WebSocket)
    torment.victim.channel.socket.sendall(b"".join(frame(TEXT, message) for message in sent))
    check_replies(torment.victim, len(sent))
    torment.check()


@settings(SLOW, max_examples=60)
@given(st.lists(messages, min_size=25, max_size=25))
def test_any_messages_over_stdio(stdio: Client, sent: list[bytes]) -> None:
    # Blank lines are none.
    lines = [message for message in sent if message.strip()]
    stdio.channel.send(b"\n".join(lines))
    check_replies(stdio, len(lines))


@settings(SLOW, max_examples=100)
@given(st.lists(messages, min_size=1, max_size=5), st.booleans())
def test_any_messages_before_the_handshake(torment: Target, sent: list[bytes], cut: bool) -> None:
    with websocket(torment.executor.url) as ws:
        data = b"".join(frame(TEXT, message) for message in sent)
        if cut:
            # Gone in the middle of a frame.
            ws.socket.sendall(data[: len(data) // 2])
        else:
            ws.socket.sendall(
                data + frame(TEXT, b'{"id":"last","method":"initialize","params":{"clientName":"x"}}')
            )
            while b'"last"' not in (ws.receive() or b'"last"'):
                pass
    torment.check()


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame, or something like one."""
    payload = draw(st.binary(max_size=200))
    first = draw(st.integers(0, 255) | st.sampled_from([0x81, 0x01, 0x80, 0x00, 0x88, 0x89]))
    if draw(st.booleans()):
        return frame(first & 0xF, payload, bool(first & 0x80), (first >> 4) & 7)
    size = draw(st.sampled_from([len(payload), 126, 127, 0, 2**16, 2**24 + 1, 2**63 - 1, 2**63, 2**64 - 1]))
    mask = draw(st.sampled_from([0x80, 0x80, 0]))
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + draw(st.binary(min_size=4, max_size=4)) + payload


@settings(SLOW, max_examples=300)
@given(st.lists(frames(), min_size=1, max_size=6))
def test_any_frames(torment: Target, sent: list[bytes]) -> None:
    with websocket(torment.executor.url) as ws:
        try:
            ws.socket.sendall(b"".join(sent))
            # Whatever that was, nothing more comes.
            ws.socket.shutdown(1)
        except OSError:
            pass
        while (found := ws.receive_frame()) is not None:
            assert found.fin
            assert found.opcode in (TEXT, PONG, CLOSE)
            if found.opcode == TEXT:
                assert json.loads(found.payload)["error"]["code"] in CODES
            if found.opcode == CLOSE:
                assert (
                    found.close_code in (1000, 1001, 1002, 1003, 1007, 1009, 1010, 1011)
                    or found.close_code >= 3000
                )
                if found.close_code in (1002, 1007, 1009):
                    assert found.close_reason or b"\x88" in b"".join(sent)
                assert ws.receive_frame() is None, "nothing follows a close frame"
                break
    torment.check()


@settings(SLOW, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_instead_of_http(torment: Target, sent: bytes) -> None:
    parts = urlsplit(torment.executor.url)
    with socket.create_connection((parts.hostname, parts.port), 20) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        answer = b""
        try:
            while data := connection.recv(1000):
                answer += data
        except ConnectionError:
            pass
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    torment.check()
