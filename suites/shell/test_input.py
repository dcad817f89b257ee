"""Standard input: nothing by default, a pipe if asked for, and its end."""

from __future__ import annotations

import hashlib
import json

import pytest

from executors.protocol.binary import encode_base64
from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.methods import PROCESS_CLOSE_STDIN, PROCESS_WRITE
from executors.protocol.processes import ProcessParams, ProcessWriteParams
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from harness.client.errors import StdinClosed
from harness.client.events import OutputEvent
from harness.client.sync import SyncClient, SyncProcess
from suites.asking import ask

COPY_SOME = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read(int(sys.argv[1])))"
COPY = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
ECHO_LINES = """
import sys
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(b"<" + line)
    sys.stdout.buffer.flush()
"""
DIGEST = """
import hashlib, json, sys
data = sys.stdin.buffer.read()
print(json.dumps([len(data), hashlib.sha256(data).hexdigest()]))
"""


def until(process: SyncProcess, text: bytes) -> bytes:
    """Consumes output until *text* has come."""
    seen = b""
    for event in process:
        if isinstance(event, OutputEvent):
            seen += event.data
            if text in seen:
                return seen
    raise AssertionError(f"the output ended without {text!r}: {seen!r}")


def test_without_input_there_is_only_its_end(python: BoundPython) -> None:
    # isatty of Windows is true of every character device (_isatty), the null device among them.
    code = """
        with open(os.devnull) as null:
            answer = [sys.stdin.isatty() == null.isatty(), len(sys.stdin.buffer.read())]
    """
    assert ask(python, code) == [True, 0]


NULL_DEVICE = {
    "posix": """
        import stat
        null = os.open(os.devnull, os.O_RDONLY)
        mine, devices = os.fstat(0), os.fstat(null)
        answer = [stat.S_ISCHR(mine.st_mode), mine.st_rdev == devices.st_rdev]
    """,
    "windows": """
        import ctypes, msvcrt
        def type_and_name(descriptor):
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
            told = ctypes.create_string_buffer(2048)
            assert ctypes.WinDLL("ntdll").NtQueryObject(handle, 1, told, len(told), None) == 0
            name = told.raw[16 : 16 + ctypes.c_uint16.from_buffer(told).value].decode("utf-16-le")
            return ctypes.WinDLL("kernel32").GetFileType(handle), name
        mine, devices = type_and_name(0), type_and_name(os.open(os.devnull, os.O_RDONLY))
        answer = [mine[0] == 2, bool(mine[1]) and mine == devices]
    """,
}


def test_without_input_it_is_the_null_device(env: RunningEnvironment, python: BoundPython) -> None:
    assert ask(python, NULL_DEVICE.get(env.platform, NULL_DEVICE["posix"])) == [True, True]


def test_shell_copies_its_input(shell: BoundShell) -> None:
    result = shell.run(shell.copy_input(), input=b"one\ntwo\nthree\n")
    assert result.text == "one\ntwo\nthree\n"


def test_empty_input_ends_at_once(shell: BoundShell, python: BoundPython) -> None:
    assert shell.run(shell.copy_input(), input=b"").stdout == b""
    assert python.run(COPY, input=b"").stdout == b""


@pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="findstr is a stub, and more stops at each screenful to ask for a key",
)
def test_thousands_of_lines_through_the_shell(env: RunningEnvironment, shell: BoundShell) -> None:
    line = b"0123456789abcdef" * 4
    count = 2_000 if env.platform == "windows" else 65_536
    result = shell.run(shell.copy_input(), input=(line + b"\n") * count)
    assert result.exit_code == 0
    assert result.stdout.split() == [line] * count


def test_four_mebibytes_there_and_back(python: BoundPython) -> None:
    data = hashlib.shake_128(b"input").digest(4 * 1024 * 1024)
    assert python.run(COPY, input=data).stdout == data


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_048_577])
def test_input_of_every_size_is_read_to_its_end(size: int, python: BoundPython) -> None:
    data = hashlib.shake_128(str(size).encode()).digest(size)
    found = json.loads(python.run(DIGEST, input=data).stdout)
    assert found == [size, hashlib.sha256(data).hexdigest()]


def test_lines_are_answered_one_by_one(python: BoundPython) -> None:
    with python.start(ECHO_LINES, stdin=True) as process:
        for number in range(20):
            line = f"line {number}\n".encode()
            process.write(line)
            assert until(process, b"\n") == b"<" + line


def test_shell_answers_a_line_that_came_in_pieces(shell: BoundShell) -> None:
    with shell.start(shell.copy_input(), stdin=True) as process:
        for piece in (b"one ", b"line ", b"in ", b"pieces\n"):
            process.write(piece)
        process.close_stdin()
        assert process.communicate().stdout.replace(b"\r\n", b"\n") == b"one line in pieces\n"


def test_bytes_come_one_by_one(python: BoundPython) -> None:
    data = bytes(range(256))
    process = python.start(COPY_SOME, str(len(data)), stdin=True)
    for byte in data:
        process.write(bytes([byte]))
    assert process.communicate().stdout == data


