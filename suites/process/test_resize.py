"""``process/resize``: a terminal's size, and what is refused."""

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from suites.process.conversation import Conversation
from suites.process.programs import HOLD

TELL_SIZE = """
import os, sys
while True:
    size = os.get_terminal_size(1)
    os.write(1, f"<{size.lines}x{size.columns}>".encode())
    if not sys.stdin.readline().strip():
        break
"""


def refused(talk: Conversation, process_id: str, rows: object, cols: object) -> RpcError:
    with pytest.raises(RpcError) as error:
        talk.call("process/resize", processId=process_id, rows=rows, cols=cols)
    return error.value


def test_a_terminal_starts_with_24_rows_of_80_columns(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(TELL_SIZE), tty=True)
    talk.until_output("p", b"<24x80>", "pty")


@pytest.mark.known_gap(
    env="wine-exec", owner="wine", version="8.0", reason="ResizePseudoConsole answers E_NOTIMPL"
)
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (40, 132), (300, 500)])
def test_the_program_sees_the_new_size(talk: Conversation, python: BoundPython, rows: int, cols: int) -> None:
    talk.start("p", python.argv(TELL_SIZE), tty=True)
    talk.until_output("p", b"<24x80>", "pty")
    assert talk.call("process/resize", processId="p", rows=rows, cols=cols) == {}
    talk.write("p", b"again\r", "w")
    talk.until_output("p", b"<%dx%d>" % (rows, cols), "pty")


SIZES = [
    (0, 80),
    (24, 0),
    (-1, 80),
    (24, -1),
    (65536, 80),
    (24, 65536),
    (10**20, 80),
    (1.5, 80),
    ("24", 80),
    (None, 80),
]


@pytest.mark.parametrize(("rows", "cols"), SIZES, ids=repr)
def test_a_size_that_no_terminal_has_is_refused(
    talk: Conversation, python: BoundPython, rows: object, cols: object
) -> None:
    talk.start("p", python.argv(TELL_SIZE), tty=True)
    talk.until_output("p", b"<24x80>", "pty")
    error = refused(talk, "p", rows, cols)
    assert error.code == ErrorCode.INVALID_PARAMS
    assert ("rows" if cols == 80 else "cols") in error.message
    talk.write("p", b"again\r", "w")
    talk.until_output("p", b"<24x80>", "pty")


def test_a_process_without_terminal_has_no_size(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    assert refused(talk, "p", 24, 80).code == ErrorCode.INVALID_REQUEST
    assert talk.call("process/terminate", processId="p") == {"running": True}


def test_an_unknown_process_has_no_size(talk: Conversation) -> None:
    error = refused(talk, "nobody", 24, 80)
    assert error.code == ErrorCode.INVALID_REQUEST
    assert "nobody" in error.message
