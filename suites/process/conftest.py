"""What the tests of processes share."""

import pytest

from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation


@pytest.fixture
def talk(wire: Wire, workspace: Workspace) -> Conversation:
    """A raw connection of its own, whose processes run in the workspace."""
    return Conversation(wire, workspace.uri)
