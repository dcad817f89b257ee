"""What is no path of the environment is refused, with the right code, before anything happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import Convention, PathUri
from fixtures.programs import BoundShell
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient

FALLBACK = "file:///%00/bad/path/"

# What is made of the workspace, and a word that the message must hold.
BAD: dict[str, tuple[Callable[[Workspace], str], str]] = {
    "empty": (lambda here: "", "relative"),
    "relative": (lambda here: "name", "relative"),
    "relative-with-dot": (lambda here: "./name", "relative"),
    "rooted": (lambda here: str(here.uri)[7:], "relative"),
    "home": (lambda here: "~", "relative"),
    "backslashes": (lambda here: "\\\\server\\share", "relative"),
    "drive": (lambda here: "Q:\\name", "scheme"),
    "native": (lambda here: here.path, ""),
    "http": (lambda here: f"http:{str(here.uri)[5:]}", "http"),
    "scheme-that-begins-alike": (lambda here: f"files:{str(here.uri)[5:]}", "files"),
    "scheme-with-file-inside": (lambda here: f"git+{here.uri}", "git+file"),
    "query": (lambda here: f"{here.uri}?x=1", "query"),
    "query-empty": (lambda here: f"{here.uri}?", "query"),
    "fragment": (lambda here: f"{here.uri}#x", "fragment"),
    "fragment-empty": (lambda here: f"{here.uri}#", "fragment"),
    "query-and-fragment": (lambda here: f"{here.uri}?a#b", "query"),
    "nul-encoded": (lambda here: f"{here.uri}%00", ""),
    "nul-encoded-inside": (lambda here: f"{here.uri}/a%00b", ""),
    "nul": (lambda here: f"{here.uri}\0", ""),
    "user": (lambda here: f"file://user@localhost{str(here.uri)[7:]}", ""),
    "port": (lambda here: f"file://localhost:80{str(here.uri)[7:]}", ""),
    "ipv6-host": (lambda here: f"file://[::1]{str(here.uri)[7:]}", ""),
    "slash-encoded": (lambda here: f"{here.uri}/a%2Fb", ""),
    "slash-encoded-in-small-hex": (lambda here: f"{here.uri}%2f", ""),
    "slash-encoded-to-climb": (lambda here: f"{here.uri}/..%2F..", ""),
    "fallback-of-nothing": (lambda here: FALLBACK, ""),
    "fallback-padded": (lambda here: f"{FALLBACK}L3Q=", ""),
    "fallback-with-a-tail": (lambda here: f"{FALLBACK}L3Rt/x", ""),
    "fallback-not-base64": (lambda here: f"{FALLBACK}***", ""),
    "fallback-stray-bits": (lambda here: f"{FALLBACK}L3R", ""),
}

FOREIGN: dict[str, tuple[str, Convention]] = {
    "drive": ("file:///C:/no-such-directory-here", Convention.WINDOWS),
    "drive-root-name": ("file:///c:/no-such-directory-here", Convention.WINDOWS),
    "share": ("file://127.0.0.1/no-such-share/x", Convention.WINDOWS),
    "posix": ("file:///no-such-directory-here", Convention.POSIX),
    "posix-name-like-a-drive": ("file:///C%3A/no-such-directory-here", Convention.POSIX),
}

FILE_CALLS: dict[str, Callable[[SyncClient, str, PathUri], Any]] = {
    "readFile": lambda client, uri, here: client.files.read_file(uri),
    "writeFile": lambda client, uri, here: client.files.write_file(uri, b""),
    "createDirectory": lambda client, uri, here: client.files.create_directory(uri),
    "remove": lambda client, uri, here: client.files.remove(uri),
    "copy-from": lambda client, uri, here: client.files.copy(uri, here.join("copy")),
    "copy-to": lambda client, uri, here: client.files.copy(here, uri, recursive=True),
    "canonicalize": lambda client, uri, here: client.files.canonicalize(uri),
    "getMetadata": lambda client, uri, here: client.files.metadata(uri),
    "readDirectory": lambda client, uri, here: client.files.read_directory(uri),
    "walk": lambda client, uri, here: client.files.walk(uri),
    "open-to-read": lambda client, uri, here: client.files.open_read(uri).__enter__(),
    "open-to-replace": lambda client, uri, here: client.files.open_replace(uri).__enter__(),
}


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest, workspace: Workspace) -> tuple[str, str]:
    make, word = BAD[request.param]
    return make(workspace), word


def test_bad_uri_is_no_working_directory(bad: tuple[str, str], client: SyncClient, shell: BoundShell) -> None:
    uri, word = bad
    with pytest.raises(RpcError) as refused:
        client.start(shell.argv(shell.exit(0)), cwd=uri)
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    assert word in refused.value.message
    assert client.run(shell.argv(shell.exit(3))).exit_code == 3


def test_bad_uri_is_no_file(bad: tuple[str, str], client: SyncClient, workspace: Workspace) -> None:
    uri, word = bad
    with pytest.raises(RpcError) as refused:
        client.files.metadata(uri)
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    assert word in refused.value.message
    assert client.files.metadata(workspace.uri).is_directory


@pytest.mark.parametrize("name", FILE_CALLS)
def test_no_file_call_takes_a_bad_uri(name: str, client: SyncClient, workspace: Workspace) -> None:
    with pytest.raises(RpcError) as refused:
        FILE_CALLS[name](client, f"{workspace.uri}/a%00b", workspace.uri)
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    assert client.files.read_directory(workspace.uri) == []


def foreign_uri(env: RunningEnvironment) -> str:
    """A path of the operating systems that this one is not."""
    return "file:///home" if env.platform == "windows" else "file:///C:/windows"


@pytest.mark.parametrize("name", FILE_CALLS)
def test_no_file_call_takes_a_path_of_another_system(
    name: str, env: RunningEnvironment, client: SyncClient, workspace: Workspace
) -> None:
    uri = foreign_uri(env)
    with pytest.raises(RpcError) as refused:
        FILE_CALLS[name](client, uri, workspace.uri)
    assert refused.value.code == ErrorCode.INVALID_REQUEST
    assert f"'{uri}' is invalid on '{env.platform}'" in refused.value.message
    assert client.files.read_directory(workspace.uri) == []


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("case", FOREIGN)
def test_working_directory_of_another_system(
    case: str, tty: bool, env: RunningEnvironment, client: SyncClient, shell: BoundShell, workspace: Workspace
) -> None:
    uri, convention = FOREIGN[case]
    with pytest.raises(RpcError) as refused:
        client.start(shell.argv(shell.exit(0)), cwd=uri, tty=tty)
    if convention is workspace.uri.convention:
        assert refused.value.code == ErrorCode.INTERNAL_ERROR, "it is a path here, but nothing is there"
        assert "is invalid on" not in refused.value.message
    else:
        assert refused.value.code == ErrorCode.INVALID_PARAMS
        assert f"'{uri}' is invalid on '{env.platform}'".lower() in refused.value.message.lower()


@pytest.mark.parametrize("case", FOREIGN)
def test_file_of_another_system(
    case: str, env: RunningEnvironment, client: SyncClient, workspace: Workspace
) -> None:
    uri, convention = FOREIGN[case]
    with pytest.raises(RpcError) as refused:
        client.files.read_file(uri)
    if convention is workspace.uri.convention:
        assert refused.value.code in (ErrorCode.NOT_FOUND, ErrorCode.INTERNAL_ERROR)
        assert "is invalid on" not in refused.value.message
    else:
        assert refused.value.code == ErrorCode.INVALID_REQUEST
        assert f"'{uri}' is invalid on '{env.platform}'".lower() in refused.value.message.lower()


@pytest.mark.skip_if_target_windows("a backslash separates there")
def test_encoded_backslash_is_a_name_on_posix(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("a\\b", b"text")
    assert client.files.read_file(f"{workspace.uri}/a%5Cb") == b"text"


def test_encoded_backslash_never_separates(client: SyncClient, workspace: Workspace) -> None:
    workspace.write("a/b", b"text")
    with pytest.raises(RpcError) as refused:
        client.files.read_file(f"{workspace.uri}/a%5Cb")
    windows = workspace.uri.convention is Convention.WINDOWS
    assert refused.value.code == (ErrorCode.INVALID_PARAMS if windows else ErrorCode.NOT_FOUND)


# A native path that no ordinary URI can hold, and its kind.
NO_ORDINARY_URI = {
    "nul-on-posix": ("/tmp/null-\0-byte", Convention.POSIX),
    "bytes-and-nul-on-posix": ("/tmp/null-\0-\udcff-byte", Convention.POSIX),
    "nul-on-windows": ("C:\\null-\0-byte", Convention.WINDOWS),
    "volume-on-windows": ("\\\\?\\Volume{00000000-0000-0000-0000-000000000000}\\x", Convention.WINDOWS),
    "lone-surrogate-on-windows": ("C:\\no-such-\ud800", Convention.WINDOWS),
}


@pytest.mark.parametrize("case", NO_ORDINARY_URI)
def test_fallback_uri_of_what_cannot_be_there(
    case: str, env: RunningEnvironment, client: SyncClient, shell: BoundShell, workspace: Workspace
) -> None:
    native, convention = NO_ORDINARY_URI[case]
    uri = PathUri.from_native(native, convention)
    assert uri.is_fallback
    with pytest.raises(RpcError) as as_file:
        client.files.metadata(uri)
    with pytest.raises(RpcError) as as_cwd:
        client.start(shell.argv(shell.exit(0)), cwd=uri)
    if convention is not workspace.uri.convention:
        assert as_file.value.code == ErrorCode.INVALID_REQUEST
        assert as_cwd.value.code == ErrorCode.INVALID_PARAMS
        for refused in (as_file, as_cwd):
            assert f"'{uri}' is invalid on '{env.platform}'" in refused.value.message
    elif "\0" in native:
        assert as_file.value.code == as_cwd.value.code == ErrorCode.INVALID_PARAMS
    else:
        assert as_cwd.value.code == ErrorCode.INTERNAL_ERROR


def test_bad_path_without_the_nul_is_an_ordinary_one(client: SyncClient, workspace: Workspace) -> None:
    client.files.create_directory(f"{workspace.uri}/bad/path/L3RtcA")
    assert workspace.exists("bad/path/L3RtcA")
