"""``process/read``: paging, waiting, and what stays readable."""

import base64
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.process.programs import ANSWER, HOLD, LEAVE_CHILD, SLEEP

MEBIBYTE = 1024 * 1024
LONG_WAIT_MS = 600_000  # Longer than any test: only an event can end it.

IN_PIECES = """
import os, time
for number in range(200):
    os.write(1 + number % 2, b"%03d" % number + b"x" * (number % 50))
    if number % 40 == 0:
        time.sleep(0.01)
"""


def data_of(chunks: list[dict[str, Any]], stream: str | None = None) -> bytes:
    return b"".join(base64.b64decode(chunk["chunk"]) for chunk in chunks if stream in (None, chunk["stream"]))


@pytest.fixture
def finished(talk: Conversation, python: BoundPython) -> Conversation:
    """With the closed process ``p``, which wrote to both streams."""
    talk.start("p", python.argv(IN_PIECES))
    talk.finish("p")
    return talk


def test_everything_can_be_read_again_after_the_end(finished: Conversation) -> None:
    read = finished.call("process/read", processId="p")
    told = finished.told("p")
    outputs = [event for event in told if event.kind == "output"]
    assert [chunk["seq"] for chunk in read["chunks"]] == [event.seq for event in outputs]
    assert [chunk["stream"] for chunk in read["chunks"]] == [event.stream for event in outputs]
    assert data_of(read["chunks"]) == b"".join(event.data for event in outputs)
    assert read["nextSeq"] == told[-1].seq + 1
    state = {"exited": True, "exitCode": 0, "closed": True, "failure": None, "sandboxDenied": False}
    assert state.items() <= read.items()


@pytest.mark.parametrize("after", [None, 0, 1, 2, "last output", "last", 10**15], ids=str)
def test_after_seq_leaves_out_what_is_known(finished: Conversation, after: Any) -> None:
    told = finished.told("p")
    outputs = [event.seq for event in told if event.kind == "output"]
    after = {"last output": outputs[-1], "last": told[-1].seq}.get(after, after)
    read = finished.call("process/read", processId="p", afterSeq=after)
    assert [chunk["seq"] for chunk in read["chunks"]] == [seq for seq in outputs if seq > (after or 0)]


@pytest.mark.parametrize("max_bytes", [0, 1, 10, 100, 1000, MEBIBYTE])
def test_paging_by_max_bytes_loses_nothing(finished: Conversation, max_bytes: int) -> None:
    whole = finished.call("process/read", processId="p")["chunks"]
    paged: list[dict[str, Any]] = []
    after = 0
    while True:
        read = finished.call("process/read", processId="p", afterSeq=after, maxBytes=max_bytes)
        page = read["chunks"]
        if not page:
            break
        assert len(page) == 1 or len(data_of(page)) <= max_bytes
        paged += page
        after = read["nextSeq"] - 1
        assert after >= page[-1]["seq"]
    assert paged == whole
    assert read["closed"]


def test_a_page_may_end_before_a_chunk_that_does_not_fit(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(ANSWER), pipeStdin=True)
    talk.until_output("p", b"ready")
    for number in range(3):
        talk.write("p", b"%0100d\n" % number, f"w{number}")
        talk.until_output("p", b"got %0100d" % number)
    first = talk.call("process/read", processId="p", maxBytes=250)["chunks"]
    assert len(data_of(first)) <= 250
    rest = talk.call("process/read", processId="p", afterSeq=first[-1]["seq"])["chunks"]
    assert data_of(first + rest) == talk.output("p")


