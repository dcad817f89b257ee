"""An executor that somebody else has started."""

from __future__ import annotations

import urllib.parse
from contextlib import AbstractAsyncContextManager

from harness.environments.base import Availability, Environment, Running, running


class UrlEnvironment(Environment):
    """Attaches to the executor that listens on *url*, and leaves it running.

    :param url: ``ws://HOST:PORT`` or ``unix:///PATH``.
    """

    name = "url"

    def __init__(self, url: str) -> None:
        self.url = url

    def available(self) -> Availability:
        if urllib.parse.urlsplit(self.url).scheme in ("ws", "wss", "unix"):
            return Availability(True)
        return Availability(
            False, f"{self.url!r} is no executor's URL", "give ws://HOST:PORT or unix:///PATH"
        )

    def start(self) -> AbstractAsyncContextManager[Running]:
        # It may be reached through a tunnel: an address says nothing about whose files it sees.
        return running(self.name, self.url, is_remote=True)
