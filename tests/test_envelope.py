"""The envelope: which texts are messages, and what is said of those that are none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.protocol.envelope import (
    UNKNOWN_ID,
    Message,
    decode,
    decode_as,
    encode_error,
    encode_notification,
    encode_request,
    encode_result,
)
from executors.protocol.environment import Empty, InitializeParams
from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.methods import METHODS, NOTIFICATIONS
from executors.protocol.processes import ProcessReadParams

NO_MESSAGE = {
    "nothing": b"",
    "blanks": b"   ",
    "unfinished": b'{"id":1,"method":"x"',
    "malformed": b"{bad",
    "number": b"42",
    "null": b"null",
    "string": b'"x"',
    "batch": b'[{"id":1,"method":"x"}]',
    "empty batch": b"[]",
    "empty object": b"{}",
    "id only": b'{"id":1}',
    "id and params": b'{"id":1,"params":{}}',
    "result without id": b'{"result":{}}',
    "error without id": b'{"error":{"code":1,"message":""}}',
    "id null": b'{"id":null,"method":"x"}',
    "id 1.5": b'{"id":1.5,"method":"x"}',
    "id 1.0": b'{"id":1.0,"method":"x"}',
    "id 1e3": b'{"id":1e3,"method":"x"}',
    "id true": b'{"id":true,"method":"x"}',
    "id object": b'{"id":{},"method":"x"}',
    "id array": b'{"id":[],"method":"x"}',
    "id of 5,000 digits": b'{"id":' + b"9" * 5000 + b',"method":"x"}',
    "method number": b'{"id":1,"method":1}',
    "method null": b'{"id":1,"method":null}',
    "two objects": b'{"id":1,"method":"x"}{"id":2,"method":"x"}',
    "trailing text": b'{"id":1,"method":"x"} y',
    "trailing NUL": b'{"id":1,"method":"x"}\0',
    "byte order mark": b'\xef\xbb\xbf{"id":1,"method":"x"}',
    "UTF-16": '{"id":1,"method":"x"}'.encode("utf-16"),
    "invalid UTF-8 in the method": b'{"id":1,"method":"\xff"}',
    "half a surrogate pair in the method": b'{"id":1,"method":"\\ud800"}',
    "encoded surrogate in the id": b'{"id":"\xed\xa0\x80","method":"x"}',
    "control character": b'{"id":1,"method":"a\nb"}',
    "NaN": b'{"id":NaN,"method":"x"}',
    "single quotes": b"{'id':1,'method':'x'}",
    "comma at the end": b'{"id":1,"method":"x",}',
    "nested too deeply, ignored field": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested too deeply, params": b'{"id":1,"method":"x","params":'
    + b'{"a":' * 100_000
    + b"1"
    + b"}" * 100_001,
    "nested too deeply, unfinished": b"[" * 1_000_000,
    "frame of another protocol": b"Content-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("text", NO_MESSAGE.values(), ids=NO_MESSAGE.keys())
def test_no_message_is_an_invalid_request(text: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        decode(text)
    assert caught.value.code == -32600
    assert caught.value.message.startswith("invalid message: ")


@pytest.mark.parametrize(
    "request_id",
    [0, -5, 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**100, "", "s", "ü€😀", 'quote " and \\', "\0\n"],
)
def test_ids_come_back_as_they_came(request_id: int | str) -> None:
    message = decode(json.dumps({"id": request_id, "method": "x"}))
    assert message.id == request_id
    for reply in (encode_result(request_id, {}), encode_error(request_id, RpcError(1, "m"))):
        found = json.loads(reply)["id"]
        assert (type(found), found) == (type(request_id), request_id)


def kind(message: Message) -> str:
    parts = [
        name for name in ("id", "method", "result", "error") if getattr(message, name) is not msgspec.UNSET
    ]
    return " ".join(parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"id":1,"method":"x"}', "id method"),
        ('{"id":1,"method":"x","params":null}', "id method"),
        ('{"method":"x"}', "method"),
        ('{"id":1,"result":null}', "id result"),
        ('{"id":1,"error":{}}', "id error"),
        ('{"id":1,"method":"x","result":1}', "id method result"),
        ('{"jsonrpc":"1.0","trace":5,"id":1,"method":"x","extra":[{}]}', "id method"),
        (' \r\n{ "method" : "x" }\t', "method"),
    ],
)
def test_kinds_of_message(text: str, parts: str) -> None:
    assert kind(decode(text)) == parts


@pytest.mark.parametrize("params", [None, b"null", b"{}", b" { } ", b'{"unknown":[1]}'])
def test_absent_and_null_params_count_as_empty(params: bytes | None) -> None:
    raw = msgspec.UNSET if params is None else msgspec.Raw(params)
    assert decode_as(raw, Empty) == Empty()


@pytest.mark.parametrize(
    ("params", "type_", "named"),
    [
        (b"{}", InitializeParams, "clientName"),
        (b"null", InitializeParams, "clientName"),
        (b'{"clientName":null}', InitializeParams, "clientName"),
        (b'{"clientName":5}', InitializeParams, "clientName"),
        (b'{"clientName":"x","resumeSessionId":1}', InitializeParams, "resumeSessionId"),
        (b"[]", InitializeParams, "array"),
        (b'"x"', InitializeParams, "str"),
        (b"5", InitializeParams, "int"),
        (b'{"processId":"p","waitMs":"1"}', ProcessReadParams, "waitMs"),
        (b'{"processId":"p","waitMs":1.5}', ProcessReadParams, "waitMs"),
        (b'{"processId":"p","waitMs":' + b"9" * 5000 + b"}", ProcessReadParams, "waitMs"),
        (b'{"processId":"p","afterSeq":1e400}', ProcessReadParams, "afterSeq"),
        (b'{"processId":"\xff"}', ProcessReadParams, "utf-8"),
        (b'{"processId":"p","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ProcessReadParams, "deep"),
    ],
)
def test_bad_params_name_the_field(params: bytes, type_: type[Any], named: str) -> None:
    with pytest.raises(RpcError) as caught:
        decode_as(msgspec.Raw(params), type_)
    assert caught.value.code == -32602
    assert named in caught.value.message


def test_shapes_on_the_wire() -> None:
    assert encode_request(1, "m", Empty()) == b'{"id":1,"method":"m","params":{}}'
    assert encode_notification("n", Empty()) == b'{"method":"n","params":{}}'
    assert encode_result("a", Empty()) == b'{"id":"a","result":{}}'
    error = RpcError(ErrorCode.NOT_FOUND, "gone")
    assert encode_error(UNKNOWN_ID, error) == b'{"error":{"code":-32004,"message":"gone"},"id":-1}'


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_decodes_or_is_refused(text: bytes | str) -> None:
    try:
        message = decode(text)
    except RpcError as error:
        assert error.code == ErrorCode.INVALID_REQUEST
    else:
        assert kind(message)


def test_the_method_table() -> None:
    assert set(METHODS) == {
        "initialize",
        "environment/info",
        "environment/status",
        *(
            f"process/{name}"
            for name in ["start", "read", "write", "closeStdin", "signal", "resize", "terminate"]
        ),
        *(
            f"fs/{name}"
            for name in [
                "readFile",
                "writeFile",
                "createDirectory",
                "remove",
                "copy",
                "canonicalize",
                "getMetadata",
                "readDirectory",
                "walk",
                "open",
                "readBlock",
                "writeBlock",
                "close",
            ]
        ),
    }
    assert set(NOTIFICATIONS) == {
        "initialized",
        "process/acknowledge",
        "process/output",
        "process/exited",
        "process/closed",
    }
    for table in (METHODS, NOTIFICATIONS):
        for name, entry in table.items():
            assert entry.name == name
            # Every type has a decoder: msgspec refuses here what it cannot decode.
            msgspec.json.Decoder(entry.params)
