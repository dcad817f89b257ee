"""The transports as a client needs them: WebSocket, or the pipes of a child process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

from picows import WSError, WSListener, WSMsgType, WSParsedURL, WSTransport, ws_connect

from executors.transport import unix
from executors.transport.base import Receiver, Transport
from executors.transport.stdio import StdioTransport
from executors.transport.websocket import Limits, WebSocketTransport
from harness.client.errors import ConnectFailed

# The smallest limit known of an executor is 16 MiB a frame; a message may have several frames.
_FRAME_BYTES = 8 * 1024 * 1024
# What the Host header says where there is no host.
_HOST_OF_UNIX = "ws://localhost/"
_NO_STATUS = 1005  # RFC 6455 section 7.4.1: a close frame without a code
_CHILD_EXIT_SECONDS = 5.0


class Link(Transport, Protocol):
    """A transport that can tell why it ended."""

    def loss(self) -> tuple[int | None, str]:
        """The close code, None if there was none, and the reason; valid once the connection is lost."""


MakeReceiver = Callable[[Link], Receiver]


@dataclass(frozen=True)
class LinkOptions:
    """How to connect.

    :ivar open_seconds: time for the TCP connection and the WebSocket handshake.
    :ivar max_frame_size: bytes; a larger frame from the executor ends the connection with 1009.
    :ivar max_message_size: the same for a message, which may have several frames.
    :ivar ping_seconds: a silent executor is pinged after this time; 0 for never.
    :ivar pong_seconds: and the connection is dropped if it stays silent for this time more;
        at most *ping_seconds*.
    """

    open_seconds: float = 10.0
    max_frame_size: int = 128 * 1024 * 1024
    max_message_size: int = 1024 * 1024 * 1024
    ping_seconds: float = 10.0
    pong_seconds: float = 10.0


class WebSocketLink(WebSocketTransport):
    """The client's end of a WebSocket connection."""

    def __init__(self, options: LinkOptions, make_receiver: MakeReceiver) -> None:
        limits = Limits(
            options.max_frame_size, options.max_message_size, options.ping_seconds, options.pong_seconds
        )
        super().__init__(limits, lambda transport: make_receiver(self))
        self.connected = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        self.connected = True

    def send(self, message: bytes) -> None:
        if len(message) <= _FRAME_BYTES:
            super().send(message)
            return
        view = memoryview(message)
        for start in range(0, len(view), _FRAME_BYTES):
            kind = WSMsgType.CONTINUATION if start else WSMsgType.TEXT
            end = start + _FRAME_BYTES
            self._socket.send(kind, view[start:end], fin=end >= len(view))

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        super().send_user_specific_ping(transport)
        if self._reading_paused:
            # No pong can be taken in; but the executor hears that somebody is there, and a connection
            # that is gone shows as it is written to.
            transport.send_ping()

    def loss(self) -> tuple[int | None, str]:
        handshake = self._socket.close_handshake
        if handshake is None:
            return None, ""
        first = handshake.recv if handshake.recv_then_sent else handshake.sent
        if first is None:
            return None, ""
        # An IntEnum, though the stubs do not say so.
        return int(cast(int, first.code)) or _NO_STATUS, first.reason


