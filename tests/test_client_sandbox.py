"""Intents as callers write them: what goes over the wire, what an executor makes of it, and how it fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.errors import ErrorCode
from executors.protocol.files import DENIED_BY_SANDBOX
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.protocol.path_uri import PathUri
from executors.protocol.sandbox import Entry
from executors.sandbox.intent import Places, bind, read_intent
from executors.sandbox.policy import Access, Policy
from harness.client import (
    CommandDenied,
    CommandFailed,
    FileDenied,
    RpcError,
    SandboxDenied,
    SandboxIntent,
    SandboxRefused,
)
from harness.client.sandbox import (
    Sandbox,
    allow_read,
    allow_write,
    deny,
    deny_matching,
    encode,
    read_only,
    told_apart,
    workspace_write,
)
from harness.client.sync import SyncClient, blocking_context, sync_client
from harness.environments import Running
from harness.environments.local import LocalEnvironment

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")

Json = dict[str, Any]


def wire(sandbox: Sandbox) -> Json:
    found: Json = json.loads(bytes(encode(sandbox)))
    return found


def special(kind: str, access: str) -> Json:
    return {"path": {"type": "special", "value": {"kind": kind}}, "access": access}


def at(path: str, access: str) -> Json:
    return {"path": {"type": "path", "path": path}, "access": access}


# What goes over the wire


def test_an_intent_goes_over_the_wire_as_the_protocol_has_it() -> None:
    root = PathUri.parse("file:///ws")
    sandbox = workspace_write(
        [root, "file:///other"],
        [deny(root.join(".env")), allow_read("file:///ws/vendor"), deny_matching("**/*.pem")],
    )
    assert wire(sandbox) == {
        "permissions": {
            "type": "managed",
            "file_system": {
                "type": "restricted",
                "entries": [
                    special("root", "read"),
                    special("project_roots", "write"),
                    at("file:///ws/.env", "deny"),
                    at("file:///ws/vendor", "read"),
                    {"path": {"type": "glob_pattern", "pattern": "**/*.pem"}, "access": "deny"},
                ],
            },
            "network": "restricted",
        },
        "cwd": "file:///ws",
        "workspaceRoots": ["file:///ws", "file:///other"],
        "windowsSandboxLevel": "restricted-token",
    }


def test_the_least_intent_has_nothing_in_it_that_it_does_not_need() -> None:
    assert wire(read_only()) == {
        "permissions": {
            "type": "managed",
            "file_system": {"type": "restricted", "entries": [special("root", "read")]},
            "network": "restricted",
        },
        "workspaceRoots": [],
        "windowsSandboxLevel": "restricted-token",
    }


@pytest.mark.parametrize(
    ("sandbox", "entries", "network"),
    [
        (read_only(network=True), [special("root", "read")], "enabled"),
        (read_only(readable="minimal"), [special("minimal", "read")], "restricted"),
        (
            read_only([allow_write("file:///log")], readable="minimal", roots=["file:///ws"]),
            [special("minimal", "read"), special("project_roots", "read"), at("file:///log", "write")],
            "restricted",
        ),
        (
            workspace_write(["file:///ws"], readable="minimal", network=True),
            [special("minimal", "read"), special("project_roots", "write")],
            "enabled",
        ),
        (
            workspace_write(["file:///ws"], temporary=True),
            [
                special("root", "read"),
                special("project_roots", "write"),
                special("tmpdir", "write"),
                special("slash_tmp", "write"),
            ],
            "restricted",
        ),
    ],
    ids=["network", "minimal", "minimal with roots", "minimal workspace", "temporary"],
)
def test_each_option_says_what_it_says(sandbox: SandboxIntent, entries: list[Json], network: str) -> None:
    permissions = wire(sandbox)["permissions"]
    assert permissions["file_system"]["entries"] == entries
    assert permissions["network"] == network


def test_an_intent_may_be_given_as_the_protocol_has_it() -> None:
    assert wire({"permissions": {"type": "disabled"}}) == {"permissions": {"type": "disabled"}}


def test_a_workspace_without_a_root_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one root"):
        workspace_write([])


# What an executor makes of it

_PLACES = Places(
    "linux",
    roots=(Path("/"),),
    minimal=(Path("/usr"),),
    temporary=Path("/tmp"),
    slash_tmp=(Path("/tmp"),),
)


def policy(sandbox: SandboxIntent) -> Policy:
    intent = read_intent(wire(sandbox))
    assert intent == sandbox
    return bind(intent, _PLACES)


@posix_only
def test_an_executor_reads_what_was_meant(tmp_path: Path) -> None:
    for name in ("ws/vendor", "ws/keys", "outside"):
        (tmp_path / name).mkdir(parents=True)
    root = PathUri.parse((tmp_path / "ws").as_uri())
    rules: list[Entry] = [allow_read(root.join("vendor")), deny(root.join("keys")), deny_matching("*.pem")]
    found = policy(workspace_write([root], rules))
    assert {
        name: found.access(tmp_path / name) for name in ("ws/f", "ws/vendor/f", "ws/keys/f", "outside")
    } == {
        "ws/f": Access.WRITE,
        "ws/vendor/f": Access.READ,
        "ws/keys/f": Access.NONE,
        "outside": Access.READ,
    }
    assert found.matches_pattern(tmp_path / "ws" / "a.pem")
    assert not found.matches_pattern(tmp_path / "ws" / "a.txt")
    assert found.network is False
    minimal = policy(read_only(readable="minimal", network=True))
    assert (minimal.access(Path("/usr/bin")), minimal.access(tmp_path)) == (Access.READ, Access.NONE)
    assert minimal.network is True


# How it fails


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (ErrorCode.INVALID_PARAMS, "field `sandbox`: no such thing", SandboxRefused),
        (ErrorCode.INVALID_PARAMS, "failed to prepare process sandbox: x", SandboxRefused),
        (ErrorCode.INVALID_PARAMS, "field `cwd`: 'sandbox' is relative", RpcError),
        (ErrorCode.INTERNAL_ERROR, "field `sandbox`: no such thing", RpcError),
        (ErrorCode.INVALID_REQUEST, f"cannot read `/f`: {DENIED_BY_SANDBOX}", FileDenied),
        (ErrorCode.INVALID_REQUEST, "cannot read `/sandbox`: Permission denied", RpcError),
        (ErrorCode.INTERNAL_ERROR, f"cannot read `/{DENIED_BY_SANDBOX}`: Input/output error", RpcError),
        (ErrorCode.NOT_FOUND, "cannot read `/sandbox`: No such file or directory", RpcError),
    ],
)
def test_refusals_and_denials_have_types(code: int, message: str, expected: type[RpcError]) -> None:
    with pytest.raises(RpcError) as error, told_apart(is_sandboxed=True):
        raise RpcError(code, message)
    assert type(error.value) is expected
    assert (error.value.code, error.value.message) == (code, message)
    with pytest.raises(RpcError) as error, told_apart(is_sandboxed=False):
        raise RpcError(code, message)
    assert type(error.value) is RpcError


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with blocking_context(LocalEnvironment().start()) as running:
        yield running


@pytest.fixture
def client(up: Running) -> Iterator[SyncClient]:
    with sync_client(up.connect()) as client:
        yield client


@pytest.fixture
def offered(client: SyncClient) -> None:
    if not client.call(ENVIRONMENT_INFO, Empty()).capabilities.sandbox:
        pytest.skip("this machine offers no sandbox")


@pytest.fixture
def root(client: SyncClient, up: Running) -> Iterator[PathUri]:
    """An empty directory, as its system spells it."""
    made = up.workspace_root.join("sandboxed")
    client.files.create_directory(made)
    yield client.files.canonicalize(made)
    client.files.remove(made)


def test_a_foreign_path_is_refused_before_anything_happens(client: SyncClient, root: PathUri) -> None:
    foreign = "file:///ws" if sys.platform == "win32" else "file:///C:/ws"
    sandbox, target = workspace_write([foreign]), root.join("f")
    with pytest.raises(SandboxRefused, match="field `sandbox`") as error:
        client.run([sys.executable, "-c", f"open({target.render()!r}, 'w')"], sandbox=sandbox)
    assert error.value.code == ErrorCode.INVALID_PARAMS
    with pytest.raises(SandboxRefused):
        client.files.sandboxed(sandbox).write_file(target, b"")
    assert client.files.read_directory(root) == []


def test_a_call_that_fails_otherwise_is_not_called_refused(client: SyncClient, offered: None) -> None:
    with pytest.raises(RpcError) as error:
        client.run(["true"], sandbox=read_only(), cwd="sandbox")
    assert type(error.value) is RpcError


def test_files_are_kept_by_their_intent(client: SyncClient, offered: None, root: PathUri) -> None:
    inside, outside = root.join("in"), root.join("out")
    client.files.create_directory(inside)
    client.files.write_file(outside, b"before")
    sandboxed = client.files.sandboxed(workspace_write([inside]))
    sandboxed.write_file(inside.join("f"), b"data")
    assert sandboxed.read_file(inside.join("f")) == b"data"
    assert sandboxed.read_file(outside) == b"before"
    with pytest.raises(SandboxDenied) as error:
        sandboxed.write_file(outside, b"after")
    assert isinstance(error.value, FileDenied)
    assert outside.render() in error.value.message
    assert client.files.read_file(outside) == b"before"
    # An ordinary error stays what it is, and the sandbox is that of those files alone.
    with pytest.raises(RpcError) as missing:
        sandboxed.read_file(inside.join("none"))
    assert (type(missing.value), missing.value.code) == (RpcError, ErrorCode.NOT_FOUND)
    client.files.sandboxed(read_only())
    client.files.write_file(outside, b"after")


def test_a_checked_run_tells_denied_from_failed(client: SyncClient, offered: None, root: PathUri) -> None:
    python = [sys.executable, "-I", "-S", "-c"]
    with pytest.raises(CommandFailed, match="exit code 4"):
        client.run([*python, "raise SystemExit(4)"], sandbox=read_only(), check=True)
    with pytest.raises(CommandDenied, match=r"(?s)kept command .* from something.*exit code 1.*stderr ends"):
        client.run([*python, f"open({root.join('f').render()!r}, 'w')"], sandbox=read_only(), check=True)
    assert client.files.read_directory(root) == []
