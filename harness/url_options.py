"""What a user chooses about executors that are reached by their URL."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from harness.bearer import Bearer, BearerAuth, InFile
from harness.choices import Option, yes_or_no

TOKEN_VARIABLE: Final = "CROSSEXEC_URL_TOKEN"
_WHAT: Final = "the executor's token"

_option = partial(Option, "url", where="ws://HOST:PORT")

OPTIONS: Final = (
    _option(
        "token-file",
        "PATH",
        "the file that holds the token which the executor asks for, read anew for each connection (default: "
        f"the variable {TOKEN_VARIABLE} holds the token itself, if there is one)",
    ),
    _option(
        "allow-plain",
        "yes|no",
        "whether the token may go by ws: to other machines, where whoever is on the way can read it "
        "(default: no)",
    ),
)


@dataclass(frozen=True)
class UrlOptions:
    """The choices.

    :ivar token_file: holds the token; None for the variable, or none.
    :ivar allow_plain: send it by ``ws:`` to other machines.
    """

    token_file: Path | None = None
    allow_plain: bool = False

    def bearer(self) -> BearerAuth | None:
        """Returns what shows the token; None if there is none to show.

        :raises CredentialError: it is of no use.
        """
        if self.token_file is not None:
            source = InFile(self.token_file, _WHAT)
            source.read()  # So that a mistake shows at once.
            return BearerAuth(source, allow_plain=self.allow_plain)
        # It stays in the environment, for the processes among which a run is divided.
        token = os.environ.get(TOKEN_VARIABLE)
        return None if not token else BearerAuth(Bearer(token, _WHAT), allow_plain=self.allow_plain)


def url_options(chosen: Mapping[str, str | None] | None = None) -> UrlOptions:
    """Returns the choices: what is given, else what the environment variable says, else the default.

    :param chosen: texts by the names of :data:`OPTIONS`.
    :raises ValueError: a value cannot be meant so.
    """
    given = chosen or {}
    texts = {each.name: given.get(each.name) or os.environ.get(each.variable) or "" for each in OPTIONS}
    return UrlOptions(
        token_file=Path(texts["token-file"]) if texts["token-file"] else None,
        allow_plain=yes_or_no("--url-allow-plain", texts["allow-plain"]),
    )