async def open_websocket(url: str, make_receiver: MakeReceiver, options: LinkOptions) -> WebSocketLink:
    """Connects to ``ws://HOST:PORT``, ``wss://…`` or ``unix:///PATH``.

    :raises ConnectFailed: nobody listens there, or no WebSocket server does.
    """
    link = WebSocketLink(options, make_receiver)
    is_unix = url.startswith(unix.SCHEME)
    connections: list[socket.socket] = []
    is_open = given_up = False

    async def open_socket(parsed: WSParsedURL) -> socket.socket:
        connection = await (_connect_unix(url) if is_unix else _connect_tcp(parsed.host, parsed.port))
        connections.append(connection)
        return connection

    try:
        async with asyncio.timeout(options.open_seconds):
            await ws_connect(
                lambda: WSListener() if given_up else link,
                _HOST_OF_UNIX if is_unix else url,
                socket_factory=open_socket,
                max_frame_size=options.max_frame_size,
                websocket_handshake_timeout=options.open_seconds,
                enable_auto_ping=options.ping_seconds > 0,
                auto_ping_idle_timeout=options.ping_seconds,
                auto_ping_reply_timeout=options.pong_seconds,
                max_redirects=0,
            )
    except TimeoutError:
        found = f"no answer within {options.open_seconds:g} s"
    except (OSError, WSError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
    else:
        if link.connected:
            is_open = True
            return link
        # To picows this is a handshake that is over.
        found = "the server closed the connection during the handshake"
    finally:
        if not is_open:
            # A handshake that is called off would go on: picows still waits for its answer.
            given_up = True
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectFailed(f"cannot connect to {url}: {found}. Does an executor listen there?")


class _ForgottenSocket(socket.socket):
    """A socket that the event loop forgets when it is closed.

    picows begins to watch a connection that was reset before it came to that, and then only closes the
    socket. The loop would go on with its number, and fail the next socket that gets it (epoll: ENOENT).
    """

    def close(self) -> None:
        number = self.fileno()
        if number >= 0:
            # No loop runs, or it watches no single sockets, as that of Windows.
            with contextlib.suppress(RuntimeError, NotImplementedError):
                loop = asyncio.get_running_loop()
                loop.remove_reader(number)
                loop.remove_writer(number)
        super().close()


class _ConnectedUnixSocket(_ForgottenSocket, unix.UnixSocket):
    pass


class _ConnectedSocket(_ForgottenSocket):
    """A socket that stays a connected one to picows, though it was reset in the meantime.

    picows asks for the peer's name, takes a socket that has none for one that it has to connect itself, and
    leaves it open when that fails. So it sees the reset as it would a moment later.
    """

    def getpeername(self) -> Any:
        try:
            return super().getpeername()
        except OSError:
            return None


async def _connect_tcp(host: str, port: int) -> socket.socket:
    """Tries the addresses of *host*, one after the other."""
    loop = asyncio.get_running_loop()
    failures: list[OSError] = []
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            connection = _ConnectedSocket(family, kind, protocol)
            try:
                connection.setblocking(False)
                await loop.sock_connect(connection, address)
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            failures.append(error)
        else:
            return connection
    raise failures[0] if len(failures) == 1 else OSError("; ".join(map(str, failures)))


async def _connect_unix(url: str) -> unix.UnixSocket:
    connection = _ConnectedUnixSocket()
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, unix.socket_path(url))
    except BaseException:
        connection.close()
        raise
    return connection


class StdioLink(StdioTransport):
    """The client's end of a child's pipes."""

    def __init__(
        self, child: subprocess.Popen[bytes], options: LinkOptions, make_receiver: MakeReceiver
    ) -> None:
        assert child.stdin is not None and child.stdout is not None
        self._child = child
        self._read_ended = threading.Event()
        super().__init__(
            child.stdout.fileno(),
            child.stdin.fileno(),
            options.max_message_size,
            lambda transport: make_receiver(self),
        )

    def loss(self) -> tuple[int | None, str]:
        status = self._child.poll()
        return None, "its output ended" if status is None else f"it exited with {status}"

    def _read(self) -> None:
        try:
            super()._read()
        finally:
            self._read_ended.set()

    def end_child(self) -> None:
        """Ends the child, by the end of its input or by force, and waits for it. Blocks."""
        child = self._child
        assert child.stdin is not None and child.stdout is not None
        self.abort()
        self.resume_reading()
        self._writer.join(_CHILD_EXIT_SECONDS)
        if self._writer.is_alive():
            # It does not read. A descriptor must not be closed, and its number used again, under a write.
            child.kill()
            self._writer.join()
        child.stdin.close()
        try:
            child.wait(_CHILD_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        # Whoever inherited the child's output may hold it open; then it is left to them.
        if self._read_ended.wait(_CHILD_EXIT_SECONDS):
            child.stdout.close()


@asynccontextmanager
async def open_stdio(
    argv: Sequence[str],
    make_receiver: MakeReceiver,
    options: LinkOptions,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stderr: IO[bytes] | None = None,
) -> AsyncIterator[StdioLink]:
    """Starts *argv*, an executor that speaks over its standard streams, and ends it afterwards.

    :param stderr: where its standard error goes; None for this process's own.
    :raises ConnectFailed: it cannot be started.
    """
    try:
        child = subprocess.Popen(  # noqa: ASYNC220 - returns once the child runs
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise ConnectFailed(f"cannot start {list(argv)!r}: {error}") from error
    link = StdioLink(child, options, make_receiver)
    try:
        yield link
    finally:
        await asyncio.shield(asyncio.to_thread(link.end_child))
