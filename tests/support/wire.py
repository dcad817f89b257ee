"""A blocking client of the wire, which can also say what no proper client would."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, Self
from urllib.parse import urlsplit

from tests.support.watch import SECONDS

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Json = dict[str, Any]


class ReplyError(Exception):
    """The executor answered a call with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']} {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def close_code(self) -> int:
        return int.from_bytes(self.payload[:2], "big")

    @property
    def close_reason(self) -> str:
        return self.payload[2:].decode()


class Channel(Protocol):
    """Carries whole messages."""

    def send(self, text: bytes) -> None: ...

    def receive(self) -> bytes | None:
        """Returns the next message, or None at the end."""

    def close(self) -> None: ...


class WebSocket:
    """One WebSocket connection, frame by frame (RFC 6455); times out rather than hang."""

    def __init__(self, url: str, headers: tuple[str, ...] = (), receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket(socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET)
        self.socket.settimeout(SECONDS)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.status = self._handshake(parts.netloc, headers)

    def _handshake(self, host: str, headers: tuple[str, ...]) -> int:
        lines = [
            "GET / HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                return 0
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer[:] = rest
        return int(head.split(None, 2)[1])

    def send_frame(self, opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> None:
        self.socket.sendall(frame(opcode, payload, fin, rsv))

    def receive_frame(self) -> Frame | None:
        """Returns the next frame, or None at the end of the stream or a reset."""
        head = self._take(2)
        if head is None:
            return None
        size = head[1] & 0x7F
        if size >= 126:
            length = self._take(2 if size == 126 else 8)
            if length is None:
                return None
            size = int.from_bytes(length, "big")
        payload = self._take(size)
        return None if payload is None else Frame(head[0] & 0xF, payload, bool(head[0] & 0x80))

    def send(self, text: bytes) -> None:
        self.send_frame(TEXT, text)

    def receive(self) -> bytes | None:
        while (found := self.receive_frame()) is not None:
            if found.opcode in (TEXT, BINARY):
                return found.payload
            if found.opcode != PING:
                break
            self.send_frame(PONG, found.payload)
        return None

    def close(self) -> None:
        """Ends in order: the session is needed no more."""
        # Where it cannot be sent, the executor takes this end for a cut.
        with suppress(OSError):
            self.socket.settimeout(0.5)
            self.send_frame(CLOSE, (1000).to_bytes(2, "big"))
        self.socket.close()

    def cut(self, reset: bool = False) -> None:
        """Ends the TCP connection with no word, by a FIN or by a RST; the session is left to wait."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _take(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            if not self._fill():
                return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _fill(self) -> bool:
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)


def frame(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0) -> bytes:
    """Returns a frame as a client sends it, masked with zeros: the payload stays as it is."""
    size = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + bytes(4) + payload


class Lines:
    """Messages over the standard streams of an executor."""

    def __init__(self, to: BinaryIO, from_: BinaryIO) -> None:
        self._to = to
        self._from = from_

    def send(self, text: bytes) -> None:
        self._to.write(text + b"\n")
        self._to.flush()

    def receive(self) -> bytes | None:
        return self._from.readline() or None

    def close(self) -> None:
        self._to.close()


class Client:
    """Calls by method and params; keeps what comes in between."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.events: list[Json] = []
        """Params of the notifications so far, each with its ``method``."""
        self._replies: dict[int, Json] = {}
        self._next_id = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def handshake(self, **params: Any) -> Json:
        result = self.call("initialize", clientName="tests", **params)
        self.notify("initialized")
        return result

    def post(self, method: str, **params: Any) -> int:
        """Sends a call and returns its id."""
        self._next_id += 1
        self.send({"id": self._next_id, "method": method, "params": params})
        return self._next_id

    def notify(self, method: str, **params: Any) -> None:
        self.send({"method": method, "params": params})

    def send(self, message: Any) -> None:
        self.channel.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def call(self, method: str, **params: Any) -> Json:
        """
        :raises ReplyError: the reply is an error.
        """
        return self.result(self.post(method, **params))

    def result(self, request_id: int) -> Json:
        """Waits for the reply to one call; others are kept.

        :raises ReplyError: it is an error.
        """
        reply = self.reply(request_id)
        if "error" in reply:
            raise ReplyError(reply["error"])
        result: Json = reply["result"]
        return result

    def reply(self, request_id: int) -> Json:
        """Waits for the reply to one call, whatever it is; others are kept."""
        while request_id not in self._replies:
            self.step()
        return self._replies.pop(request_id)

    def error(self, method: str, **params: Any) -> ReplyError:
        """
        :raises AssertionError: the call succeeds.
        """
        try:
            result = self.call(method, **params)
        except ReplyError as error:
            return error
        raise AssertionError(f"{method} succeeded with {result}")

    def answer(self, message: Any) -> Json:
        """Sends any message and returns the next reply, whatever its id."""
        self.send(message)
        while True:
            found = self.receive()
            if "id" in found:
                return found

    def receive(self) -> Json:
        """Returns the next message.

        :raises EOFError: the connection has ended.
        """
        text = self.channel.receive()
        if text is None:
            raise EOFError("the executor has closed the connection")
        message: Json = json.loads(text)
        return message

    def step(self) -> None:
        """Takes one message in."""
        message = self.receive()
        if "id" in message:
            self._replies[message["id"]] = message
        else:
            self.events.append({"method": message["method"], **message["params"]})

    def wait_for(self, method: str, process_id: str) -> Json:
        """Returns the first such notification of the process, which may have come already."""
        return next(self.notifications(method, process_id))

    def notifications(self, method: str, process_id: str) -> Iterator[Json]:
        """Yields those of the process, past and to come."""
        at = 0
        while True:
            while at == len(self.events):
                self.step()
            event = self.events[at]
            at += 1
            if event["method"] == method and event["processId"] == process_id:
                yield event

    def start(self, process_id: str, *argv: str, **params: Any) -> Json:
        defaults: Json = {"cwd": "file:///", "env": {"PATH": "/usr/bin:/bin"}, "tty": False}
        return self.call("process/start", processId=process_id, argv=list(argv), **(defaults | params))

    def run(self, process_id: str, *argv: str, **params: Any) -> tuple[int, bytes, bytes]:
        """Starts a process, waits for its end; returns exit code, stdout (or terminal) and stderr."""
        self.start(process_id, *argv, **params)
        self.wait_for("process/closed", process_id)
        code: int = self.wait_for("process/exited", process_id)["exitCode"]
        return (
            code,
            self.output(process_id, "stdout") or self.output(process_id, "pty"),
            self.output(process_id, "stderr"),
        )

    def output(self, process_id: str, stream: str) -> bytes:
        """Returns what was notified so far."""
        return b"".join(
            base64.b64decode(event["chunk"])
            for event in self.events
            if event["method"] == "process/output"
            and event["processId"] == process_id
            and event["stream"] == stream
        )

    def wait_for_output(self, process_id: str, text: bytes, stream: str = "stdout") -> bytes:
        """Returns all output of *stream* once it holds *text*."""
        while text not in self.output(process_id, stream):
            self.step()
        return self.output(process_id, stream)

    def write(self, process_id: str, data: bytes, write_id: str | None = None) -> str:
        self._next_id += 1
        result = self.call(
            "process/write",
            processId=process_id,
            chunk=base64.b64encode(data).decode(),
            writeId=f"w{self._next_id}" if write_id is None else write_id,
        )
        status: str = result["status"]
        return status


@contextmanager
def websocket(url: str, *headers: str, receive_buffer: int | None = None) -> Iterator[WebSocket]:
    connection = WebSocket(url, headers, receive_buffer)
    try:
        yield connection
    finally:
        connection.close()
