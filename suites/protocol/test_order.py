"""Calls run side by side; those on one process or handle in the order in which they came."""

import base64
from collections.abc import Callable

import pytest

from fixtures.programs import BoundPython, BoundShell
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.process.programs import ANSWER, COPY, END, HOLD

LONG_WAIT_MS = 600_000  # Longer than any test: only an event can end it.


@pytest.fixture
def waiting(talk: Conversation, python: BoundPython) -> tuple[Conversation, int]:
    """A connection with the silent process ``p`` and a read that waits for it."""
    talk.start("p", python.argv(ANSWER), pipeStdin=True)
    talk.until_output("p", b"ready")
    after = talk.told("p")[-1].seq
    return talk, talk.post("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS)


def start_another(talk: Conversation, workspace: Workspace, shell: BoundShell) -> None:
    talk.start("q", shell.argv(shell.exit(3)))
    talk.finish("q")


Behind = Callable[[Conversation, Workspace, BoundShell], object]

BEHIND: dict[str, Behind] = {
    "environment/status": lambda talk, workspace, shell: talk.call("environment/status"),
    "a whole process": start_another,
    "process/read of the same process": lambda talk, workspace, shell: talk.call(
        "process/read", processId="p"
    ),
    "process/read that times out": lambda talk, workspace, shell: talk.call(
        "process/read", processId="p", afterSeq=100, waitMs=50
    ),
    "process/write": lambda talk, workspace, shell: talk.write("p", b"", "w"),
    "process/signal": lambda talk, workspace, shell: talk.call(
        "process/signal", processId="nobody", signal="interrupt"
    ),
    "fs/writeFile": lambda talk, workspace, shell: talk.call(
        "fs/writeFile", path=str(workspace / "f"), dataBase64="eA=="
    ),
    "fs/getMetadata": lambda talk, workspace, shell: talk.call("fs/getMetadata", path=str(workspace.uri)),
    "fs/readDirectory": lambda talk, workspace, shell: talk.call("fs/readDirectory", path=str(workspace.uri)),
    "fs/walk": lambda talk, workspace, shell: talk.call(
        "fs/walk",
        path=str(workspace.uri),
        options={"maxDepth": 1, "maxDirectories": 9, "maxEntries": 9, "followDirectorySymlinks": False},
    ),
    "fs/open": lambda talk, workspace, shell: talk.call(
        "fs/open", handleId="h", path=str(workspace.write("g", b"x"))
    ),
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
def test_a_read_that_waits_delays_nothing(
    waiting: tuple[Conversation, int], workspace: Workspace, shell: BoundShell, behind: Behind
) -> None:
    talk, posted = waiting
    behind(talk, workspace, shell)
    assert not talk.replied(posted)
    talk.write("p", b"hello\n", "end")
    assert base64.b64decode(talk.result(posted)["chunks"][0]["chunk"]) == b"got hello\n"


def test_terminate_is_not_held_up_by_a_read_that_waits(waiting: tuple[Conversation, int]) -> None:
    talk, posted = waiting
    assert talk.call("process/terminate", processId="p") == {"running": True}
    talk.until("exited", "p")
    assert talk.result(posted)["chunks"] == []


def test_many_reads_may_wait_at_once(waiting: tuple[Conversation, int]) -> None:
    talk, first = waiting
    after = talk.told("p")[-1].seq
    posted = [
        first,
        *(talk.post("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS) for _ in range(500)),
    ]
    assert talk.call("environment/status") == {"status": "ready"}
    assert not any(talk.replied(request) for request in posted)
    talk.write("p", b"hello\n", "end")
    for request in posted:
        assert talk.result(request)["chunks"]


def test_a_write_that_the_program_does_not_take_delays_nothing(
    talk: Conversation, python: BoundPython, workspace: Workspace, shell: BoundShell
) -> None:
    code = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
print(len(sys.stdin.buffer.read(8 * 1024 * 1024)))
"""
    talk.start("p", python.argv(code), pipeStdin=True)
    chunk = base64.b64encode(bytes(1024 * 1024)).decode()
    posted = [
        talk.post("process/write", processId="p", chunk=chunk, writeId=f"w{number}") for number in range(8)
    ]
    for name, behind in BEHIND.items():
        if name != "process/write":
            behind(talk, workspace, shell)
    workspace.write("go", b"")
    for request in posted:
        assert talk.result(request) == {"status": "accepted"}
    talk.finish("p")
    assert int(talk.output("p")) == 8 * 1024 * 1024


def test_writes_arrive_in_the_order_sent(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(COPY), pipeStdin=True)
    pieces = [b"%05d;" % number * (1 + number % 300) for number in range(1000)]
    posted = [
        talk.post(
            "process/write", processId="p", chunk=base64.b64encode(piece).decode(), writeId=f"w{number}"
        )
        for number, piece in enumerate(pieces)
    ]
    posted.append(
        talk.post("process/write", processId="p", chunk=base64.b64encode(END).decode(), writeId="end")
    )
    for request in posted:
        assert talk.result(request) == {"status": "accepted"}
    talk.finish("p")
    assert talk.output("p") == b"".join(pieces)


def test_a_whole_process_may_be_asked_for_at_once(talk: Conversation, python: BoundPython) -> None:
    posted = [talk.post_start("p", python.argv(COPY), pipeStdin=True)]
    for number, data in enumerate((b"0", b"1", b"2", END)):
        chunk = base64.b64encode(data).decode()
        posted.append(talk.post("process/write", processId="p", chunk=chunk, writeId=f"w{number}"))
    results = [talk.result(request) for request in posted]
    assert [result["status"] for result in results[1:]] == ["accepted"] * 4
    talk.finish("p")
    assert talk.output("p") == b"012"


def test_terminate_may_follow_start_at_once(talk: Conversation, python: BoundPython) -> None:
    for number in range(20):
        started = talk.post_start(f"p{number}", python.argv(HOLD), pipeStdin=True)
        ended = talk.post("process/terminate", processId=f"p{number}")
        talk.result(started)
        assert talk.result(ended) == {"running": True}
    for number in range(20):
        talk.finish(f"p{number}")


def test_replies_belong_to_their_requests(talk: Conversation, workspace: Workspace) -> None:
    """Many calls of different kinds and lengths at once, each with an answer of its own."""
    for number in range(50):
        workspace.write(f"f{number}", b"%d" % number * (1 + number * 200))
    posted = {}
    for _ in range(10):
        for number in range(50):
            path = str(workspace / f"f{number}")
            posted[talk.post("fs/readFile", path=path)] = ("read", number)
            posted[talk.post("fs/getMetadata", path=path)] = ("size", number)
            posted[talk.post("process/terminate", processId=f"p{number}")] = ("process", number)
    for request, (kind, number) in posted.items():
        data = b"%d" % number * (1 + number * 200)
        result = talk.result(request)
        if kind == "read":
            assert base64.b64decode(result["dataBase64"]) == data
        elif kind == "size":
            assert result["size"] == len(data)
        else:
            assert result == {"running": False}
