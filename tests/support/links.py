"""The client's WebSocket, whichever this process uses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from harness.client import links


def pings_of_links(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[bool]:
    """Returns where each ping, from now on, tells whether the client's reading was paused."""
    pings = asyncio.Queue[bool]()
    kind = vars(links.implementation())["WebSocketLink"]
    ping = kind.peer_is_silent

    def counted(self: Any) -> None:
        ping(self)
        pings.put_nowait(self._reading_paused)

    monkeypatch.setattr(kind, "peer_is_silent", counted)
    return pings
