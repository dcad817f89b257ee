"""A WebSocket to the rendezvous, which neither an error nor a log tells the URL of."""

from __future__ import annotations

import logging
import secrets
import ssl
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidStatus,
    WebSocketException,
)

from executors.remote.credentials import is_loopback
from executors.remote.wire import Wire
from executors.transport.relay_frames import MAX_FRAME_BYTES

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
_SOCKET_HIGH_WATER = 1024 * 1024

# At lower levels the library tells of every request, whose URL is signed.
_silent = logging.Logger("websockets", logging.CRITICAL)


class DialError(Exception):
    """The rendezvous cannot be reached, or would not have us; the text does not hold the URL.

    :ivar status: of its refusal, if it gave one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """None is followed."""
        return exc


async def dial(
    url: str,
    tls: ssl.SSLContext | None,
    *,
    ping_seconds: float | None,
    pong_seconds: float | None,
    at: tuple[str, int] | None = None,
) -> Wire:
    """Connects to the rendezvous.

    :param url: ``wss://…``, or ``ws://…`` on this machine, as the registry gave it.
    :param tls: for wss; None for the system's certificates.
    :param ping_seconds: between two pings; None for none.
    :param pong_seconds: after which a ping without an answer ends the connection.
    :param at: host and port to connect to instead, of whoever passes on what comes; all else goes by *url*.
    :raises DialError: there is no connection.
    """
    parts = urlsplit(url)
    elsewhere: dict[str, Any] = {} if at is None else {"host": at[0], "port": at[1]}
    try:
        connection = await _Connect(
            url,
            create_connection=Wire,
            additional_headers={"X-Request-ID": f"req_{secrets.token_hex(16)}"},
            # A proxy of the system's is for what is elsewhere.
            proxy=None if at or is_loopback(parts.hostname or "") else True,
            ssl=(tls or True) if parts.scheme == "wss" else None,
            compression=None,
            open_timeout=CONNECT_SECONDS,
            ping_interval=ping_seconds,
            ping_timeout=pong_seconds,
            close_timeout=CLOSE_SECONDS,
            max_size=MAX_FRAME_BYTES,
            write_limit=_SOCKET_HIGH_WATER,
            logger=_silent,
            **elsewhere,
        )
        assert isinstance(connection, Wire)
        return connection
    except InvalidStatus as error:
        status = int(error.response.status_code)
        raise DialError(f"the rendezvous answered with status {status}", status) from None
    except (WebSocketException, ValueError) as error:
        raise DialError(f"no handshake with the rendezvous: {type(error).__name__}") from None
    except TimeoutError:
        raise DialError(f"the rendezvous did not answer within {CONNECT_SECONDS:g} s") from None
    except (OSError, EOFError) as error:
        raise DialError(f"cannot reach the rendezvous: {error}") from None


def reason_of(error: ConnectionClosed) -> str:
    """Why a connection ended, for a log."""
    if error.rcvd is not None:
        return f"the rendezvous closed the connection with code {error.rcvd.code}"
    if error.sent is not None:
        return f"dropped with code {error.sent.code}: {error.sent.reason}"
    kind = "was cut" if isinstance(error, ConnectionClosedError) else "ended"
    return f"the connection to the rendezvous {kind}"
