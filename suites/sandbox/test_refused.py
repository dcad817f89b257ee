"""An intent that cannot be understood or enforced is refused before anything runs, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from suites.sandbox.escapes import Escapes
from suites.sandbox.intents import (
    EVERYTHING_READABLE,
    UNRESTRICTED,
    Json,
    at,
    intent,
    matching,
    special,
    wrapped,
    writing_in,
)

FOREIGN: Final = {"linux": "file:///C:/Users", "macos": "file:///C:/Users", "windows": "file:///home/user"}


def with_network(value: Any) -> Callable[[Workspace], Json]:
    return lambda workspace: wrapped(
        {"type": "managed", "file_system": UNRESTRICTED} | ({} if value is None else {"network": value})
    )


def entry(place: Any, access: Any = "write") -> Callable[[Workspace], Json]:
    return lambda workspace: intent(EVERYTHING_READABLE, {"path": place, "access": access})


def path(uri: str) -> Callable[[Workspace], Json]:
    return lambda workspace: intent(EVERYTHING_READABLE, at(uri, "write"))


def below(text: str) -> Callable[[Workspace], Json]:
    return lambda workspace: intent(EVERYTHING_READABLE, at(f"{workspace.uri}/{text}", "write"))


def pattern(text: str, access: str = "deny") -> Callable[[Workspace], Json]:
    return lambda workspace: intent(
        EVERYTHING_READABLE, matching(text, access), roots=[workspace.uri], cwd=workspace.uri
    )


def named(kind: str, **more: Any) -> Callable[[Workspace], Json]:
    return lambda workspace: intent(
        EVERYTHING_READABLE, special(kind, "write", **more), roots=[workspace.uri]
    )


def permissions(value: Any) -> Callable[[Workspace], Json]:
    return lambda workspace: wrapped(value)


REFUSED: Final[dict[str, Callable[[Workspace], Any]]] = {
    "no object": lambda workspace: "read-only",
    "a list": lambda workspace: [],
    "empty": lambda workspace: {},
    "permissions null": permissions(None),
    "permissions of an unknown type": permissions({"type": "strict"}),
    "permissions without file_system": permissions({"type": "managed", "network": "restricted"}),
    "network missing": with_network(None),
    "network unknown": with_network("proxied"),
    "network null": with_network(0),
    "entries missing": permissions(
        {"type": "managed", "file_system": {"type": "restricted"}, "network": "restricted"}
    ),
    "file_system of an unknown type": permissions(
        {"type": "managed", "file_system": {"type": "overlay"}, "network": "restricted"}
    ),
    "a field nobody knows": permissions(
        {
            "type": "managed",
            "file_system": {"type": "restricted", "entries": [], "only": 1},
            "network": "enabled",
        }
    ),
    "windowsSandboxLevel missing": lambda workspace: {
        "permissions": writing_in(workspace.uri)["permissions"]
    },
    "windowsSandboxLevel unknown": lambda workspace: (
        writing_in(workspace.uri) | {"windowsSandboxLevel": "most"}
    ),
    "an access nobody knows": lambda workspace: intent(EVERYTHING_READABLE, at(workspace.uri, "execute")),
    "access missing": lambda workspace: intent({"path": at(workspace.uri, "read")["path"]}),
    "a place of an unknown type": entry({"type": "inode", "inode": 2}),
    "a place without type": entry({"path": "file:///"}),
    "a special place nobody knows": named("home"),
    "unknown": named("unknown", path=":future"),
    "current_working_directory without cwd": named("current_working_directory"),
    "a subpath of root": named("root", subpath="etc"),
    "a subpath that climbs": named("project_roots", subpath="../x"),
    "an absolute subpath": named("project_roots", subpath="/etc"),
    "project_roots without roots": lambda workspace: intent(
        EVERYTHING_READABLE, special("project_roots", "write")
    ),
    "a relative path": path("relative/path"),
    "a native path": path("/tmp"),
    "an empty path": path(""),
    "another scheme": path("https://host.example/tmp"),
    "ssh": path("ssh://host.example/tmp"),
    "a query": path("file:///tmp?x"),
    "a NUL": below("a%00b"),
    "dots": below("../x"),
    "encoded dots": below("%2e%2e/x"),
    "half encoded dots": below(".%2E/x"),
    "dots at the end": below("x/.."),
    "an encoded slash": below("a%2Fb"),
    "a place to write that is not there": below("missing"),
    "a place below a file": below("file/below"),
    "a pattern that allows": pattern("**/*.py", "write"),
    "a pattern that lets read": pattern("**/*.py", "read"),
    "a pattern that climbs": pattern("../*.py"),
    "an empty pattern": pattern(""),
    "a pattern that is not closed": pattern("[ab"),
    "a pattern with braces": pattern("*.{py,pyi}"),
    "a pattern of another scheme": pattern("https://*.py"),
    "a relative pattern without roots": lambda workspace: intent(EVERYTHING_READABLE, matching("*.py")),
    "a depth of nothing": lambda workspace: intent(EVERYTHING_READABLE, depth=0),
    "two accesses of a path": lambda workspace: intent(
        EVERYTHING_READABLE, at(workspace.uri, "read"), at(workspace.uri, "write")
    ),
    "allowed and denied": lambda workspace: intent(
        EVERYTHING_READABLE, at(workspace.uri, "write"), at(workspace.uri, "deny")
    ),
    "too many entries": lambda workspace: intent(
        *(at(workspace / str(number), "read") for number in range(10_001))
    ),
    "a relative cwd": lambda workspace: intent(
        EVERYTHING_READABLE, special("current_working_directory", "write"), cwd="here"
    ),
    "a relative root": lambda workspace: intent(
        EVERYTHING_READABLE, special("project_roots", "write"), roots=["here"]
    ),
}


def start(shell: BoundShell, sandbox: Any) -> RpcError:
    """The error of a start that must not have happened."""
    with pytest.raises(RpcError) as refused:
        shell.run(f"{shell.echo('x')} > ran", sandbox=sandbox)
    return refused.value


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused(
    shell: BoundShell, workspace: Workspace, make: Callable[[Workspace], Any]
) -> None:
    workspace.write("file", b"kept")
    error = start(shell, make(workspace))
    assert error.code == ErrorCode.INVALID_PARAMS
    assert "sandbox" in error.message
    assert not workspace.exists("ran")
    assert workspace.read("file") == b"kept"


def test_a_path_of_another_system_is_refused(
    shell: BoundShell, workspace: Workspace, env: RunningEnvironment
) -> None:
    error = start(shell, intent(EVERYTHING_READABLE, at(FOREIGN[env.platform], "read")))
    assert error.code == ErrorCode.INVALID_PARAMS
    assert not workspace.exists("ran")


def test_a_refusal_says_where_and_leaves_the_id_free(shell: BoundShell, workspace: Workspace) -> None:
    sandbox = intent(EVERYTHING_READABLE, at(workspace.uri, "execute"))
    for _ in range(2):
        with pytest.raises(RpcError) as refused:
            shell.run(shell.echo("x"), sandbox=sandbox, process_id="p")
        assert "access" in refused.value.message
    assert shell.run(shell.echo("x"), process_id="p").exit_code == 0


# What asks for something: each is enforced, or refused where nothing can enforce it.
RESTRICTING: Final[dict[str, Callable[[Workspace], Json]]] = {
    "nothing at all": lambda workspace: intent(),
    "read only": lambda workspace: intent(EVERYTHING_READABLE),
    "read only with network": lambda workspace: intent(EVERYTHING_READABLE, network="enabled"),
    "another place to write": lambda workspace: writing_in(workspace / "inside"),
    "all but one place": lambda workspace: intent(
        special("root", "write"), at(workspace / "outside", "read"), network="enabled"
    ),
    "one place denied": lambda workspace: intent(
        special("root", "write"), at(workspace / "outside", "deny"), network="enabled"
    ),
    "a pattern": lambda workspace: intent(
        special("root", "write"), matching("**/new*"), matching("outside/**"), roots=[workspace.uri]
    ),
    "minimal": lambda workspace: intent(special("minimal", "read")),
    "project roots": lambda workspace: intent(
        EVERYTHING_READABLE, special("project_roots", "write"), roots=[workspace / "inside"]
    ),
    "for reading": lambda workspace: intent(EVERYTHING_READABLE, at(workspace / "outside", "read")),
    "of the elevated level": lambda workspace: (
        writing_in(workspace / "inside") | {"windowsSandboxLevel": "elevated"}
    ),
    "of restricted tokens": lambda workspace: (
        writing_in(workspace / "inside") | {"windowsSandboxLevel": "restricted-token"}
    ),
}


@pytest.mark.parametrize("name", RESTRICTING)
def test_what_restricts_is_enforced_or_refused(
    shell: BoundShell, workspace: Workspace, offered: list[str], escapes: Escapes, name: str
) -> None:
    workspace.mkdir("inside")
    workspace.write("outside/file", b"kept")
    script = f"{shell.echo('x')} > {shell.quote(workspace.native('outside/file'))}"
    refused = False
    try:
        shell.run(script, sandbox=RESTRICTING[name](workspace), cwd=workspace / "inside")
    except RpcError as error:
        # Where nothing is to be had for programs, not even theirs to run, they are not found.
        assert error.code == ErrorCode.INVALID_PARAMS or offered, error
        refused = True
    assert refused or offered, "an executor without a sandbox has started it"
    escapes.tried(
        f"enforced or refused: {name}", escaped=workspace.read("outside/file") != b"kept", refused=refused
    )


@pytest.mark.parametrize("name", ["network only", "external"])
def test_what_restricts_the_network_is_enforced_or_refused(
    shell: BoundShell, workspace: Workspace, offered: list[str], name: str
) -> None:
    sandbox = {
        "network only": wrapped({"type": "managed", "file_system": UNRESTRICTED, "network": "restricted"}),
        "external": wrapped({"type": "external", "network": "restricted"}),
    }[name]
    if offered:
        assert shell.run(shell.exit(7), sandbox=sandbox).exit_code == 7
    else:
        assert start(shell, sandbox).code == ErrorCode.INVALID_PARAMS
        assert not workspace.exists("ran")


UNRESTRICTING: Final[dict[str, Json | None]] = {
    "null": None,
    "disabled": wrapped({"type": "disabled"}),
    "external": wrapped({"type": "external", "network": "enabled"}),
    "unrestricted": wrapped({"type": "managed", "file_system": UNRESTRICTED, "network": "enabled"}),
}


@pytest.mark.parametrize("name", UNRESTRICTING)
def test_what_restricts_nothing_takes_no_sandbox(shell: BoundShell, workspace: Workspace, name: str) -> None:
    result = shell.run(f"{shell.echo('x')} > ran", sandbox=UNRESTRICTING[name])
    assert result.exit_code == 0
    assert workspace.exists("ran")
    assert not result.sandbox_denied
