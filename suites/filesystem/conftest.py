"""What the tests of files share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation

_LINK = """
import os, sys
try:
    os.symlink(sys.argv[1], sys.argv[2], target_is_directory=sys.argv[3] == "True")
    assert os.path.islink(sys.argv[2]), "the system says that it made a link, and there is none"
except (OSError, NotImplementedError) as error:
    print(error)
"""

Link = Callable[..., PathUri]


@pytest.fixture
def link(python: BoundPython, workspace: Workspace, env: RunningEnvironment) -> Link:
    """``link(target, name, directory=False)`` makes a symbolic link in the workspace to *target*, native
    text, and returns its URI. Skips on a Windows that does not let this user make any."""

    def make(target: str, name: str, directory: bool = False) -> PathUri:
        found = python.run(_LINK, target, workspace.native(name), str(directory)).text.strip()
        if found and env.platform == "windows":
            pytest.skip(f"this user cannot make symbolic links there: {found}")
        assert not found
        return workspace / name

    return make


@pytest.fixture
def talk(wire: Wire, workspace: Workspace) -> Conversation:
    """A raw connection of its own."""
    return Conversation(wire, workspace.uri)
