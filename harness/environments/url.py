"""An executor that somebody else has started."""

from __future__ import annotations

import urllib.parse
from contextlib import AbstractAsyncContextManager

from harness.bearer import CredentialError, refuse_login
from harness.environments.base import Availability, Environment, Running, running
from harness.url_options import UrlOptions


class UrlEnvironment(Environment):
    """Attaches to the executor that listens on *url*, and leaves it running.

    :param url: ``ws://HOST:PORT`` or ``unix:///PATH``.
    :param options: by default it is shown the token that the environment variable holds, if there is one.
    """

    name = "url"

    def __init__(self, url: str, options: UrlOptions | None = None) -> None:
        self.url = url
        self._options = options or UrlOptions()

    def available(self) -> Availability:
        try:
            refuse_login(self.url)
            if urllib.parse.urlsplit(self.url).scheme not in ("ws", "wss", "unix"):
                return Availability(
                    False, f"{self.url!r} is no executor's URL", "give ws://HOST:PORT or unix:///PATH"
                )
            bearer = self._options.bearer()
            if bearer is not None:
                bearer.check(self.url)
        except (ValueError, CredentialError) as error:
            return Availability(False, str(error))
        return Availability(True)

    def start(self) -> AbstractAsyncContextManager[Running]:
        # It may be reached through a tunnel: an address says nothing about whose files it sees.
        return running(self.name, self.url, is_remote=True, bearer=self._options.bearer())
