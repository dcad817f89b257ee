"""Stands between a client and an executor, changes nothing, and keeps every byte."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from tests.support.watch import SECONDS

Json = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A call and what came of it; *reply* is None if none came."""

    method: str
    params: Any
    reply: Json | None

    @property
    def error(self) -> Json | None:
        return None if self.reply is None else self.reply.get("error")


@dataclass
class Conversation:
    """One connection, byte for byte."""

    from_client: bytearray = field(default_factory=bytearray)
    from_server: bytearray = field(default_factory=bytearray)

    def client_messages(self) -> list[Json]:
        return list(_messages(self.from_client, Side.SERVER))

    def server_messages(self) -> list[Json]:
        return list(_messages(self.from_server, Side.CLIENT))


def _messages(stream: bytearray, reader: Side) -> Iterator[Json]:
    """Reads a side of a WebSocket connection, strictly, as *reader* would."""
    _, _, frames = bytes(stream).partition(b"\r\n\r\n")
    protocol = Protocol(reader, max_size=None)
    protocol.receive_data(frames)
    assert protocol.parser_exc is None, f"frames that a {reader.name.lower()} refuses: {protocol.parser_exc}"
    text = b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            text += frame.data
            if frame.fin:
                yield json.loads(text)
                text = b""


class Relay:
    """Listens on loopback and passes each connection on to *target*.

    :ivar conversations: all connections so far, in the order of their coming.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self.conversations: list[Conversation] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        _shut(self._listener)
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
        for each in (self._listener, *self._sockets):
            each.close()

    def cut(self) -> None:
        """Ends the connections that there are, with no word to either side; new ones are taken."""
        for each in list(self._sockets):
            _shut(each)

    def exchanges(self) -> list[Exchange]:
        """Returns every call that the client made, in order."""
        found = []
        for conversation in self.conversations:
            replies = {m["id"]: m for m in conversation.server_messages() if "id" in m}
            for message in conversation.client_messages():
                if "id" in message and "method" in message:
                    reply = replies.get(message["id"])
                    found.append(Exchange(message["method"], message.get("params"), reply))
        return found

    def called(self, method: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges() if exchange.method == method]

    def methods(self) -> Counter[str]:
        return Counter(exchange.method for exchange in self.exchanges())

    def notifications(self, method: str) -> list[Json]:
        """Returns the params of the server's notifications of this name."""
        messages = (m for each in self.conversations for m in each.server_messages())
        return [message["params"] for message in messages if message.get("method") == method]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            conversation = Conversation()
            self.conversations.append(conversation)
            self._spawn(_pump, client, server, conversation.from_client)
            self._spawn(_pump, server, client, conversation.from_server)

    def _spawn(self, target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="relay")
        self._threads.append(thread)
        thread.start()


def _shut(connection: socket.socket) -> None:
    # This wakes the thread that waits in accept(2) or recv(2); close(2) alone does not.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, record: bytearray) -> None:
    try:
        while data := source.recv(256 * 1024):
            record += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
