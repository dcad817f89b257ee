"""What the tests of the protocol share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.wire import JsonObject, Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation


@pytest.fixture
def fresh(open_wire: Callable[[], Wire]) -> Wire:
    """A connection whose handshake has not begun."""
    return open_wire()


@pytest.fixture
def talk(wire: Wire, workspace: Workspace) -> Conversation:
    """A connection whose processes run in the workspace."""
    return Conversation(wire, workspace.uri)


@pytest.fixture
def usable() -> Callable[[Wire], None]:
    """Checks that a connection still answers, and has nothing else to say."""

    def check(wire: Wire) -> None:
        wire.send({"id": "still there?", "method": "environment/status"})
        reply: JsonObject = wire.receive()
        assert reply == {"id": "still there?", "result": {"status": "ready"}}

    return check
