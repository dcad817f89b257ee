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
from executors.remote.http_post import error_of, seconds_of
from executors.remote.wire import Wire
from executors.transport.relay_frames import MAX_FRAME_BYTES

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
_SOCKET_HIGH_WATER = 1024 * 1024

DISPLACED = 4409
"""The close code of an executor whose place another one has taken."""
_DISPLACED = "displaced"
_OTHER = "another executor has been registered for this environment since, and has its place"
# At lower levels the library tells of every request, whose URL is signed.
_silent = logging.Logger("websockets", logging.CRITICAL)


class DialError(Exception):
    """The rendezvous cannot be reached, or would not have us; the text does not hold the URL.

    :ivar status: of its refusal, if it gave one.
    :ivar retry_after: seconds after which it says to come again, if it does.
    :ivar is_displaced: whether it says that another executor has this one's place.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        is_displaced: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.is_displaced = is_displaced


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
        found = error.response
        raise refusal(found.status_code, bytes(found.body), found.headers.get("Retry-After")) from None
    except (WebSocketException, ValueError) as error:
        raise DialError(f"no handshake with the rendezvous: {type(error).__name__}") from None
    except TimeoutError:
        raise DialError(f"the rendezvous did not answer within {CONNECT_SECONDS:g} s") from None
    except (OSError, EOFError) as error:
        raise DialError(f"cannot reach the rendezvous: {error}") from None


def refusal(status: int, body: bytes, retry_after: str | None) -> DialError:
    """What an answer says that is no upgrade.

    :param retry_after: the header of that name.
    """
    # Its message may hold the URL; the code is one that is known.
    error = error_of(body)
    is_displaced = error is not None and error.code == _DISPLACED
    why = f": {_OTHER}" if is_displaced else ""
    return DialError(
        f"the rendezvous answered with status {int(status)}{why}",
        int(status),
        seconds_of(retry_after),
        is_displaced=is_displaced,
    )


def reason_of(error: ConnectionClosed) -> str:
    """Why a connection ended, for a log."""
    if error.rcvd is not None and error.rcvd.code == DISPLACED:
        return f"the rendezvous closed it with code {DISPLACED}: {_OTHER}"
    if error.rcvd is not None:
        return f"the rendezvous closed the connection with code {error.rcvd.code}"
    if error.sent is not None:
        return f"dropped with code {error.sent.code}: {error.sent.reason}"
    kind = "was cut" if isinstance(error, ConnectionClosedError) else "ended"
    return f"the connection to the rendezvous {kind}"