def test_character_may_be_cut_between_writes(python: BoundPython) -> None:
    process = python.start("print(ascii(input()))", stdin=True)
    for byte in "é🚀\n".encode():
        process.write(bytes([byte]))
    assert process.communicate().stdout.strip() == b"'\\xe9\\U0001f680'"


def test_input_before_the_program_reads(python: BoundPython) -> None:
    code = "import sys; print('ready'); sys.stdin.readline(); print(sys.stdin.readline().strip())"
    process = python.start(code, stdin=True)
    process.write(b"first\nsecond\n")
    assert process.communicate().stdout.split() == [b"ready", b"second"]


def test_program_that_reads_nothing_ends_all_the_same(python: BoundPython) -> None:
    result = python.run("print('done')", input=b"x" * 4 * 1024 * 1024)
    assert (result.exit_code, result.text) == (0, "done\n")


def test_program_that_reads_a_little_ends_all_the_same(python: BoundPython) -> None:
    code = "import os; print(os.read(0, 10).decode())"
    assert python.run(code, input=b"0123456789" * 400_000).text == "0123456789\n"


def test_writing_without_input_is_refused(python: BoundPython) -> None:
    with python.start("import time; time.sleep(60)") as process, pytest.raises(StdinClosed):
        process.write(b"x")


def test_writing_after_the_exit_is_refused(python: BoundPython) -> None:
    process = python.start("", stdin=True)
    process.wait()
    with pytest.raises(StdinClosed):
        process.write(b"x")


def test_writing_after_the_end_of_input_is_refused(python: BoundPython) -> None:
    with python.start("import sys, time; sys.stdin.read(); time.sleep(60)", stdin=True) as process:
        process.close_stdin()
        with pytest.raises(StdinClosed):
            process.write(b"x")


def test_ending_the_input_twice_changes_nothing(python: BoundPython) -> None:
    process = python.start(COPY, stdin=True)
    process.write(b"text")
    process.close_stdin()
    process.close_stdin()
    assert process.communicate().stdout == b"text"
    process.close_stdin()


def test_end_of_input_comes_after_what_was_written(python: BoundPython) -> None:
    data = b"x" * 3_000_000
    process = python.start(DIGEST, stdin=True)
    process.write(data)
    process.close_stdin()
    assert json.loads(process.communicate().stdout)[0] == len(data)


def status(client: SyncClient, process_id: str, data: bytes, write_id: str) -> str:
    params = ProcessWriteParams(process_id, encode_base64(data), write_id)
    return client.call(PROCESS_WRITE, params).status


def test_repeated_write_is_accepted_and_not_delivered(client: SyncClient, python: BoundPython) -> None:
    process = python.start(COPY_SOME, "13", stdin=True)
    for data, write_id in ((b"one ", "1"), (b"one ", "1"), (b"two ", "2"), (b"other", "1"), (b"three", "3")):
        assert status(client, process.process_id, data, write_id) == "accepted"
    assert process.communicate().stdout == b"one two three"


def test_same_write_id_for_two_processes(client: SyncClient, python: BoundPython) -> None:
    processes = [python.start(COPY_SOME, "4", stdin=True) for _ in range(2)]
    for process in processes:
        assert status(client, process.process_id, b"text", "1") == "accepted"
    assert [process.communicate().stdout for process in processes] == [b"text", b"text"]


def test_empty_write_is_accepted(client: SyncClient, python: BoundPython) -> None:
    process = python.start(COPY_SOME, "4", stdin=True)
    assert status(client, process.process_id, b"", "1") == "accepted"
    assert status(client, process.process_id, b"text", "2") == "accepted"
    assert process.communicate().stdout == b"text"


def test_write_status_tells_why_not(client: SyncClient, python: BoundPython) -> None:
    assert status(client, "no-such-process", b"x", "1") == "unknownProcess"
    with python.start("import time; time.sleep(60)") as process:
        assert status(client, process.process_id, b"x", "1") == "stdinClosed"
    process = python.start("", stdin=True)
    process.wait()
    assert status(client, process.process_id, b"x", "1") == "stdinClosed"


def test_write_needs_an_id(client: SyncClient, python: BoundPython) -> None:
    with python.start(COPY, stdin=True) as process, pytest.raises(RpcError) as refused:
        status(client, process.process_id, b"x", "")
    assert refused.value.code == ErrorCode.INVALID_PARAMS


def test_closing_the_input_of_nobody(client: SyncClient) -> None:
    params = ProcessParams("no-such-process")
    assert client.call(PROCESS_CLOSE_STDIN, params).status == "unknownProcess"


def test_terminated_program_takes_no_more_input(python: BoundPython) -> None:
    process = python.start("import time; print('ready'); time.sleep(60)", stdin=True)
    until(process, b"ready")
    process.write(b"x" * 1000)
    assert process.terminate() is True
    process.wait()
    with pytest.raises(StdinClosed):
        process.write(b"x")
