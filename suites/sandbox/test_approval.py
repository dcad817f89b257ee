"""From the denial to the approved retry, as a person would see it."""

from __future__ import annotations

import pytest

from fixtures.approvals import Approvals
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.errors import CommandDenied, SandboxRefused
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent
from suites.sandbox.scene import Scene

WRITE = "import sys; open(sys.argv[1], 'a').write('x')"


@pytest.fixture
def under(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


@pytest.fixture
def command(scene: Scene, python: BoundPython) -> list[str]:
    return python.argv(WRITE, scene.native("outside/new"))


def test_denied_then_approved_then_done(
    approvals: Approvals, workspace: Workspace, under: Json, command: list[str]
) -> None:
    def not_done_yet(denied: CommandDenied) -> bool:
        assert denied.argv == command
        assert denied.exit_code != 0
        assert not workspace.exists("outside/new")
        return True

    approvals.answer(not_done_yet)
    result = approvals.run(command, under)
    assert result.exit_code == 0
    assert not result.sandbox_denied
    assert workspace.read("outside/new") == b"x"
    assert [(one.approved, one.retried_exit_code) for one in approvals.decisions] == [(True, 0)]


def test_denied_and_not_approved(
    approvals: Approvals, workspace: Workspace, under: Json, command: list[str]
) -> None:
    approvals.answer(False)
    with pytest.raises(CommandDenied):
        approvals.run(command, under)
    assert not workspace.exists("outside/new")


def test_nobody_is_asked_about_an_ordinary_failure(
    approvals: Approvals, python: BoundPython, under: Json, scene: Scene
) -> None:
    assert approvals.run(python.argv("raise SystemExit(9)"), under).exit_code == 9
    assert approvals.decisions == []


def test_nobody_is_asked_about_what_is_allowed(
    approvals: Approvals, python: BoundPython, workspace: Workspace, under: Json, scene: Scene
) -> None:
    assert approvals.run(python.argv(WRITE, scene.native("inside/new")), under).exit_code == 0
    assert workspace.read("inside/new") == b"x"


def test_nobody_is_asked_about_what_is_refused(
    approvals: Approvals, python: BoundPython, workspace: Workspace
) -> None:
    """Also where no sandbox is offered at all."""
    sandbox = intent(EVERYTHING_READABLE, at(workspace / "missing", "write"))
    with pytest.raises(SandboxRefused):
        approvals.run(python.argv(WRITE, workspace.native("new")), sandbox)
    assert not workspace.exists("new")
    assert approvals.decisions == []
