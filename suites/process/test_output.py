"""Output, exit and close: one sequence without gap, and every byte as it was written."""

import hashlib
import random

import pytest

from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.events import ExitedEvent, OutputEvent
from harness.client.sync import SyncClient
from suites.process.conversation import Conversation
from suites.process.programs import COPY_COUNTED, LEAVE_CHILD

WRITE_OUT = "import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))"
WRITE_ERR = "import sys; sys.stderr.buffer.write(bytes.fromhex(sys.argv[1]))"

ALTERNATE = """
import os, sys
for number in range(int(sys.argv[1])):
    os.write(1, b"out%d;" % number)
    os.write(2, b"err%d;" % number)
sys.exit(9)
"""

NOTHING = "pass"
CLOSE_OUTPUT = "import os, sys; os.close(1); os.close(2); sys.stdin.readline(); os._exit(4)"

PROGRAMS = {
    "nothing": (NOTHING, 0),
    "exit code only": ("raise SystemExit(3)", 3),
    "stdout only": (f"{WRITE_OUT}", 0),
    "stderr only": (f"{WRITE_ERR}", 0),
    "both in turns": (ALTERNATE, 9),
    "closes its output first": (CLOSE_OUTPUT, 4),
}


@pytest.mark.parametrize(("code", "exit_code"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_one_counter_numbers_output_exit_and_close_without_gap(
    talk: Conversation, python: BoundPython, code: str, exit_code: int
) -> None:
    talk.start("p", python.argv(code, "3000"))
    told = talk.finish("p")
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    assert sorted(event.kind for event in told if event.kind != "output") == ["closed", "exited"]
    assert told[-1].kind == "closed"
    assert talk.until("exited", "p").exit_code == exit_code


def test_each_stream_arrives_whole_and_in_order(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(ALTERNATE, "500"))
    talk.finish("p")
    for stream in ("out", "err"):
        expected = b"".join(b"%s%d;" % (stream.encode(), number) for number in range(500))
        assert talk.output("p", f"std{stream}") == expected


def test_output_comes_while_the_process_runs(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv("import sys; print('now', flush=True); sys.stdin.read()"), pipeStdin=True)
    talk.until_output("p", b"now")
    assert talk.call("process/terminate", processId="p") == {"running": True}


@pytest.mark.parametrize("held", ["stdout stderr", "stdout", "stderr"])
def test_exited_does_not_wait_for_a_child_that_holds_the_output_but_closed_does(
    talk: Conversation, python: BoundPython, workspace: Workspace, held: str
) -> None:
    talk.start("p", python.argv(LEAVE_CHILD, workspace.native("go"), workspace.native("late"), held))
    talk.until_output("p", b"ready")
    workspace.write("go", b"")
    assert talk.until("exited", "p").exit_code == 3
    read = talk.call("process/read", processId="p")
    assert (read["exited"], read["exitCode"], read["closed"]) == (True, 3, False)
    workspace.write("late", b"")
    told = talk.finish("p")
    kinds = [event.kind for event in told]
    assert b"late" in told[kinds.index("exited") + 1].data
    assert [event.seq for event in told] == list(range(1, len(told) + 1))


def test_closed_does_not_come_before_the_exit(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(CLOSE_OUTPUT), pipeStdin=True)
    # Its output is closed by now or soon; what it tells next must still be its exit.
    assert talk.call("process/read", processId="p", waitMs=300)["closed"] is False
    talk.write("p", b"\n", "end")
    assert [event.kind for event in talk.finish("p")] == ["exited", "closed"]


DATA = {
    "every byte value": bytes(range(256)) * 3,
    "newlines of every kind": b"a\nb\r\nc\rd\n\r\n\n\r\r\n",
    "end-of-file characters": b"a\x1ab\x04c\x00d",
    "broken UTF-8": b"\xff\xfe\xc3(\xe2\x82\xf0\x9f",
    "a split character": "é".encode()[:1],
    "escape sequences": b"\x1b[31mred\x1b[0m\x07\x08",
    "one byte": b"x",
}


@pytest.mark.parametrize("code", [WRITE_OUT, WRITE_ERR], ids=["stdout", "stderr"])
@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
def test_output_is_not_changed_by_a_byte(python: BoundPython, code: str, data: bytes) -> None:
    result = python.run(code, data.hex())
    assert (result.stdout, result.stderr) == ((data, b"") if code == WRITE_OUT else (b"", data))


def given(python: BoundPython, code: str, data: bytes) -> bytes:
    """What a program prints that is told how much input to read, and gets *data*."""
    with python.start(code, str(len(data)), stdin=True) as process:
        process.write(data)
        completed = process.communicate()
    assert completed.exit_code == 0
    return completed.stdout


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
def test_input_is_not_changed_by_a_byte(python: BoundPython, data: bytes) -> None:
    code = "import sys; print(sys.stdin.buffer.read(int(sys.argv[1])).hex())"
    assert given(python, code, data).strip().decode() == data.hex()


@pytest.mark.parametrize("mebibytes", [1, 4])
def test_random_data_comes_back_as_it_was_sent(python: BoundPython, mebibytes: int) -> None:
    data = random.Random(mebibytes).randbytes(mebibytes * 1024 * 1024)
    assert given(python, COPY_COUNTED, data) == data


BIG = """
import hashlib, os, sys
total = hashlib.sha256()
blocks = [os.urandom(1 << 20) for _ in range(4)]
for number in range(int(sys.argv[1])):
    block = b"%08d" % number + blocks[number % 4][8:]
    total.update(block)
    sys.stdout.buffer.write(block)
sys.stderr.write(total.hexdigest())
"""


@pytest.mark.parametrize("mebibytes", [8, 64])
def test_big_output_arrives_whole(
    client: SyncClient, python: BoundPython, workspace: Workspace, mebibytes: int
) -> None:
    received = hashlib.sha256()
    size = 0
    computed = b""
    with python.start(BIG, str(mebibytes)) as process:
        for event in process:
            if isinstance(event, OutputEvent):
                if event.stream == "stdout":
                    received.update(event.data)
                    size += len(event.data)
                else:
                    computed += event.data
            elif isinstance(event, ExitedEvent):
                assert event.exit_code == 0
    assert size == mebibytes * 1024 * 1024
    assert received.hexdigest() == computed.decode()


def test_big_input_arrives_whole(python: BoundPython) -> None:
    data = random.Random(16).randbytes(16 * 1024 * 1024)
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read(int(sys.argv[1]))).hexdigest())"
    assert given(python, code, data).strip().decode() == hashlib.sha256(data).hexdigest()


