"""The transports as a client needs them: WebSocket, or the pipes of a child process."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

from executors import speedups
from executors.transport import unix
from executors.transport.base import Receiver, Transport
from executors.transport.stdio import StdioTransport
from executors.transport.websocket import Limits
from harness.bearer import BearerAuth, BearerHeaders, CredentialError, refuse_login
from harness.client.errors import ConnectFailed
from harness.client.redact import text_line

FRAME_BYTES: Final = 8 * 1024 * 1024
"""A longer message goes out in several frames: the smallest limit known of an executor is 16 MiB a frame."""
NO_STATUS: Final = 1005
"""RFC 6455 section 7.4.1: a close frame without a code."""
# What the Host header says where there is no host.
_HOST_OF_UNIX = "ws://localhost/"
_CHILD_EXIT_SECONDS = 5.0
_GIVE_TOKEN: Final = "give --url-token-file PATH or set CROSSEXEC_URL_TOKEN"
_SAID_BYTES: Final = 200


class Link(Transport, Protocol):
    """A transport that can tell why it ended."""

    def loss(self) -> tuple[int | None, str]:
        """The close code, None if there was none, and the reason; valid once the connection is lost."""


MakeReceiver = Callable[[Link], Receiver]
OpenSocket = Callable[[str, int], Awaitable[socket.socket]]
"""Connects to a host and a port."""


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


def limits_of(options: LinkOptions) -> Limits:
    return Limits(
        options.max_frame_size, options.max_message_size, options.ping_seconds, options.pong_seconds
    )


class HandshakeFailed(Exception):
    """What is there does not open a WebSocket; the text says why.

    :ivar unauthorized: what it has said with status 401; None if it was something else.
    """

    def __init__(self, text: str, unauthorized: bytes | None = None) -> None:
        super().__init__(text)
        self.unauthorized = unauthorized


class Implementation(Protocol):
    """What a module that speaks WebSocket offers a client, as
    :class:`executors.transport.websocket.Implementation` is what it offers a server."""

    async def connect(
        self,
        url: str,
        open_socket: OpenSocket,
        options: LinkOptions,
        make_receiver: MakeReceiver,
        headers: BearerHeaders | None,
    ) -> Link:
        """Opens a connection whose messages have frames of :data:`FRAME_BYTES` at most.

        Whether it fails or is cancelled, it leaves no socket open.

        :param url: ``ws://…`` or ``wss://…``.
        :param open_socket: connects to the host and the port of *url*.
        :param headers: more of them, which no log tells.
        :raises HandshakeFailed: there is no WebSocket server.
        :raises OSError, ValueError: there is nobody; *url* is malformed.
        """


def implementation() -> Implementation:
    """Returns the one that this process uses."""
    if speedups.is_used(speedups.PICOWS):
        from harness.client import links_picows

        return links_picows
    from harness.client import links_plain

    return links_plain


async def open_websocket(
    url: str, make_receiver: MakeReceiver, options: LinkOptions, bearer: BearerAuth | None = None
) -> Link:
    """Connects to ``ws://HOST:PORT``, ``wss://…`` or ``unix:///PATH``.

    :param bearer: shows the token that the executor asks for; None for none.
    :raises ConnectFailed: nobody listens there, or no WebSocket server does, or the token is refused or must
        not be sent there.
    """
    try:
        refuse_login(url)
    except ValueError as error:
        raise ConnectFailed(f"cannot connect: {error}") from None
    try:
        headers = None if bearer is None else bearer.headers(url)
    except (CredentialError, ValueError) as error:
        raise ConnectFailed(f"cannot connect to {url}: {error}") from None
    is_unix = url.startswith(unix.SCHEME)

    async def open_socket(host: str, port: int) -> socket.socket:
        return await (_connect_unix(url) if is_unix else _connect_tcp(host, port))

    try:
        async with asyncio.timeout(options.open_seconds):
            return await implementation().connect(
                _HOST_OF_UNIX if is_unix else url, open_socket, options, make_receiver, headers
            )
    except TimeoutError:
        found = f"no answer within {options.open_seconds:g} s"
    except HandshakeFailed as error:
        found = str(error)
        if error.unauthorized is not None:
            asked = "it refuses the token" if bearer else f"it asks for a token: {_GIVE_TOKEN}"
            said = text_line(error.unauthorized[:_SAID_BYTES].decode(errors="replace").strip())
            raise ConnectFailed(f"cannot connect to {url}: {asked} (it said: {said})") from None
    except (OSError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
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
            with suppress(RuntimeError, NotImplementedError):
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
