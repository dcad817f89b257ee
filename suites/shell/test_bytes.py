"""Output is bytes: nothing on the way decodes, translates or cuts it."""

from __future__ import annotations

import hashlib

import pytest

from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from harness.client.events import ExitedEvent, OutputEvent
from suites.shell.encoding import printed

WRITE = "import sys; sys.{stream}.buffer.write(bytes.fromhex(sys.argv[1]))"

DATA = {
    "all-bytes": bytes(range(256)),
    "nothing": b"",
    "nul": b"a\0b\0",
    "newline": b"\n",
    "no-newline-at-end": b"one\ntwo",
    "carriage-returns": b"one\rtwo\r\nthree\n\r\r\n",
    "utf-8": "é🚀שלום\n".encode(),
    "utf-8-cut-short": "🚀".encode()[:3],
    "overlong": b"\xc0\xaf\xe0\x80\xaf",
    "encoded-surrogates": b"\xed\xa0\xbd\xed\xb2\xa9",
    "utf-16": "é🚀".encode("utf-16"),
    "latin-1": "café".encode("latin-1"),
    "oem": "café ┌─┐".encode("cp437"),
    "shift-jis": "表示".encode("shift-jis"),
    "gb18030": "中文🚀".encode("gb18030"),
    "byte-order-mark": b"\xef\xbb\xbfa",
    "end-of-file-marks": b"a\x1ab\x04c",
    "escapes": b"\x1b[31mred\x1b[0m\x07\x08\x7f",
    "like-json": b'{"a":"\\u0000"}\n',
}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("case", DATA)
def test_bytes_come_out_as_they_are(case: str, stream: str, python: BoundPython) -> None:
    result = python.run(WRITE.format(stream=stream), DATA[case].hex())
    other = "stderr" if stream == "stdout" else "stdout"
    assert getattr(result, stream) == DATA[case]
    assert getattr(result, other) == b""


@pytest.mark.parametrize("case", DATA)
def test_bytes_go_in_as_they_are(case: str, python: BoundPython) -> None:
    data = DATA[case]
    process = python.start(f"import sys; print(sys.stdin.buffer.read({len(data)}).hex())", stdin=True)
    process.write(data)
    assert bytes.fromhex(process.communicate().stdout.decode()) == data


def test_a_mebibyte_of_any_bytes(python: BoundPython) -> None:
    code = "import hashlib, sys; sys.stdout.buffer.write(hashlib.shake_128(b'output').digest(1048576))"
    assert python.run(code).stdout == hashlib.shake_128(b"output").digest(1048576)


def test_character_may_be_cut_between_two_pieces(python: BoundPython) -> None:
    code = """
import sys
for byte in "é🚀".encode():
    sys.stdout.buffer.write(bytes([byte]))
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read(1)
"""
    process = python.start(code, stdin=True)
    pieces = []
    for event in process:
        if isinstance(event, OutputEvent):
            pieces.append(event.data)
            process.write(b"\n")
        elif isinstance(event, ExitedEvent):
            break
    assert pieces == [bytes([byte]) for byte in "é🚀".encode()]


def test_streams_are_kept_apart(python: BoundPython) -> None:
    code = """
import sys
for number in range(1000):
    sys.stdout.buffer.write(b"o%d\\n" % number)
    sys.stdout.buffer.flush()
    sys.stderr.buffer.write(b"e%d\\n" % number)
    sys.stderr.buffer.flush()
"""
    result = python.run(code)
    assert result.stdout == b"".join(b"o%d\n" % number for number in range(1000))
    assert result.stderr == b"".join(b"e%d\n" % number for number in range(1000))


@pytest.mark.parametrize("text", ["café", "日本語", "🚀👩\u200d👩\u200d👧", "שלום", "cafe\u0301", "\u2028"])
def test_shell_speaks_the_encoding_that_is_told(
    text: str, env: RunningEnvironment, shell: BoundShell, python: BoundPython
) -> None:
    expected = printed(env, python, text)
    assert shell.run(shell.echo(text)).stdout == expected + shell.newline.encode()
    assert shell.run(shell.echo_error(text)).stderr.strip() == expected


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="findstr is a stub, and more stops at each screenful to ask for a key",
)
def test_shell_passes_utf_8_through(shell: BoundShell) -> None:
    text = "café 日本語 🚀\n" * 100
    assert shell.run(shell.copy_input(), input=text.encode()).text == text
