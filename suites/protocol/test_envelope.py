"""Single messages: what is answered how, and that the connection survives it."""

from collections.abc import Callable
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.protocol.requests import FIELDS, params_of

Usable = Callable[[Wire], None]

STATUS = '"method":"environment/status"'

MALFORMED: dict[str, str | bytes] = {
    "empty": "",
    "blanks": "  \n",
    "text": "hello",
    "cut short": '{"id":1,"method":"environment/sta',
    "cut before the end": f'{{"id":1,{STATUS}',
    "trailing text": f'{{"id":1,{STATUS}}} x',
    "two messages": f'{{"id":1,{STATUS}}}{{"id":2,{STATUS}}}',
    "single quotes": "{'id':1,'method':'environment/status'}",
    "trailing comma": f'{{"id":1,{STATUS},}}',
    "byte order mark": f'\ufeff{{"id":1,{STATUS}}}',
    "not a number": f'{{"id":NaN,{STATUS}}}',
    "number": "42",
    "string": '"environment/status"',
    "null": "null",
    "true": "true",
    "empty batch": "[]",
    "batch": f'[{{"id":1,{STATUS}}}]',
    "batch of two": f'[{{"id":1,{STATUS}}},{{"id":2,{STATUS}}}]',
    "id null": f'{{"id":null,{STATUS}}}',
    "id fraction": f'{{"id":1.5,{STATUS}}}',
    "id true": f'{{"id":true,{STATUS}}}',
    "id object": f'{{"id":{{}},{STATUS}}}',
    "id array": f'{{"id":[1],{STATUS}}}',
    "method number": '{"id":1,"method":7}',
    "method null": '{"id":1,"method":null}',
    "no method": '{"id":1}',
    "only params": '{"params":{}}',
    "empty object": "{}",
    "error without id": '{"error":{"code":1,"message":"x"}}',
    "nested too deeply": f'{{"id":1,{STATUS},"x":' + "[" * 100_000,
    "binary frame of broken UTF-8": b"\xff\xfe{}",
}


_ENDS_A_STREAM = pytest.mark.skip_if_relayed("an empty message is the end of a stream there")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(message, id=name, marks=() if message else _ENDS_A_STREAM)
        for name, message in MALFORMED.items()
    ],
)
def test_a_malformed_message_gets_an_error_without_id(
    wire: Wire, usable: Usable, message: str | bytes
) -> None:
    wire.send(message)
    reply = wire.receive()
    assert reply.keys() == {"error", "id"}
    assert (reply["id"], reply["error"]["code"]) == (-1, ErrorCode.INVALID_REQUEST)
    assert reply["error"]["message"]
    usable(wire)


UNCALLED_FOR: dict[str, dict[str, Any]] = {
    "unknown notification": {"method": "no/such"},
    "unknown notification with params": {"method": "$/cancelRequest", "params": {"id": 1}},
    "a call without id": {"method": "environment/status"},
    "our own notification": {"method": "process/closed", "params": {"processId": "p", "seq": 1}},
    "a result": {"id": 1, "result": {}},
    "a null result": {"id": 1, "result": None},
    "an error": {"id": 1, "error": {"code": -1, "message": "x"}},
}


@pytest.mark.parametrize("message", UNCALLED_FOR.values(), ids=UNCALLED_FOR.keys())
def test_what_nobody_asked_for_gets_an_error_without_id(
    wire: Wire, usable: Usable, message: dict[str, Any]
) -> None:
    wire.send(message)
    reply = wire.receive()
    assert (reply["id"], reply["error"]["code"]) == (-1, ErrorCode.INVALID_REQUEST)
    usable(wire)


def test_a_start_without_id_starts_nothing(wire: Wire, workspace: Workspace) -> None:
    wire.notify("process/start", params_of("process/start", workspace.uri))
    assert wire.receive()["error"]["code"] == ErrorCode.INVALID_REQUEST
    assert wire.request("process/terminate", {"processId": "p"})["result"] == {"running": False}
    assert "error" in wire.request("process/read", {"processId": "p"})


IDS = [0, 1, -5, 2**31, 2**53 + 1, 2**63 - 1, "", "a", "1", "grüße 日本 😀", '"\\\n\0', "x" * 10_000]


@pytest.mark.parametrize("request_id", IDS, ids=lambda value: repr(value)[:20])
def test_the_id_comes_back_as_it_was(wire: Wire, request_id: int | str) -> None:
    wire.send({"id": request_id, "method": "environment/status"})
    reply = wire.receive()
    assert reply == {"id": request_id, "result": {"status": "ready"}}
    assert type(reply["id"]) is type(request_id)
    wire.send({"id": request_id, "method": "no/such"})
    assert wire.receive()["id"] == request_id


