"""Large base64 fields, which do not go through the JSON parser."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executors.protocol.binary import decode_base64, encode_base64
from executors.protocol.envelope import decode, decode_as, encode_result
from executors.protocol.files import ReadFileResult, WriteBlockParams
from executors.protocol.large import Prepared, put_back, set_aside
from executors.protocol.processes import ProcessWriteParams
from tests.support.wire import Client

DATA = os.urandom(100_000)
TEXT = base64.b64encode(DATA).decode()


def decode_in_two(message: bytes, kind: type[Any]) -> tuple[Any, bool]:
    """The params as the executor gets them, and whether a field was set aside."""
    short, aside = set_aside(message)
    params = decode_as(decode(short).params, kind)
    if aside is not None and not put_back(params, aside):
        params = decode_as(decode(message).params, kind)
    return params, aside is not None


def write(**fields: Any) -> bytes:
    return json.dumps({"id": 1, "method": "x", "params": fields}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("message", "is_set_aside"),
    [
        pytest.param(write(handleId="h", offset=0, chunk=TEXT), True, id="last"),
        pytest.param(write(chunk=TEXT, handleId="h", offset=0), True, id="first"),
        pytest.param(write(handleId="h", offset=0, chunk=TEXT, more={"chunk": ""}), False, id="two"),
        pytest.param(write(handleId="x" * 2000, offset=0, chunk=TEXT), False, id="late"),
        pytest.param(write(handleId='"chunk":"', offset=0, chunk=TEXT), True, id="key in a string"),
        pytest.param(
            write(handleId="h", offset=0, chunk=TEXT).replace(b"/", b"\\/"), True, id="escaped slashes"
        ),
        pytest.param(
            json.dumps(
                {"id": 1, "method": "x", "params": {"handleId": "h", "offset": 0, "chunk": TEXT}}, indent=1
            ).encode(),
            False,
            id="blanks",
        ),
    ],
)
def test_a_block_arrives_whole(message: bytes, is_set_aside: bool) -> None:
    params, aside = decode_in_two(message, WriteBlockParams)
    assert decode_base64(params.chunk, "chunk") == DATA
    assert params.offset == 0
    assert aside is is_set_aside


@given(before=st.text(max_size=50), after=st.text(max_size=50), size=st.integers(0, 60_000))
def test_what_is_set_aside_and_put_back_is_what_was_there(before: str, after: str, size: int) -> None:
    text = "A" * (size // 4 * 4)
    message = write(processId=before, chunk=text, writeId=after)
    params, aside = decode_in_two(message, ProcessWriteParams)
    assert (params.process_id, bytes(params.chunk), params.write_id) == (before, f'"{text}"'.encode(), after)
    assert aside == (len(message) > 16 * 1024)


def test_a_variable_named_like_the_field_arrives_whole(client: Client) -> None:
    value = "x" * 50_000
    _, out, _ = client.run("p", "/usr/bin/env", env={"chunk": value})
    assert out.decode() == f"chunk={value}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("A" * 50_001, id="length"),
        pytest.param("A" * 50_000 + "!" * 4, id="alphabet"),
        pytest.param("A" * 50_000 + '"', id="escaped quote"),
        pytest.param("A" * 50_000 + "\n", id="newline"),
    ],
)
def test_a_large_field_that_is_no_base64_is_named(client: Client, tmp_path: Path, text: str) -> None:
    target = tmp_path / "file"
    error = client.error("fs/writeFile", path=target.as_uri(), dataBase64=text)
    assert (error.code, "dataBase64" in error.message) == (-32602, True)
    assert not target.exists()
    client.call("fs/writeFile", path=target.as_uri(), dataBase64=TEXT)
    assert target.read_bytes() == DATA


def test_a_large_message_cut_short_is_no_message(client: Client) -> None:
    message = write(handleId="h", offset=0, chunk=TEXT)
    for cut in (message[:-1], message[:-3], message[: len(message) // 2]):
        found = client.answer(cut)
        assert (found["id"], found["error"]["code"]) == (-1, -32600)


@pytest.mark.parametrize("size", [0, 1, 786_432, 786_433, 3_000_001])
@pytest.mark.parametrize("id", [7, "n", 'a"b', "x" * 100])
def test_a_prepared_reply_is_the_reply(size: int, id: int | str) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    reply = Prepared("dataBase64", content).reply(id)
    assert reply.startswith(b'{"id":')
    plain = encode_result(id, ReadFileResult(encode_base64(content)))
    assert msgspec.json.decode(reply) == msgspec.json.decode(plain)
