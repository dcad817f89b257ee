"""``sandboxDenied``: true for what the sandbox made fail, for nothing else, and never without a sandbox."""

from __future__ import annotations

from typing import Final

import pytest

from fixtures.programs import BoundPython
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent, wrapped
from suites.sandbox.scene import Scene

DENIED: Final = {
    "write": "open(outside + '/new', 'w')",
    "write over": "open(outside + '/file', 'w')",
    "append": "open(outside + '/file', 'a')",
    "make a directory": "os.mkdir(outside + '/new')",
    "remove": "os.unlink(outside + '/file')",
    "rename out": "os.rename('file', outside + '/new')",
    "rename in": "os.rename(outside + '/file', 'new')",
    "change the mode": "os.chmod(outside + '/file', 0o600)",
    "change the times": "os.utime(outside + '/file', (1, 1))",
    "a link that leads out": "os.symlink(outside + '/file', 'way'); open('way', 'w')",
    "by a child": "sys.exit(run(sys.executable, '-c', f'open({outside!r} + \"/new\", \"w\")'))",
    "by sh": "sys.exit(run('/bin/sh', '-c', 'echo x > \"$0\"', outside + '/new'))",
    "connect": "socket.create_connection(('127.0.0.1', 9))",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
}
NOT_DENIED: Final = {
    "success": "open('new', 'w')",
    "a failure of its own": "sys.exit(3)",
    "an exception": "raise RuntimeError('no')",
    "mere words": "print('Permission denied'); sys.exit(1)",
    "mere words of a path": "sys.exit('sh: cannot create file: Permission denied')",
    "mere words of a path there": "sys.exit(f'touch: cannot touch {os.getcwd()}/file: Permission denied')",
    "a missing file": "open('missing')",
    "a directory that is full": "os.rmdir('..')",
    "success in spite of it": """
try:
    open(outside + '/new', 'w')
except OSError as error:
    print(error)
""",
    "a signal": "os.kill(os.getpid(), 15)",
    "127": "sys.exit(127)",
}
SWALLOWED: Final = {
    "swallowed": """
try:
    open(outside + '/new', 'w')
except OSError:
    sys.exit(1)
""",
    "in other words": """
try:
    open(outside + '/new', 'w')
except OSError:
    sys.exit('Keine Berechtigung')
""",
    "swallowed by a shell": """
sys.exit(run('/bin/sh', '-c', '(echo x > "$0") 2>/dev/null || exit 3', outside + '/new'))
""",
}

# Mounts put a border of file systems there, which looks like any other.
LIKE_OTHERS: Final = {"rename out", "rename in"}

_HEAD: Final = """
import os, socket, subprocess, sys
outside = sys.argv[1] if len(sys.argv) > 1 else ""
def run(*command):
    return subprocess.run(command).returncode
"""


def simple(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


def carved(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


@pytest.fixture
def denied(
    request: pytest.FixtureRequest, scene: Scene, workspace: Workspace, python: BoundPython, carves: bool
) -> bool:
    """Runs the case and tells what came of it."""
    make, tty, code = request.param
    if make is carved and not carves:
        pytest.skip("the environment cannot take a part out of a place that may be written")
    workspace.write("inside/file", b"x")
    workspace.write("outside/file", b"x")
    result = python.run(
        _HEAD + code, scene.native("outside"), check=False, sandbox=make(scene), tty=tty, cwd=scene / "inside"
    )
    return result.sandbox_denied


def cases(table: dict[str, str], *, with_carved: bool = True) -> list[object]:
    makes = [simple, carved] if with_carved else [simple]
    return [
        pytest.param((make, tty, code), id=f"{make.__name__}-{'tty' if tty else 'pipes'}-{name}")
        for make in makes
        for tty in ((False, True) if make is simple else (False,))
        for name, code in table.items()
        if make is simple or name not in LIKE_OTHERS
    ]


@pytest.mark.parametrize("denied", cases(DENIED), indirect=True)
def test_what_the_sandbox_made_fail(denied: bool) -> None:
    assert denied


@pytest.mark.parametrize("denied", cases(NOT_DENIED), indirect=True)
def test_what_failed_or_succeeded_by_itself(denied: bool) -> None:
    assert not denied


@pytest.mark.parametrize("denied", cases(SWALLOWED, with_carved=False), indirect=True)
def test_a_denial_that_the_program_does_not_tell_of(denied: bool) -> None:
    assert denied


@pytest.mark.parametrize("sandbox", [None, {"type": "disabled"}, {"type": "external", "network": "enabled"}],
                         ids=["none", "disabled", "external"])  # fmt: skip
@pytest.mark.parametrize("name", ["mere words", "mere words of a path", "a failure of its own"])
def test_never_without_a_sandbox(python: BoundPython, sandbox: Json | None, name: str) -> None:
    result = python.run(
        _HEAD + NOT_DENIED[name], "", check=False, sandbox=None if sandbox is None else wrapped(sandbox)
    )
    assert result.exit_code != 0
    assert not result.sandbox_denied


def test_an_error_of_ordinary_permissions_is_no_denial(python: BoundPython) -> None:
    result = python.run("raise PermissionError(13, 'Permission denied', '/x')", check=False)
    assert result.exit_code == 1
    assert not result.sandbox_denied


@pytest.mark.parametrize("name", ["write", "swallowed", "mere words"])
def test_events_and_reading_say_the_same(
    scene: Scene, workspace: Workspace, wire: Wire, python: BoundPython, name: str
) -> None:
    workspace.write("outside/file", b"x")
    code = (DENIED | SWALLOWED | NOT_DENIED)[name]
    talk = Conversation(wire, scene / "inside")
    talk.start("p", python.argv(_HEAD + code, scene.native("outside")), sandbox=simple(scene))
    talk.finish("p")
    told = [one for one in wire.notifications if one["method"] == "process/exited"]
    read = talk.call("process/read", processId="p")
    expected = name != "mere words"
    assert read["sandboxDenied"] is expected
    assert [one["params"]["sandboxDenied"] for one in told] in ([], [expected])