def test_the_output_of_concurrent_processes_stays_apart(talk: Conversation, python: BoundPython) -> None:
    names = [f"p{number}" for number in range(12)]
    code = """
import os, sys
for number in range(200):
    os.write(1, f"{sys.argv[1]}:{number};".encode() * 20)
    os.write(2, f"{sys.argv[1]}!".encode())
"""
    for name in names:
        talk.post_start(name, python.argv(code, name))
    for name in names:
        told = talk.finish(name)
        assert [event.seq for event in told] == list(range(1, len(told) + 1))
        expected = "".join(f"{name}:{number};" * 20 for number in range(200))
        assert talk.output(name).decode() == expected
        assert talk.output(name, "stderr").decode() == f"{name}!" * 200


def test_a_process_without_output_tells_nothing_until_its_end(
    talk: Conversation, python: BoundPython
) -> None:
    talk.start("p", python.argv("import sys; sys.stdin.read()"), pipeStdin=True)
    read = talk.call("process/read", processId="p", waitMs=200)
    expected = {
        "chunks": [],
        "nextSeq": 1,
        "exited": False,
        "exitCode": None,
        "closed": False,
        "failure": None,
    }
    assert expected.items() <= read.items()
    assert talk.told("p") == []


def test_the_working_directory_may_vanish_under_a_process(
    client: SyncClient, python: BoundPython, workspace: Workspace
) -> None:
    directory: PathUri = workspace.mkdir("inside")
    code = "import os, sys; os.chdir(sys.argv[1]); os.write(1, b'ready'); sys.stdin.readline(); print('end')"
    process = python.start(code, workspace.path, cwd=directory, stdin=True)
    ready = next(iter(process))
    assert isinstance(ready, OutputEvent) and ready.data == b"ready"
    client.files.remove(directory)
    process.write(b"\n")
    assert process.communicate().stdout.strip() == b"end"
    # The executor itself must not have stayed there.
    assert python.run("print('next')").text == "next\n"