@pytest.mark.parametrize("field", ["afterSeq", "maxBytes", "waitMs"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", True], ids=repr)
def test_a_limit_that_is_no_count_is_refused(finished: Conversation, field: str, value: object) -> None:
    with pytest.raises(RpcError) as error:
        finished.call("process/read", processId="p", **{field: value})
    assert error.value.code == ErrorCode.INVALID_PARAMS
    assert field in error.value.message


@pytest.mark.parametrize("wait", [None, 0, LONG_WAIT_MS], ids=str)
def test_an_unknown_process_cannot_be_read(talk: Conversation, wait: int | None) -> None:
    with pytest.raises(RpcError) as error:
        talk.call("process/read", processId="nobody", waitMs=wait)
    assert error.value.code == ErrorCode.INVALID_REQUEST
    assert "nobody" in error.value.message


@pytest.mark.parametrize("wait", [1, 50, 300])
def test_a_wait_ends_without_an_event(talk: Conversation, python: BoundPython, wait: int) -> None:
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    talk.until_output("p", b"ready")
    read = talk.call("process/read", processId="p", afterSeq=talk.told("p")[-1].seq, waitMs=wait)
    assert (read["chunks"], read["exited"], read["closed"]) == ([], False, False)


@pytest.mark.parametrize("wait", [None, 0], ids=str)
def test_without_wait_the_reply_is_what_there_is(
    talk: Conversation, python: BoundPython, wait: int | None
) -> None:
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    talk.until_output("p", b"ready")
    read = talk.call("process/read", processId="p", afterSeq=talk.told("p")[-1].seq, waitMs=wait)
    assert read["chunks"] == []


def test_a_wait_for_what_has_happened_already_is_none(finished: Conversation) -> None:
    last = finished.told("p")[-1].seq
    for after in (0, last - 2, last - 1, last, last + 10):
        read = finished.call("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS)
        assert read["closed"]


@pytest.mark.parametrize("readers", [1, 3])
def test_output_wakes_every_reader(talk: Conversation, python: BoundPython, readers: int) -> None:
    talk.start("p", python.argv(ANSWER), pipeStdin=True)
    talk.until_output("p", b"ready")
    after = talk.told("p")[-1].seq
    posted = [
        talk.post("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS) for _ in range(readers)
    ]
    assert talk.call("environment/status") == {"status": "ready"}
    assert not any(talk.replied(request) for request in posted)
    talk.write("p", b"hello\n", "w")
    for request in posted:
        read = talk.result(request)
        assert data_of(read["chunks"]).startswith(b"got")
        assert read["chunks"][0]["seq"] == after + 1


def test_the_exit_wakes_a_reader_and_then_the_close(
    talk: Conversation, python: BoundPython, workspace: Workspace
) -> None:
    talk.start("p", python.argv(LEAVE_CHILD, workspace.native("go"), workspace.native("late")))
    talk.until_output("p", b"ready")
    after = talk.told("p")[-1].seq
    posted = talk.post("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS)
    workspace.write("go", b"")
    read = talk.result(posted)
    assert (read["chunks"], read["exited"], read["exitCode"], read["closed"]) == ([], True, 3, False)
    posted = talk.post("process/read", processId="p", afterSeq=read["nextSeq"] - 1, waitMs=LONG_WAIT_MS)
    workspace.write("late", b"")
    late = talk.result(posted)
    assert data_of(late["chunks"]) == b"late"
    posted = talk.post("process/read", processId="p", afterSeq=late["nextSeq"] - 1, waitMs=LONG_WAIT_MS)
    closed = talk.result(posted)
    assert closed["closed"] is True
    assert closed["chunks"] == []


def test_the_death_of_the_process_wakes_a_reader(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(SLEEP))
    talk.until_output("p", b"ready")
    posted = talk.post("process/read", processId="p", afterSeq=talk.told("p")[-1].seq, waitMs=LONG_WAIT_MS)
    talk.call("process/terminate", processId="p")
    assert talk.result(posted)["exited"] is True


CLOSE_OUTPUT = """
import os, sys
os.write(1, b"ready\\n")
sys.stdin.readline()
os.close(1)
os.close(2)
open("closed", "w").close()
sys.stdin.readline()
os._exit(5)
"""


def test_the_end_of_the_output_alone_wakes_nobody(
    talk: Conversation, python: BoundPython, workspace: Workspace
) -> None:
    talk.start("p", python.argv(CLOSE_OUTPUT), pipeStdin=True)
    talk.until_output("p", b"ready")
    after = talk.told("p")[-1].seq
    posted = talk.post("process/read", processId="p", afterSeq=after, waitMs=LONG_WAIT_MS)
    talk.write("p", b"close\n", "w")
    python.run("import os, time\nwhile not os.path.exists('closed'): time.sleep(0.01)")
    # It has no number, so there is nothing to tell before the exit.
    assert talk.call("environment/status") == {"status": "ready"}
    talk.write("p", b"end\n", "end")
    read = talk.result(posted)
    assert (read["exited"], read["exitCode"], read["nextSeq"] > after + 1) == (True, 5, True)


WRITE = """
import sys
sys.stdout.buffer.write(b"".join(b"%07d\\n" % number for number in range(int(sys.argv[1]))))
"""


def numbered(lines: int) -> bytes:
    return b"".join(b"%07d\n" % number for number in range(lines))


@pytest.mark.parametrize("size", [0, MEBIBYTE // 2, MEBIBYTE], ids=str)
def test_the_last_mebibyte_is_retained(talk: Conversation, python: BoundPython, size: int) -> None:
    talk.start("p", python.argv(WRITE, str(size // 8)))
    talk.finish("p")
    assert data_of(talk.call("process/read", processId="p")["chunks"]) == numbered(size // 8)


@pytest.mark.parametrize("after", [0, 1])
def test_what_is_older_than_the_last_mebibyte_is_dropped(
    talk: Conversation, python: BoundPython, after: int
) -> None:
    lines = 5 * MEBIBYTE // 8
    talk.start("p", python.argv(WRITE, str(lines)))
    told = talk.finish("p")
    assert talk.output("p") == numbered(lines)
    read = talk.call("process/read", processId="p", afterSeq=after)
    retained = data_of(read["chunks"])
    assert numbered(lines).endswith(retained)
    # In whole chunks, so a little less or more.
    assert MEBIBYTE * 3 // 4 <= len(retained) <= MEBIBYTE * 3 // 2
    # What is missing shows in the numbers only; from the first on there is no gap.
    seqs = [chunk["seq"] for chunk in read["chunks"]]
    assert seqs[0] > after + 1
    assert seqs == [event.seq for event in told if event.kind == "output" and event.seq >= seqs[0]]
    assert read["nextSeq"] == told[-1].seq + 1


def test_both_streams_share_what_is_retained(talk: Conversation, python: BoundPython) -> None:
    code = "import sys\nfor n in range(48): (sys.stdout, sys.stderr)[n % 2].buffer.write(b'%08d' % n * 8192)"
    talk.start("p", python.argv(code))
    talk.finish("p")
    chunks = talk.call("process/read", processId="p")["chunks"]
    assert MEBIBYTE * 3 // 4 <= len(data_of(chunks)) <= MEBIBYTE * 3 // 2
    for stream in ("stdout", "stderr"):
        assert talk.output("p", stream).endswith(data_of(chunks, stream))
        assert data_of(chunks, stream)
