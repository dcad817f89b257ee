"""``environment/*``: what an executor tells of its machine is true there."""

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.wire import JsonObject, Wire
from harness.client.sync import SyncClient
from suites.protocol.requests import known_at_once

SHELLS = {
    "linux": {"bash", "zsh", "sh"},
    "macos": {"bash", "zsh", "sh"},
    "windows": {"powershell", "cmd"},
}

REFUSALS = {ErrorCode.METHOD_NOT_FOUND, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_PARAMS}
EXTENSIONS = {"processCloseStdin": "process/closeStdin", "processResize": "process/resize"}


@pytest.fixture
def info(wire: Wire) -> JsonObject:
    result: JsonObject = wire.request("environment/info")["result"]
    return result


def test_initialize_tells_the_same_as_environment_info(fresh: Wire) -> None:
    told = fresh.handshake()
    assert told.keys() >= {"sessionId", "environmentInfo"}
    info = fresh.request("environment/info")["result"]
    assert known_at_once(info) == known_at_once(told["environmentInfo"])


def test_every_connection_is_told_the_same(fresh: Wire, info: JsonObject) -> None:
    assert known_at_once(fresh.handshake()["environmentInfo"]) == known_at_once(info)
    assert fresh.request("environment/info")["result"] == info


def test_it_is_ready(wire: Wire) -> None:
    assert wire.request("environment/status")["result"] == {"status": "ready"}


def test_the_platform_is_one_of_three(info: JsonObject, env: RunningEnvironment) -> None:
    assert info["platformOs"] == env.platform
    assert env.platform in SHELLS


def test_the_platform_is_what_programs_there_find(info: JsonObject, python: BoundPython) -> None:
    found = python.run("import sys; print(sys.platform)").text.strip()
    assert info["platformOs"] == {"win32": "windows", "darwin": "macos"}.get(found, found)


def test_the_shell_is_of_a_known_kind(info: JsonObject, env: RunningEnvironment) -> None:
    assert info["shell"]["name"] in SHELLS[env.platform]


def test_the_shells_path_can_be_started(info: JsonObject, shell: BoundShell) -> None:
    assert shell.argv("")[0] == info["shell"]["path"]
    assert shell.run(shell.exit(17)).exit_code == 17


@pytest.mark.parametrize("name", ["cwd", "userHomeDir", "tempDir"])
def test_a_directory_that_it_tells_is_one(client: SyncClient, info: JsonObject, name: str) -> None:
    uri = PathUri.parse(info[name])
    assert str(uri) == info[name], "it is to be told in canonical form"
    assert client.files.metadata(uri).is_directory


@pytest.mark.parametrize("name", ["cwd", "userHomeDir", "tempDir"])
def test_a_directory_that_it_tells_can_be_run_in(python: BoundPython, info: JsonObject, name: str) -> None:
    code = "import os, sys; print(os.path.samefile(os.getcwd(), sys.argv[1]))"
    uri = PathUri.parse(info[name])
    assert python.run(code, uri.render(), cwd=uri).text.strip() == "True"


def test_files_can_be_written_in_the_temporary_directory(client: SyncClient, info: JsonObject) -> None:
    path = PathUri.parse(info["tempDir"]).join(f"crossexec-{client.session_id}")
    client.files.write_file(path, b"x")
    try:
        assert client.files.read_file(path) == b"x"
    finally:
        client.files.remove(path)


def test_the_version_is_told(info: JsonObject) -> None:
    assert info["executorVersion"][:1].isdigit()


def test_capabilities_are_yes_or_no(info: JsonObject) -> None:
    assert info["capabilities"]
    assert {type(value) for value in known_at_once(info)["capabilities"].values()} == {bool}
    # An executor that knows of none need not say so.
    sandboxes = info["capabilities"].get("sandbox", [])
    assert isinstance(sandboxes, list)
    assert {type(name) for name in sandboxes} <= {str}


@pytest.mark.parametrize("capability", EXTENSIONS)
def test_an_extension_is_there_if_it_is_announced(wire: Wire, info: JsonObject, capability: str) -> None:
    method = EXTENSIONS[capability]
    code = wire.request(method, {})["error"]["code"]
    # One that the executor knows and its system can't do may say so of each call.
    announced = info["capabilities"].get(capability, False)
    assert code == ErrorCode.INVALID_PARAMS if announced else code in REFUSALS
