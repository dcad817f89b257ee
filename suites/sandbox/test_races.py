"""A directory that becomes a link and back while it is used, thousands of times: nothing gets out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from fixtures.programs import BoundPython
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent
from suites.sandbox.outer import SWAP
from suites.sandbox.scene import Scene

TRIES: Final = 2_000
FEW: Final = 200
# Of file calls, each of which takes a process: the others go the same way.
OFTEN: Final = {"fs/writeFile"}
_AT_A_TIME: Final = 50

RACE: Final = """
import ctypes, json, os, subprocess, sys
operation, tries, swap = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
swapper = subprocess.Popen([sys.executable, "-I", "-S", *swap], stdout=subprocess.PIPE)
swapper.stdout.readline()
done = changes = 0
number = -1
was = None
# What is quick must not be over before the swapper has had its turns.
while number < tries or changes < 20:
    number += 1
    now = os.path.islink("d")
    changes += now != was
    was = now
    try:
        if operation == "write":
            fd = os.open("d/file", os.O_WRONLY | os.O_TRUNC)
            os.write(fd, b"changed")
            os.close(fd)
        elif operation == "create":
            os.close(os.open("d/new%d" % number, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        elif operation == "make_directory":
            os.mkdir("d/new%d" % number)
        elif operation == "remove":
            os.unlink("d/file%d" % number)
        elif operation == "change_mode":
            os.chmod("d/file", 0o600 | number % 8)
        elif operation == "change_times":
            os.utime("d/file", (number, number))
        elif operation == "change_owner":
            os.chown("d/file", os.geteuid(), os.getegid())
        elif operation == "set_attribute":
            os.setxattr("d/file", "user.tried", b"x")
        elif operation == "rename":
            os.close(os.open("ours", os.O_WRONLY | os.O_CREAT))
            os.rename("ours", "d/new%d" % number)
        elif operation == "link":
            os.link("d/file", "taken%d" % number)
        done += 1
    except OSError:
        pass
swapper.kill()
swapper.wait()
print(done)
"""
OPERATIONS: Final = [
    "write", "create", "make_directory", "remove", "change_mode", "change_times", "change_owner",
    "set_attribute", "rename", "link",
]  # fmt: skip
# All of these say nothing of what is inside, where some of them cannot be done.
MAY_FAIL: Final = {"set_attribute", "remove"}

PREPARE: Final = """
import os, sys
outside = sys.argv[1]
os.mkdir("d")
for place in ("d", outside):
    with open(place + "/file", "w") as file:
        file.write("SECRET")
    if len(sys.argv) > 2:
        for number in range(int(sys.argv[2])):
            open(place + "/file%d" % number, "x").close()
os.symlink(outside, "way")
"""


def writable_inside(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


def writable_but_outside(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


@pytest.mark.parametrize("make", [writable_inside, writable_but_outside])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_program_cannot_race_its_sandbox(
    scene: Scene, workspace: Workspace, python: BoundPython, escapes: Escapes, carves: bool, operation: str,
    make: object,
) -> None:  # fmt: skip
    if make is writable_but_outside and not carves:
        pytest.skip("the environment cannot take a part out of a place that may be written")
    workspace.write("gate", b"")
    files = [str(TRIES)] if operation == "remove" else []
    python.run(PREPARE, scene.native("outside"), *files, cwd=scene / "inside")
    before = scene.look("outside")
    inside = [scene.native(name) for name in ("inside/d", "inside/way")]
    result = python.run(
        RACE, operation, str(TRIES), "-c", SWAP, *inside, scene.native("gate"),
        sandbox=make(scene), cwd=scene / "inside",  # type: ignore[operator]
    )  # fmt: skip
    escaped = scene.look("outside") != before
    escapes.tried(f"race of {operation}, {make.__name__}", escaped=escaped, tries=TRIES)  # type: ignore[attr-defined]
    assert int(result.text) > 0 or operation in MAY_FAIL, "it never met the directory: nothing was tried"


@contextmanager
def swapped(scene: Scene, workspace: Workspace, python: BoundPython) -> Iterator[None]:
    """While this is entered ``inside/d`` is a directory and a link to ``outside`` by turns."""
    workspace.write("gate", b"")
    python.run(PREPARE, scene.native("outside"), cwd=scene / "inside")
    inside = [scene.native(name) for name in ("inside/d", "inside/way")]
    with python.start(SWAP, *inside, scene.native("gate")) as swapper:
        assert any(isinstance(event, OutputEvent) for event in swapper.events())
        yield


@pytest.mark.parametrize("method", ["fs/writeFile", "fs/createDirectory", "fs/copy", "fs/remove"])
def test_a_file_call_cannot_be_raced(
    scene: Scene, workspace: Workspace, python: BoundPython, wire: Wire, escapes: Escapes, method: str
) -> None:
    sandbox = writable_inside(scene)
    tries = TRIES if method in OFTEN else FEW
    given: Json = {"path": f"{scene / 'inside'}/d/file"}
    with swapped(scene, workspace, python):
        before = scene.look("outside")
        done = 0
        for start in range(0, tries, _AT_A_TIME):
            sent = []
            for number in range(start, start + _AT_A_TIME):
                if method == "fs/writeFile":
                    params = given | {"dataBase64": "Y2hhbmdlZA=="}
                elif method == "fs/createDirectory":
                    params = {"path": f"{scene / 'inside'}/d/new{number}", "recursive": False}
                elif method == "fs/remove":
                    params = {"path": f"{scene / 'inside'}/d/file", "recursive": False, "force": False}
                else:
                    new = f"{scene / 'inside'}/d/new{number}"
                    params = {
                        "sourcePath": f"{scene / 'inside'}/ours",
                        "destinationPath": new,
                        "recursive": False,
                    }
                sent.append(wire.post(method, params | {"sandbox": sandbox}))
            waiting = set(sent)
            while waiting:
                reply = wire.receive()
                if reply.get("id") in waiting:
                    waiting.discard(reply["id"])
                    done += "result" in reply
                    assert reply.get("error", {}).get("code") != -32602, json.dumps(reply)
        escaped = scene.look("outside") != before
    escapes.tried(f"race of {method}", escaped=escaped, tries=tries)
    assert done or method != "fs/writeFile", "it never met the directory: nothing was tried"
