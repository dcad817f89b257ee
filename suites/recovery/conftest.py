"""What the tests of recovery share."""

import pytest

from fixtures.faults_fixture import Faults
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from suites.recovery.sessions import Sessions


@pytest.fixture
def sessions(faults: Faults, workspace: Workspace) -> Sessions:
    """Sessions below the typed client, whose processes run in the workspace."""
    return Sessions(faults, workspace.uri)


@pytest.fixture
def retention(env: RunningEnvironment) -> None:
    """For tests that choose how long a session waits; skips where the executor has no such choice."""
    if not env.info.capabilities.session_resume:
        pytest.skip("the executor does not announce sessionResume")
