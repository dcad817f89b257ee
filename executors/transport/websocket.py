"""WebSocket transport (RFC 6455): one message a text or binary frame.

Two modules implement it alike: ``websocket_picows`` and, for want of picows, ``websocket_plain``. The latter
takes a length that could have been written shorter, and refuses one of 2^63 bytes or more with 1009 instead
of 1002.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from executors import speedups
from executors.transport.base import ReceiverFactory

SEND_HIGH_WATER: Final = 1024 * 1024
SEND_LOW_WATER: Final = 256 * 1024
HANDSHAKE_SECONDS: Final = 5.0
"""So long may a client take to ask for an upgrade."""
LINGER_SECONDS: Final = 2.0
"""So long may a peer that broke the protocol go on sending, to read why it was dropped."""
NORMAL_CLOSURE: Final = 1000
SILENCE: Final = 3008
"""Close code for a peer that answers no ping: "Timeout" in IANA's registry. 1001 would say that this side
shuts down."""
# Control frames hold 125 bytes, two of them the code (RFC 6455 section 5.5).
_MAX_REASON_BYTES: Final = 123
_BACKLOG: Final = 1024

Authorize = Callable[[Sequence[str]], tuple[str, str] | None]
"""Decides on a request for an upgrade by the values of all its Authorization headers: returns None to let it
in, or else the reason for people and what the refusal says in WWW-Authenticate."""

silent_log: Final = logging.Logger("websocket", logging.CRITICAL + 1)
"""For where a token is shown: at lower levels, libraries log all headers of a request."""


class Answer(NamedTuple):
    """The response to a request that gets no upgrade.

    :ivar challenge: value of its WWW-Authenticate header; None for none.
    """

    status: int
    text: str
    challenge: str | None = None


@dataclass(frozen=True)
class Limits:
    """What a peer may send and when it counts as dead.

    :ivar frame_bytes: a larger frame ends the connection with close code 1009.
    :ivar message_bytes: the same for the sum of a message's fragments.
    :ivar ping_seconds: a peer that is silent for so long is pinged; 0 for never.
    :ivar pong_seconds: and dropped if it stays silent for so long again, at most *ping_seconds*.
    """

    frame_bytes: int = 16 * 1024 * 1024
    message_bytes: int = 64 * 1024 * 1024
    ping_seconds: float = 10.0
    pong_seconds: float = 10.0

    @property
    def largest_frame(self) -> int:
        return min(self.frame_bytes, self.message_bytes)


class Implementation(Protocol):
    """What a module that speaks WebSocket offers."""

    async def create_server(
        self, limits: Limits, make_receiver: ReceiverFactory, authorize: Authorize | None, **where: Any
    ) -> asyncio.Server:
        """Starts to listen; refuses what :func:`answer_to` refuses.

        :param authorize: None to let everybody in.
        :param where: arguments of :meth:`asyncio.loop.create_server`.
        :raises OSError: the address cannot be bound.
        """


def implementation() -> Implementation:
    """Returns the one that this process uses, loaded."""
    if speedups.is_used(speedups.PICOWS):
        from executors.transport import websocket_picows

        return websocket_picows
    from executors.transport import websocket_plain

    return websocket_plain


def answer_to(
    headers: Container[str], path: str, authorization: Sequence[str], authorize: Authorize | None
) -> Answer | None:
    """Returns what a request is answered with; None for one that asks for an upgrade and may have it.

    :param headers: their names, without regard to case.
    :param authorization: the values of its Authorization headers.
    """
    # A browser sends Origin and a program does not: no page may reach an executor.
    if "Origin" in headers:
        return Answer(403, "requests with an Origin header are refused\n")
    if "Upgrade" in headers:
        refusal = None if authorize is None else authorize(authorization)
        return None if refusal is None else Answer(401, f"unauthorized: {refusal[0]}\n", refusal[1])
    if path.partition("?")[0] == "/readyz":
        return Answer(200, "ok\n")
    return Answer(404, "not found: connect by WebSocket, or get /readyz\n")


def cut_reason(reason: str) -> str:
    """Returns as much of *reason* as a close frame holds."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")


def reason_of_silence(limits: Limits) -> str:
    return f"no answer to a ping within {limits.pong_seconds:g} s"


def parse_listen_url(url: str) -> tuple[str, int]:
    """Returns address and port of ``ws://IP:PORT``; port 0 means any.

    :raises ValueError: *url* has another form.
    """
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    host = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    try:
        if scheme != "ws":
            raise ValueError(f"scheme {scheme!r}")
        address = str(ipaddress.ip_address(host))
        number = int(port) if port.isascii() and port.isdigit() else -1
        if not 0 <= number <= 65535:
            raise ValueError(f"port {port!r}")
    except ValueError as error:
        raise ValueError(
            f"cannot listen on {url!r} ({error}): give ws://IP:PORT, such as ws://127.0.0.1:0"
        ) from None
    return address, number


def format_url(host: str, port: int) -> str:
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


async def serve(
    url: str, limits: Limits, make_receiver: ReceiverFactory, authorize: Authorize | None = None
) -> tuple[asyncio.Server, str]:
    """Starts to listen on *url*, ``ws://IP:PORT``.

    :param authorize: None to let everybody in.
    :returns: the server and its URL, with the port that was found.
    :raises ValueError: *url* is malformed.
    :raises OSError: the address cannot be bound.
    """
    host, port = parse_listen_url(url)
    create_server = implementation().create_server
    server = await create_server(limits, make_receiver, authorize, host=host, port=port, backlog=_BACKLOG)
    return server, format_url(*server.sockets[0].getsockname()[:2])


async def serve_socket(
    listener: socket.socket,
    limits: Limits,
    make_receiver: ReceiverFactory,
    authorize: Authorize | None = None,
) -> asyncio.Server:
    """Starts to listen on a socket that is bound already; the server owns it from now on."""
    create_server = implementation().create_server
    return await create_server(limits, make_receiver, authorize, sock=listener, backlog=_BACKLOG)
