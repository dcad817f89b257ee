"""Signed URLs that last a short time, and secrets of which only the hash is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal, Self
from urllib.parse import urlencode

Role = Literal["executor", "harness"]
ROLES: Final[tuple[Role, ...]] = ("executor", "harness")
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 9


class InvalidTicket(Exception):
    """A URL that this service has not signed."""


@dataclass(frozen=True)
class Ticket:
    """The right to connect, as a signed URL carries it.

    :ivar role: of whom connects.
    :ivar environment: id of the environment.
    :ivar registration: of the executor that is connected, or to be reached.
    :ivar grant: of the harness; empty for an executor.
    :ivar token: id of the token that it was given for.
    :ivar expires: seconds since the epoch, from which on it is not taken any more.
    """

    role: Role
    environment: str
    registration: str
    grant: str
    token: str
    expires: int

    def query(self, key: bytes) -> str:
        """Returns it signed, as the query of a URL."""
        named = self._named()
        return urlencode({**named, "signature": _signature(named, key)})

    def _named(self) -> dict[str, str]:
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def verify(cls, query: Mapping[str, str], key: bytes) -> Self:
        """Returns what a query says, which may have expired.

        :raises InvalidTicket: it is not one of ours.
        """
        named = {field.name: query.get(field.name, "") for field in fields(cls)}
        if not hmac.compare_digest(_bytes(_signature(named, key)), _bytes(query.get("signature", ""))):
            raise InvalidTicket("the URL is not one that this service has signed")
        role = named["role"]
        assert role in ROLES
        return cls(
            role,
            named["environment"],
            named["registration"],
            named["grant"],
            named["token"],
            int(named["expires"]),
        )


def _signature(named: Mapping[str, str], key: bytes) -> str:
    # Each value after its length: no two tickets have the same text.
    text = "".join(f"{len(value)}:{value}" for _, value in sorted(named.items()))
    return _text(hmac.digest(key, _bytes(text), "sha256"))


def new_secret() -> str:
    """Returns 256 random bits as text."""
    return _text(secrets.token_bytes(_SECRET_BYTES))


def new_id(prefix: str) -> str:
    """Returns a name that nobody else has, which is no secret."""
    return f"{prefix}_{_text(secrets.token_bytes(_ID_BYTES))}"


def hash_of(secret: str) -> bytes:
    """Returns what is kept of a secret. It is random, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def _bytes(text: str) -> bytes:
    # What cannot be encoded is no reason to fail: it is only another text.
    return text.encode(errors="surrogatepass")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
