"""What the tests of recovery share."""

import pytest

from fixtures.faults_fixture import Faults
from fixtures.workspace import Workspace
from suites.recovery.sessions import Sessions


@pytest.fixture
def sessions(faults: Faults, workspace: Workspace) -> Sessions:
    """Sessions below the typed client, whose processes run in the workspace."""
    return Sessions(faults, workspace.uri)
