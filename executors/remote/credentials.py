"""Where the registry's credential comes from, and where it may go."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

DEFAULT_VARIABLE = "CROSSEXEC_REGISTRY_TOKEN"
HOSTS_VARIABLE = "CROSSEXEC_REGISTRY_HOSTS"
"""Holds hosts that a credential may be sent to, with commas."""
MAX_CREDENTIAL_BYTES = 16 * 1024
_CREDENTIAL = "the registry's credential"


class CredentialError(Exception):
    """There is no usable credential, or nowhere to send it; the text holds nothing of it."""


class Bearer:
    """A token that nothing shows; it is a source of itself.

    :param what: it is, for errors.
    :raises CredentialError: *token* is empty, or could not be in a header.
    """

    __slots__ = ("_token",)

    def __init__(self, token: str, what: str = _CREDENTIAL) -> None:
        token = token.strip()
        if not token:
            raise CredentialError(f"{what} is empty")
        if len(token) > MAX_CREDENTIAL_BYTES or not all(" " < character <= "~" for character in token):
            raise CredentialError(f"{what} is too long, or holds blanks or control characters")
        self._token = token

    def read(self) -> Bearer:
        """See :class:`CredentialSource`."""
        return self

    def header(self) -> str:
        """The value of an Authorization header."""
        return f"Bearer {self._token}"

    def token(self) -> str:
        """The token itself."""
        return self._token

    def redact(self, text: str) -> str:
        return text.replace(self._token, "…")

    def __repr__(self) -> str:
        return "Bearer(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled")


class CredentialSource(Protocol):
    def read(self) -> Bearer:
        """:raises CredentialError: there is none now."""


class Fixed:
    """One that was read when the program started."""

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    def read(self) -> Bearer:
        return self._bearer


class InFile:
    """The whole content of a file, read anew each time, so that it can be renewed.

    :param what: it is, for errors.
    """

    def __init__(self, path: Path, what: str = _CREDENTIAL) -> None:
        self._path = path
        self._what = what

    def read(self) -> Bearer:
        try:
            with self._path.open(encoding="utf-8") as file:
                return Bearer(file.read(MAX_CREDENTIAL_BYTES + 2), self._what)
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialError(f"cannot read {self._what} from {self._path}: {error}") from None


def from_environment(variable: str) -> Fixed:
    """Takes it out of the environment, so that no process of the executor inherits it.

    :raises CredentialError: the variable is not set.
    """
    token = os.environ.pop(variable, None)
    if token is None:
        raise CredentialError(f"the environment variable {variable} is not set")
    return Fixed(Bearer(token))


def from_descriptor(descriptor: int) -> Fixed:
    """The first line of a descriptor, which is read no further than that.

    :raises CredentialError: nothing usable comes before its end.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) <= MAX_CREDENTIAL_BYTES:
        one = os.read(descriptor, 1)
        if not one:
            break
        line += one
    return Fixed(Bearer(line.decode("latin-1")))


def check_registry_url(url: str, allowed_hosts: Collection[str], option: str = "--allow-registry") -> str:
    """Returns *url* without a slash at its end, if a credential may be sent there.

    It may over https to *allowed_hosts*, by name, and to this machine itself, over http too. ``.example.com``
    stands for all hosts below example.com.

    :param option: that allows a host, for the error.
    :raises CredentialError: it may not, or *url* is malformed.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        _ = parts.port
    except ValueError as error:
        raise CredentialError(f"malformed URL of a registry: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise CredentialError(f"{parts.scheme or 'no scheme'!s}: give a registry as https://HOST/PATH")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise CredentialError("the URL of a registry has no user, no query and no fragment")
    if not is_loopback(host):
        if parts.scheme != "https":
            raise CredentialError(f"the registry's credential is sent over https only: https://{host}")
        named = {each.lower() for each in allowed_hosts}
        above = {host[at:] for at, character in enumerate(host) if character == "."}
        if host not in named and not above & named:
            raise CredentialError(
                f"the registry's credential is not sent to {host}: allow it by {option} {host}"
            )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine, by address or as ``localhost``; no name is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
