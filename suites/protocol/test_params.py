"""Parameters that are missing or wrong: -32602, the field named, nothing done."""

from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from executors.protocol.path_uri import PathUri
from fixtures.target import RunningEnvironment
from fixtures.wire import JsonObject, Wire
from fixtures.workspace import Workspace
from suites.protocol.requests import FIELDS, MANDATORY, OPTIONAL_OF_WRONG_TYPE, PATHS, WRONG_TYPES, params_of


def connection_for(method: str, wire: Wire, fresh: Wire) -> Wire:
    return fresh if method == "initialize" else wire


def check_nothing_happened(workspace: Workspace) -> None:
    assert workspace.read("f") == b"kept"
    assert not workspace.exists("f2")


@pytest.mark.parametrize(("method", "field"), MANDATORY, ids=lambda value: str(value))
def test_a_missing_field_is_named(
    wire: Wire, fresh: Wire, workspace: Workspace, method: str, field: str
) -> None:
    workspace.write("f", b"kept")
    params = params_of(method, workspace.uri)
    del params[field]
    error = connection_for(method, wire, fresh).request(method, params)["error"]
    assert error["code"] == ErrorCode.INVALID_PARAMS
    assert f"`{field}`" in error["message"]
    check_nothing_happened(workspace)


def name_of(case: tuple[str, str, Any]) -> str:
    method, field, value = case
    return f"{method} {field}={value!r}"


@pytest.mark.parametrize("case", WRONG_TYPES + OPTIONAL_OF_WRONG_TYPE, ids=name_of)
def test_a_field_of_the_wrong_type_is_named(
    wire: Wire, fresh: Wire, workspace: Workspace, case: tuple[str, str, Any]
) -> None:
    method, field, value = case
    workspace.write("f", b"kept")
    connection = connection_for(method, wire, fresh)
    opened = wire.request("fs/open", {"handleId": "h", "path": str(workspace / "g"), "mode": "replace"})
    assert "result" in opened or method == "fs/open"
    error = connection.request(method, params_of(method, workspace.uri) | {field: value})["error"]
    assert error["code"] == ErrorCode.INVALID_PARAMS
    assert field in error["message"]
    check_nothing_happened(workspace)


@pytest.mark.parametrize("params", [[], ["p"], "p", 7, True], ids=repr)
@pytest.mark.parametrize("method", [name for name, fields in FIELDS.items() if fields])
def test_params_must_be_an_object(
    wire: Wire, fresh: Wire, workspace: Workspace, method: str, params: object
) -> None:
    workspace.write("f", b"kept")
    error = connection_for(method, wire, fresh).request(method, params)["error"]
    assert error["code"] == ErrorCode.INVALID_PARAMS
    check_nothing_happened(workspace)


NO_PATHS = {
    "empty": "",
    "relative": "some/file",
    "POSIX path": "/tmp/f",
    "Windows path": "C:\\windows\\f",
    "UNC path": "\\\\server\\share",
    "http": "http://localhost/tmp",
    "unknown scheme": "files:///tmp",
    "query": "file:///tmp/f?x=1",
    "empty query": "file:///tmp/f?",
    "fragment": "file:///tmp/f#part",
    "encoded NUL": "file:///tmp/f%00x",
}


@pytest.fixture
def nowhere(env: RunningEnvironment) -> PathUri:
    """A directory that is not there: enough for what is refused before any file is looked for."""
    assert env.info.temp_dir is not None
    return PathUri.parse(env.info.temp_dir).join("no such directory")


@pytest.mark.parametrize("text", NO_PATHS.values(), ids=NO_PATHS.keys())
@pytest.mark.parametrize(("method", "field"), PATHS)
def test_what_is_no_path_uri_is_refused(
    wire: Wire, nowhere: PathUri, method: str, field: str, text: str
) -> None:
    params = params_of(method, nowhere) | {field: text}
    error = wire.request(method, params)["error"]
    assert error["code"] == ErrorCode.INVALID_PARAMS
    assert error["message"]


FOREIGN = {
    "linux": ["file:///C:/windows", "file:///c:/x", "file://server/share/x"],
    "macos": ["file:///C:/windows", "file:///c:/x", "file://server/share/x"],
    "windows": ["file:///usr/bin", "file:///tmp", "file:///"],
}


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(("method", "field"), PATHS)
def test_a_path_of_another_system_is_refused_in_a_stable_form(
    wire: Wire, nowhere: PathUri, env: RunningEnvironment, method: str, field: str, number: int
) -> None:
    uri = FOREIGN[env.platform][number]
    error: JsonObject = wire.request(method, params_of(method, nowhere) | {field: uri})["error"]
    expected = ErrorCode.INVALID_PARAMS if field == "cwd" else ErrorCode.INVALID_REQUEST
    assert error["code"] == expected
    shown = (
        f"'{uri}' is invalid on '{env.platform}'".lower()
    )  # The letter of a drive may be shown as a capital.
    assert shown in error["message"].lower()


SPELLINGS = {
    "capital scheme": lambda uri: uri.replace("file:", "FILE:"),
    "localhost": lambda uri: uri.replace("file:///", "file://localhost/"),
    "LOCALHOST": lambda uri: uri.replace("file:///", "file://LOCALHOST/"),
    "one slash": lambda uri: uri.replace("file:///", "file:/"),
    "slash at the end": lambda uri: uri + "/",
    "dot": lambda uri: uri + "/.",
    "up and down": lambda uri: uri + "/nowhere/..",
    "encoded letters": lambda uri: uri[:-1] + f"%{ord(uri[-1]):02x}",
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_of_a_uri_leads_to_its_directory(wire: Wire, workspace: Workspace, spell: Any) -> None:
    workspace.write("d/f", b"x")
    reply = wire.request("fs/readDirectory", {"path": spell(str(workspace / "d"))})
    assert [entry["fileName"] for entry in reply["result"]["entries"]] == ["f"]
