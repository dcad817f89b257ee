"""What a user chooses about executors that are reached through a relay."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from executors.remote.credentials import (
    HOSTS_VARIABLE,
    Bearer,
    CredentialError,
    CredentialSource,
    Fixed,
    InFile,
)
from harness.choices import Option, yes_or_no

TOKEN_VARIABLE: Final = "CROSSEXEC_REMOTE_TOKEN"
PREFIX: Final = "remote:"
"""Of the name of an environment; the environment's id follows."""
_FINGERPRINT: Final = re.compile("[0-9a-f]{32}")

_option = partial(Option, "remote")

OPTIONS: Final = (
    _option("registry", "URL", "the registry that knows the executor, https://HOST/PATH"),
    _option(
        "token-file",
        "PATH",
        "the file that holds the registry's credential, read anew for each request (default: the variable "
        f"{TOKEN_VARIABLE} holds the credential itself)",
    ),
    _option(
        "allow-registry",
        "HOSTS",
        "hosts that the credential may be sent to, with commas, .DOMAIN for all below it; this machine "
        f"always is one, and the variable {HOSTS_VARIABLE} holds more",
    ),
    _option(
        "accept-new-key",
        "yes|no",
        "whether the executor may have another key than when it was first reached (default: no)",
    ),
    _option(
        "pin",
        "FINGERPRINT",
        "take the executor with this key alone, as it tells when it starts (default: the one that the "
        "registry names first)",
    ),
)


@dataclass(frozen=True)
class RemoteOptions:
    """The choices.

    :ivar registry: URL; None if none was given.
    :ivar token_file: holds the credential; None for the variable.
    :ivar allow_registry: hosts, besides this machine.
    :ivar accept_new_key: go on with an executor that has another key than the first time.
    :ivar pin: fingerprint of the only key that is taken; None for any first one.
    """

    registry: str | None = None
    token_file: Path | None = None
    allow_registry: frozenset[str] = frozenset()
    accept_new_key: bool = False
    pin: str | None = None

    def credential(self) -> CredentialSource:
        """:raises CredentialError: there is none."""
        if self.token_file is not None:
            source = InFile(self.token_file)
            source.read()  # So that a mistake shows at once.
            return source
        # It stays in the environment, for the processes among which a run is divided.
        token = os.environ.get(TOKEN_VARIABLE)
        if token is None:
            raise CredentialError(
                f"no credential for the registry: give --remote-token-file or set {TOKEN_VARIABLE}"
            )
        return Fixed(Bearer(token))


def remote_options(chosen: Mapping[str, str | None] | None = None) -> RemoteOptions:
    """Returns the choices: what is given, else what the environment variable says, else the default.

    :param chosen: texts by the names of :data:`OPTIONS`.
    :raises ValueError: a value cannot be meant so.
    """
    given = chosen or {}
    texts = {each.name: given.get(each.name) or os.environ.get(each.variable) or "" for each in OPTIONS}
    accept = yes_or_no("--remote-accept-new-key", texts["accept-new-key"])
    pin = texts["pin"].strip().lower()
    if pin and not _FINGERPRINT.fullmatch(pin):
        raise ValueError(f"--remote-pin {pin[:80]}: give the 32 hexadecimal digits that the executor tells")
    if pin and accept:
        raise ValueError("--remote-pin and --remote-accept-new-key=yes: give one of them")
    hosts = f"{texts['allow-registry']},{os.environ.get(HOSTS_VARIABLE, '')}".split(",")
    return RemoteOptions(
        registry=texts["registry"] or None,
        token_file=Path(texts["token-file"]) if texts["token-file"] else None,
        allow_registry=frozenset(each.strip() for each in hosts) - {""},
        accept_new_key=accept,
        pin=pin or None,
    )