def test_a_number_and_its_text_are_two_ids(wire: Wire) -> None:
    wire.send({"id": 1, "method": "environment/status"})
    wire.send({"id": "1", "method": "no/such"})
    replies = [wire.receive(), wire.receive()]
    assert {repr(reply["id"]): "result" in reply for reply in replies} == {"1": True, "'1'": False}


@pytest.mark.parametrize("between", [0, 1])
def test_an_id_may_be_used_again(wire: Wire, between: int) -> None:
    for _ in range(5):
        wire.send({"id": "same", "method": "environment/status"})
        if between:
            assert wire.receive()["id"] == "same"
    for _ in range(5 * (1 - between)):
        assert wire.receive() == {"id": "same", "result": {"status": "ready"}}


UNKNOWN_METHODS = [
    "no/such",
    "",
    "process",
    "process/",
    "Process/read",
    "process/list",
    "initialized",
    "process/exited",
]


@pytest.mark.parametrize("method", UNKNOWN_METHODS, ids=repr)
@pytest.mark.parametrize("params", [None, {}, {"a": 1}, [1]], ids=repr)
def test_an_unknown_method_is_not_found(wire: Wire, usable: Usable, method: str, params: object) -> None:
    reply = wire.request(method, params)
    assert reply["error"]["code"] == ErrorCode.METHOD_NOT_FOUND
    usable(wire)


EXTRA: dict[str, dict[str, Any]] = {
    "jsonrpc 2.0": {"jsonrpc": "2.0"},
    "jsonrpc of any version": {"jsonrpc": "1.0"},
    "jsonrpc null": {"jsonrpc": None},
    "unknown fields": {"later": {"deep": [1, {"x": None}]}, "meta": "x"},
}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA.keys())
def test_further_fields_of_a_message_are_ignored(wire: Wire, extra: dict[str, Any]) -> None:
    wire.send({**extra, "id": 5, "method": "environment/status", **extra})
    assert wire.receive() == {"id": 5, "result": {"status": "ready"}}


@pytest.mark.parametrize(
    "method", [name for name, fields in FIELDS.items() if fields and name != "initialize"]
)
def test_further_fields_of_params_are_ignored(wire: Wire, workspace: Workspace, method: str) -> None:
    workspace.write("f", b"x")
    params = params_of(method, workspace.uri)
    plain = wire.request(method, params)
    again = wire.request(method, {"laterField": {"a": [1]}, **params, "another": None})
    # The second of two may find what the first has done, but not a fault in the fields.
    assert again.get("error", {}).get("code") not in (ErrorCode.INVALID_PARAMS, ErrorCode.METHOD_NOT_FOUND), (
        plain
    )


@pytest.mark.parametrize("params", [None, {}], ids=["absent", "empty"])
@pytest.mark.parametrize("method", ["environment/info", "environment/status"])
def test_params_may_be_left_out_where_there_are_none(wire: Wire, method: str, params: object) -> None:
    assert "result" in wire.request(method, params)
    wire.send({"id": "null", "method": method, "params": None})
    assert "result" in wire.receive()


def test_a_result_has_an_id_and_an_error_has_one_too(wire: Wire) -> None:
    assert wire.request("environment/status").keys() == {"id", "result"}
    error = wire.request("no/such")
    assert error.keys() == {"id", "error"}
    assert error["error"].keys() == {"code", "message"}
    assert "no/such" in error["error"]["message"]


FRAMES: dict[str, Callable[[Wire, str], None]] = {
    "text": lambda wire, text: wire.send(text),
    "binary": lambda wire, text: wire.send(text.encode()),
    "two fragments": lambda wire, text: wire.send_fragments(text[:9], text[9:]),
    "single characters": lambda wire, text: wire.send_fragments(*text),
    "blanks around": lambda wire, text: wire.send(f" \r\n{text}\t\n"),
}


@pytest.mark.parametrize("send", FRAMES.values(), ids=FRAMES.keys())
def test_a_message_may_come_in_any_frames(wire: Wire, send: Callable[[Wire, str], None]) -> None:
    send(wire, f'{{"id":"grüße 😀",{STATUS}}}')
    assert wire.receive() == {"id": "grüße 😀", "result": {"status": "ready"}}


def test_many_errors_do_not_wear_a_connection_out(talk: Conversation, usable: Usable) -> None:
    wire = talk.wire
    for number in range(300):
        wire.send("{bad" if number % 2 else '{"method":"no/such"}')
    for _ in range(300):
        assert wire.receive()["id"] == -1
    usable(wire)
