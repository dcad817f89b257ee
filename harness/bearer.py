"""Tokens that a client shows to an executor that asks for one (``--ws-auth``), and where they may be sent."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from executors.remote.credentials import Bearer, CredentialError, CredentialSource, InFile, is_loopback

__all__ = ["Bearer", "BearerAuth", "BearerHeaders", "CredentialError", "InFile", "refuse_login"]


_END_OF_HOST: Final = re.compile("[/?#]")


class BearerHeaders(dict[str, str]):
    """Headers of a request; nothing shows their values."""

    def __repr__(self) -> str:
        return f"BearerHeaders({', '.join(self)})"


class BearerAuth:
    """Shows a token with each request for a WebSocket.

    It is sent by ``wss:``, to this machine and to Unix sockets; no redirect is followed.

    :param source: is asked anew for each connection, so that the token can be renewed: ``Bearer("…")``, or
        ``InFile(path)``.
    :param allow_plain: send it by ``ws:`` to other machines too, where whoever is on the way can read it.
    """

    def __init__(self, source: CredentialSource, *, allow_plain: bool = False) -> None:
        self._source = source
        self._allow_plain = allow_plain

    def __repr__(self) -> str:
        return "BearerAuth(…)"

    def check(self, url: str) -> None:
        """:raises CredentialError: no token is sent to *url*."""
        parts = urlsplit(url)
        if self._allow_plain or parts.scheme in ("wss", "unix") or is_loopback(parts.hostname or ""):
            return
        raise CredentialError(
            f"whoever is on the way to {parts.hostname} could read the token: connect by wss:// or through a "
            "tunnel that begins on this machine, or send it all the same by --url-allow-plain=yes"
        )

    def headers(self, url: str) -> BearerHeaders:
        """Returns what a request to *url* has to have.

        :raises CredentialError: there is no token now, or none is sent there.
        """
        self.check(url)
        return BearerHeaders(Authorization=self._source.read().header())

    def token(self) -> str:
        """Returns the token itself, to hand it on.

        :raises CredentialError: there is none now.
        """
        return self._source.read().token()


def refuse_login(url: str) -> None:
    """Lets no URL pass with a user or a password in it, which reports would show.

    :raises ValueError: it has; the text shows neither.
    """
    # By hand: the errors of urlsplit may hold it.
    if "@" in _END_OF_HOST.split(url.partition("://")[2], maxsplit=1)[0]:
        raise ValueError(
            "a URL with a user or a password in it would be shown in reports: leave out what is before the "
            "@, and give the executor's token by --url-token-file PATH or CROSSEXEC_URL_TOKEN"
        )
