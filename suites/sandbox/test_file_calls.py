"""File calls under an intent: what a program could not do there a call cannot either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient, SyncFiles
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import EVERYTHING_READABLE, Json, at, intent, matching, special
from suites.sandbox.scene import Scene

Call = Callable[[SyncFiles, PathUri, PathUri], Any]

CHANGES: Final[dict[str, Call]] = {
    "write": lambda files, place, inside: files.write_file(place.join("file"), b"changed"),
    "write new": lambda files, place, inside: files.write_file(place.join("new"), b"changed"),
    "make a directory": lambda files, place, inside: files.create_directory(place.join("new")),
    "remove": lambda files, place, inside: files.remove(place.join("file")),
    "remove all": lambda files, place, inside: files.remove(place.join("directory")),
    "copy in": lambda files, place, inside: files.copy(inside.join("ours"), place.join("new")),
    "copy over": lambda files, place, inside: files.copy(inside.join("ours"), place.join("file")),
    "copy a tree in": lambda files, place, inside: files.copy(
        inside.join("tree"), place.join("new"), recursive=True
    ),
    "write by a link": lambda files, place, inside: files.write_file(
        inside.join("way").join("file"), b"changed"
    ),
    "remove by a link": lambda files, place, inside: files.remove(inside.join("way").join("file")),
}
LOOKS: Final[dict[str, Call]] = {
    "read": lambda files, place, inside: files.read_file(place.join("file")),
    "list": lambda files, place, inside: files.read_directory(place),
    "walk": lambda files, place, inside: files.walk(place),
    "copy out": lambda files, place, inside: files.copy(place.join("file"), inside.join("new")),
    "copy a tree out": lambda files, place, inside: files.copy(place, inside.join("new"), recursive=True),
    "read by a link": lambda files, place, inside: files.read_file(inside.join("way").join("file")),
}


def read_only(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"))


def unsaid(scene: Scene) -> Json:
    return intent(special("minimal", "read"), at(scene / "inside", "write"))


def carved(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), at(scene / "outside", "read"))


def denied(scene: Scene) -> Json:
    return intent(EVERYTHING_READABLE, at(scene / "inside", "write"), at(scene / "outside", "deny"))


def pattern(scene: Scene) -> Json:
    kept = f"{scene.native('outside')}/**"
    return intent(EVERYTHING_READABLE, at(scene.home, "write"), matching(kept))


KEPT: Final[dict[Callable[[Scene], Json], dict[str, Call]]] = {
    read_only: CHANGES,
    unsaid: CHANGES | LOOKS,
    carved: CHANGES,
    denied: CHANGES | LOOKS,
    pattern: {name: call for name, call in (CHANGES | LOOKS).items() if name not in ("list", "walk")},
}
CARVED: Final = (carved, denied, pattern)


@pytest.fixture
def files(scene: Scene, client: SyncClient, workspace: Workspace, python: BoundPython) -> SyncFiles:
    for name in ("outside/file", "outside/directory/file", "inside/ours", "inside/tree/file"):
        workspace.write(name, b"SECRET")
    python.run("import os; os.symlink('../outside', 'inside/way')")
    return client.files


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(make, name, id=f"{make.__name__}-{name}")
        for make, calls in KEPT.items()
        for name in calls
    ],
)
def test_what_is_not_allowed_does_not_happen(
    scene: Scene, files: SyncFiles, escapes: Escapes, carves: bool, make: Callable[[Scene], Json], name: str
) -> None:
    before = scene.look("outside")
    call = (CHANGES | LOOKS)[name]
    error = None
    try:
        call(files.sandboxed(make(scene)), scene / "outside", scene / "inside")
    except RpcError as raised:
        error = raised
    refused = error is not None and error.code == ErrorCode.INVALID_PARAMS
    leaked = (
        name.startswith("copy")
        and "out" in name
        and b"SECRET" in str(scene.look("inside").get("new")).encode()
    )
    escaped = error is None or leaked or scene.look("outside") != before
    escapes.tried(f"{make.__name__}: {name} by a call", escaped=escaped, refused=refused)
    assert not refused or (make in CARVED and not carves), f"not enforced: {error}"


@pytest.mark.parametrize("name", [*CHANGES, *LOOKS])
def test_what_is_allowed_can_be_done(scene: Scene, files: SyncFiles, workspace: Workspace, name: str) -> None:
    workspace.write("inside/place/file", b"SECRET")
    workspace.write("inside/place/directory/file", b"SECRET")
    sandbox = intent(EVERYTHING_READABLE, at(scene.home, "write"))
    (CHANGES | LOOKS)[name](files.sandboxed(sandbox), scene / "inside/place", scene / "inside")


@pytest.mark.parametrize("name", LOOKS)
def test_what_may_be_read_can_be(scene: Scene, files: SyncFiles, name: str) -> None:
    sandboxed = files.sandboxed(read_only(scene))
    found = LOOKS[name](sandboxed, scene / "outside", scene / "inside")
    assert name.startswith("copy") or found == LOOKS[name](files, scene / "outside", scene / "inside")


def test_a_missing_file_is_missing(scene: Scene, files: SyncFiles) -> None:
    with pytest.raises(RpcError) as missing:
        files.sandboxed(read_only(scene)).read_file(scene / "inside/missing")
    assert missing.value.code == ErrorCode.NOT_FOUND


def test_large_files(scene: Scene, files: SyncFiles) -> None:
    data = bytes(range(256)) * 8192
    sandboxed = files.sandboxed(read_only(scene))
    sandboxed.write_file(scene / "inside/large", data)
    assert sandboxed.read_file(scene / "inside/large") == data


def test_calls_under_different_intents_do_not_mix(scene: Scene, files: SyncFiles, escapes: Escapes) -> None:
    open_ = files.sandboxed(intent(EVERYTHING_READABLE, at(scene.home, "write")))
    closed = files.sandboxed(read_only(scene))
    for number in range(20):
        open_.write_file(scene / "outside/file", str(number).encode())
        with pytest.raises(RpcError):
            closed.write_file(scene / "outside/file", b"escaped")
        escaped = open_.read_file(scene / "outside/file") != str(number).encode()
        escapes.tried(f"a call among others {number}", escaped=escaped)
