"""Every row of the error table, over the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.launch import Executor
from tests.support.wire import BINARY, CONTINUATION, TEXT, Client, websocket
from tests.test_envelope import NO_MESSAGE

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32600, -32601, -32602, -32603
START: dict[str, Any] = {
    "processId": "p",
    "argv": ["true"],
    "cwd": "file:///",
    "env": {"PATH": "/usr/bin:/bin"},
    "tty": False,
}


def test_what_is_no_message_is_answered_with_id_minus_1_and_the_connection_stays(client: Client) -> None:
    for text in NO_MESSAGE.values():
        reply = client.answer(text)
        assert (reply["error"]["code"], reply["id"]) == (INVALID_REQUEST, -1)
        assert set(reply) == {"error", "id"}
        assert set(reply["error"]) == {"code", "message"}
    assert client.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"method": "nope"}, "unknown notification `nope`"),
        ({"method": "process/start", "params": START}, "needs an `id`"),
        ({"method": "process/exited", "params": {}}, "sent by the executor only"),
        ({"id": 7, "result": {}}, "makes no calls"),
        ({"id": 7, "error": {"code": 1, "message": "m"}}, "makes no calls"),
    ],
)
def test_uncalled_for_messages_are_answered_with_id_minus_1(client: Client, message: Any, says: str) -> None:
    reply = client.answer(message)
    assert (reply["error"]["code"], reply["id"]) == (INVALID_REQUEST, -1)
    assert says in reply["error"]["message"]
    assert client.call("environment/status") == {"status": "ready"}
    assert not client.events


@pytest.mark.parametrize(
    "method", ["nope", "nope/x", "", "process/list", "Initialize", "initialized", "fs/", "\0"]
)
def test_unknown_methods(client: Client, method: str) -> None:
    for request_id in (1, "one"):
        reply = client.answer({"id": request_id, "method": method, "params": 5})
        assert (reply["error"]["code"], reply["id"]) == (METHOD_NOT_FOUND, request_id)
        assert method in reply["error"]["message"]


def test_an_unknown_method_is_told_before_the_handshake(executor: Executor) -> None:
    with executor.new_client() as client:
        assert client.error("nope/x").code == METHOD_NOT_FOUND


@pytest.mark.parametrize("request_id", [0, -1, 2**63 - 1, 2**64, 10**30, "", "s", "\0", "😀"])
def test_ids_are_echoed_in_results_and_errors(client: Client, request_id: int | str) -> None:
    assert client.answer({"id": request_id, "method": "environment/status"})["id"] == request_id
    assert client.answer({"id": request_id, "method": "process/read"})["id"] == request_id


START_PARAMS = [
    ({"processId": None}, "processId"),
    ({"processId": 1}, "processId"),
    ({"argv": None}, "argv"),
    ({"argv": "true"}, "argv"),
    ({"argv": [1]}, "argv"),
    ({"argv": []}, "argv must not be empty"),
    ({"cwd": None}, "cwd"),
    ({"cwd": 1}, "cwd"),
    ({"cwd": ""}, "cwd"),
    ({"cwd": "relative"}, "cwd"),
    ({"cwd": "/tmp"}, "cwd"),
    ({"cwd": "~"}, "cwd"),
    ({"cwd": "C:\\windows"}, "cwd"),
    ({"cwd": "http://x/tmp"}, "cwd"),
    ({"cwd": "file:///tmp?x=1"}, "cwd"),
    ({"cwd": "file:///tmp?"}, "cwd"),
    ({"cwd": "file:///tmp#f"}, "cwd"),
    ({"cwd": "file:///tmp%00x"}, "cwd"),
    ({"cwd": "file:///C:/windows"}, "'file:///C:/windows' is invalid on 'linux'"),
    ({"cwd": "file://server/share"}, "is invalid on 'linux'"),
    ({"env": None}, "env"),
    ({"env": []}, "env"),
    ({"env": {"A": 1}}, "env"),
    ({"env": {"A": None}}, "env"),
    ({"tty": None}, "tty"),
    ({"tty": 1}, "tty"),
    ({"tty": "yes"}, "tty"),
    ({"pipeStdin": 1}, "pipeStdin"),
    ({"arg0": 1}, "arg0"),
    ({"envPolicy": []}, "envPolicy"),
    ({"envPolicy": {"inherit": "ALL"}}, "inherit"),
    ({"envPolicy": {"inherit": None}}, "inherit"),
    ({"envPolicy": {"exclude": "x"}}, "exclude"),
    ({"envPolicy": {"set": {"a": 1}}}, "set"),
    ({"argv": ["tr\0ue"]}, "tr"),
    ({"argv": ["true", "a\0b"]}, "null"),
    ({"env": {"A\0": ""}}, "null"),
    ({"env": {"": ""}}, "environment variable"),
    ({"env": {"A=": ""}}, "environment variable"),
]


@pytest.mark.parametrize(("wrong", "named"), START_PARAMS)
def test_bad_params_of_a_start_name_the_field(client: Client, wrong: dict[str, Any], named: str) -> None:
    error = client.error("process/start", **(START | wrong))
    assert error.code == INVALID_PARAMS
    assert named in error.message
    # Nothing was started, and the id is free.
    assert client.start("p", "true")["processId"] == "p"


@pytest.mark.parametrize("missing", START)
def test_missing_params_of_a_start_are_named(client: Client, missing: str) -> None:
    error = client.error("process/start", **{name: value for name, value in START.items() if name != missing})
    assert error.code == INVALID_PARAMS
    assert missing in error.message


def test_what_the_system_refuses_is_told_in_its_words(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    root = tmp_path.as_uri()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"argv": ["/no/such/program"]}, "No such file or directory"),
        ({"argv": ["no-such-program"]}, "No such file or directory"),
        ({"argv": [""]}, "No such file or directory"),
        ({"argv": [str(tmp_path / "file")]}, "Permission denied"),
        ({"argv": ["true", "x" * 3_000_000]}, "Argument list too long"),
        ({"cwd": f"{root}/missing"}, "No such file or directory"),
        ({"cwd": f"{root}/file"}, "Not a directory"),
        ({"cwd": f"{root}/missing", "tty": True}, "No such file or directory"),
    ]
    for wrong, text in refused:
        error = client.error("process/start", **(START | wrong))
        assert (error.code, text in error.message) == (INTERNAL_ERROR, True), error
        # It says what was tried, too.
        assert repr((START | wrong)["argv"][0]) in error.message
    assert client.start("p", "true")


def test_a_directory_whose_name_is_no_text_can_be_named_in_an_error(client: Client) -> None:
    error = client.error("process/start", **(START | {"cwd": "file:///nowhere/%FF%FE"}))
    assert error.code == INTERNAL_ERROR
    assert "%FF%FE" in error.message


def test_a_process_id_is_taken_until_it_is_forgotten(client: Client) -> None:
    client.start("p", "sleep", "1000")
    assert client.error("process/start", **START).code == INVALID_REQUEST
    client.call("process/terminate", processId="p")
    client.wait_for("process/closed", "p")
    error = client.error("process/start", **START)
    assert (error.code, error.message) == (INVALID_REQUEST, "process p already exists")


def test_unknown_processes(client: Client) -> None:
    assert client.error("process/read", processId="nope").code == INVALID_REQUEST
    assert client.error("process/resize", processId="nope", rows=1, cols=1).code == INVALID_REQUEST
    assert client.write("nope", b"x") == "unknownProcess"
    assert client.call("process/closeStdin", processId="nope") == {"status": "unknownProcess"}
    assert client.call("process/signal", processId="nope", signal="interrupt") == {}
    assert client.call("process/terminate", processId="nope") == {"running": False}


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        ("process/read", {"processId": "p", "afterSeq": -1}, "afterSeq"),
        ("process/read", {"processId": "p", "maxBytes": -1}, "maxBytes"),
        ("process/read", {"processId": "p", "waitMs": -1}, "waitMs"),
        ("process/read", {"processId": "p", "waitMs": 1.5}, "waitMs"),
        ("process/read", {"processId": "p", "waitMs": "1"}, "waitMs"),
        ("process/read", {}, "processId"),
        ("process/write", {"processId": "p", "chunk": "", "writeId": ""}, "writeId"),
        ("process/write", {"processId": "p", "chunk": "", "writeId": None}, "writeId"),
        ("process/write", {"processId": "p", "chunk": ""}, "writeId"),
        ("process/write", {"processId": "p", "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": "!", "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": "YQ", "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": "-_-_", "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": "YQ==\n", "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": None, "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": 5, "writeId": "w"}, "chunk"),
        ("process/write", {"processId": "p", "chunk": {"a": "YQ=="}, "writeId": "w"}, "chunk"),
        ("process/signal", {"processId": "p", "signal": "INT"}, "signal"),
        ("process/signal", {"processId": "p", "signal": "kill"}, "signal"),
        ("process/signal", {"processId": "p", "signal": None}, "signal"),
        ("process/signal", {"processId": "p"}, "signal"),
        ("process/resize", {"processId": "p", "rows": 0, "cols": 1}, "rows"),
        ("process/resize", {"processId": "p", "rows": 1, "cols": 65536}, "cols"),
        ("process/resize", {"processId": "p", "rows": 1}, "cols"),
        ("process/terminate", {}, "processId"),
        ("process/closeStdin", {"processId": []}, "processId"),
        ("fs/readFile", {}, "path"),
        ("fs/readFile", {"path": 1}, "path"),
        ("fs/copy", {"sourcePath": "file:///a", "destinationPath": "file:///b"}, "recursive"),
    ],
)
def test_bad_params_name_the_field(client: Client, method: str, params: dict[str, Any], named: str) -> None:
    client.start("p", "cat", pipeStdin=True)
    error = client.error(method, **params)
    assert error.code == INVALID_PARAMS
    assert named in error.message


@pytest.mark.parametrize("params", [[], ["p"], 5, "x", True])
def test_params_are_an_object(client: Client, params: Any) -> None:
    reply = client.answer({"id": 1, "method": "process/read", "params": params})
    assert reply["error"]["code"] == INVALID_PARAMS


def test_states_that_refuse_a_call(client: Client) -> None:
    client.start("pipe", "cat", pipeStdin=True)
    client.start("terminal", "cat", tty=True)
    error = client.error("process/resize", processId="pipe", rows=1, cols=1)
    assert (error.code, "tty" in error.message) == (INVALID_REQUEST, True)
    error = client.error("process/closeStdin", processId="terminal")
    assert (error.code, "\\x04" in error.message) == (INVALID_REQUEST, True)


def test_a_message_in_any_frames(executor: Executor) -> None:
    text = '{"id":"ü€","method":"environment/status"}'.encode()
    with websocket(executor.url) as ws:
        other = Client(ws)
        other.handshake()
        ws.send_frame(BINARY, text)
        ws.send_frame(TEXT, b"", fin=False)
        for byte in text:
            ws.send_frame(CONTINUATION, bytes([byte]), fin=False)
        ws.send_frame(CONTINUATION, b"", fin=True)
        for _ in range(2):
            found = ws.receive_frame()
            assert found is not None
            assert (found.opcode, found.fin) == (TEXT, True)
            assert '"id":"ü€"' in found.payload.decode()
