"""Bearer tokens (RFC 6750) in requests for a WebSocket; no I/O, the time is handed in."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

MAX_TOKEN_CHARACTERS: Final = 4096
REPORT_SECONDS: Final = 10.0
"""Of refusals that come sooner after one that was told, only their number is told later."""
MIN_TOKEN_CHARACTERS: Final = 22
"""Of a capability token: 128 bits in base64url."""
_REALM: Final = 'Bearer realm="executor"'
# RFC 9110 section 11.4 and RFC 6750 section 2.1; the name of a scheme has no case.
_CREDENTIALS: Final = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.ASCII | re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class Refused(Exception):
    """A token does not count. The text says why, fit for a header, and holds nothing of the token."""


class Verifier(Protocol):
    def verify(self, token: str) -> None:
        """:raises Refused: *token*, which is visible ASCII, does not count."""


class CapabilityToken:
    """One token, of which nothing but the SHA-256 is known here.

    :param digest: its 32 bytes.
    """

    def __init__(self, digest: bytes) -> None:
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("that is no SHA-256")
        self._digest = digest

    def __repr__(self) -> str:
        return "CapabilityToken(…)"

    def verify(self, token: str) -> None:
        """See :class:`Verifier`; takes as long whatever *token* has in common with the right one."""
        if not hmac.compare_digest(sha256(token), self._digest):
            raise Refused("the token is not valid")


class BearerGuard:
    """Lets in whoever shows a token that counts; see :data:`executors.transport.websocket.Authorize`.

    Nobody is made to wait and no address is shut out: a token that can be guessed in any number of attempts
    is none, and whoever knocks often shall not keep out who has one.

    :param report: gets a line for people about refusals, at most one in :data:`REPORT_SECONDS`.
    :param clock: seconds, monotonic.
    """

    def __init__(self, verifier: Verifier, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._verifier = verifier
        self._report = report
        self._clock = clock
        self._told: float | None = None
        self._untold = 0

    def __repr__(self) -> str:
        return f"BearerGuard({self._verifier!r})"

    def __call__(self, values: Sequence[str]) -> tuple[str, str] | None:
        """Returns why somebody is refused, and what WWW-Authenticate says to them; None for who is let in.

        :param values: of all Authorization headers of the request.
        """
        if not values:
            # RFC 6750 section 3.1: who has shown nothing is told of no error.
            return self._refused("there is no Authorization header"), _REALM
        try:
            self._verifier.verify(bearer_token(values))
        except Refused as refused:
            reason = self._refused(str(refused))
            return reason, f'{_REALM}, error="invalid_token", error_description="{reason}"'
        return None

    def _refused(self, reason: str) -> str:
        now = self._clock()
        if self._told is not None and now - self._told < REPORT_SECONDS:
            self._untold += 1
            return reason
        more = f"; so were {self._untold} others since the last such line" if self._untold else ""
        self._told, self._untold = now, 0
        self._report(f"a connection was refused: {reason}{more}")
        return reason


def bearer_token(values: Sequence[str]) -> str:
    """Returns the token that a request shows.

    :param values: of its Authorization headers, without blanks at their ends.
    :raises Refused: there is not exactly one such header, with a bearer token in it.
    """
    if len(values) != 1:
        raise Refused("there is more than one Authorization header")
    (value,) = values
    if len(value) > len("Bearer ") + MAX_TOKEN_CHARACTERS:
        raise Refused("the token is too long")
    match = _CREDENTIALS.fullmatch(value)
    if match is None:
        raise Refused("the Authorization header holds no bearer token")
    return match[1]


def sha256(token: str) -> bytes:
    """What :class:`CapabilityToken` knows of *token*, which is visible ASCII."""
    return hashlib.sha256(token.encode("ascii")).digest()


def is_token(text: str) -> bool:
    """Whether a request can show it."""
    return len(text) <= MAX_TOKEN_CHARACTERS and _TOKEN.fullmatch(text) is not None
