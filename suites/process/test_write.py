"""``process/write`` and ``process/closeStdin``: what arrives, what is answered."""

import base64

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.process.programs import ANSWER, COPY, END, HOLD, LEAVE_CHILD, SLEEP


def close_stdin(talk: Conversation, process_id: str) -> object:
    return talk.call("process/closeStdin", processId=process_id)["status"]


@pytest.fixture
def copying(talk: Conversation, python: BoundPython) -> Conversation:
    """With the process ``p``, which copies its input to its output."""
    talk.start("p", python.argv(COPY), pipeStdin=True)
    return talk


def test_an_unknown_process_takes_nothing(talk: Conversation) -> None:
    assert talk.write("nobody", b"x", "w") == "unknownProcess"


def test_an_unknown_process_has_no_stdin_to_close(talk: Conversation) -> None:
    assert close_stdin(talk, "nobody") == "unknownProcess"


@pytest.mark.parametrize("pipe", [None, False], ids=["absent", "false"])
def test_a_process_without_stdin_takes_nothing(
    talk: Conversation, python: BoundPython, pipe: bool | None
) -> None:
    talk.start("p", python.argv(SLEEP), **({} if pipe is None else {"pipeStdin": pipe}))
    assert talk.write("p", b"x", "w") == "stdinClosed"


@pytest.mark.parametrize("pipe", [False, True], ids=["no stdin", "stdin"])
def test_an_exited_process_takes_nothing(talk: Conversation, python: BoundPython, pipe: bool) -> None:
    talk.start("p", python.argv("pass"), pipeStdin=pipe)
    talk.finish("p")
    assert talk.write("p", b"x", "w") == "stdinClosed"


def test_an_exited_process_has_no_stdin_to_close(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv("pass"), pipeStdin=True)
    talk.finish("p")
    assert close_stdin(talk, "p") == "stdinClosed"


def test_an_exited_process_takes_nothing_though_a_child_holds_its_output(
    talk: Conversation, python: BoundPython, workspace: Workspace
) -> None:
    argv = python.argv(LEAVE_CHILD, workspace.native("go"), workspace.native("late"))
    talk.start("p", argv, pipeStdin=True)
    workspace.write("go", b"")
    talk.until("exited", "p")
    assert talk.write("p", b"x", "w") == "stdinClosed"
    workspace.write("late", b"")
    talk.finish("p")


def test_after_close_stdin_nothing_more_is_taken(copying: Conversation) -> None:
    assert copying.write("p", b"before", "w1") == "accepted"
    assert close_stdin(copying, "p") == "accepted"
    assert copying.write("p", b"after", "w2") == "stdinClosed"
    copying.finish("p")
    assert copying.output("p") == b"before"


def test_stdin_can_be_closed_twice(copying: Conversation) -> None:
    close_stdin(copying, "p")
    close_stdin(copying, "p")
    copying.finish("p")
    assert copying.until("exited", "p").exit_code == 0


def test_close_stdin_comes_after_everything_that_was_written(talk: Conversation, python: BoundPython) -> None:
    # More than pipes hold, and the program does not read before it is told to.
    code = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
data = sys.stdin.buffer.read()
print(len(data), data == b"".join(bytes([number]) * 65536 for number in range(12)))
"""
    talk.start("p", python.argv(code), pipeStdin=True)
    for number in range(12):
        assert talk.write("p", bytes([number]) * 65536, f"w{number}") == "accepted"
    close_stdin(talk, "p")
    talk.start("q", python.argv("open('go', 'w').close()"))
    talk.finish("p")
    assert talk.output("p").split() == [b"786432", b"True"]


def test_a_process_that_closed_its_own_stdin_takes_nothing(talk: Conversation, python: BoundPython) -> None:
    code = "import os, time; os.close(0); os.write(1, b'ready'); time.sleep(600)"
    talk.start("p", python.argv(code), pipeStdin=True)
    talk.until_output("p", b"ready")
    assert talk.write("p", b"x", "w") == "stdinClosed"


@pytest.mark.parametrize("repeats", [1, 5])
def test_a_repeated_write_id_is_delivered_once(copying: Conversation, repeats: int) -> None:
    assert copying.write("p", b"one;", "same") == "accepted"
    for _ in range(repeats):
        assert copying.write("p", b"again;", "same") == "accepted"
    assert copying.write("p", b"two;", "other") == "accepted"
    assert copying.write("p", b"again;", "same") == "accepted"
    copying.write("p", END, "end")
    copying.finish("p")
    assert copying.output("p") == b"one;two;"


def test_a_repeated_write_id_is_accepted_though_stdin_is_closed_since(copying: Conversation) -> None:
    # As a client sends it that lost the first answer.
    assert copying.write("p", b"once", "same") == "accepted"
    close_stdin(copying, "p")
    assert copying.write("p", b"once", "same") == "accepted"
    copying.finish("p")
    assert copying.output("p") == b"once"


def test_a_write_id_belongs_to_its_process(talk: Conversation, python: BoundPython) -> None:
    for process_id in ("p", "q"):
        talk.start(process_id, python.argv(COPY), pipeStdin=True)
        assert talk.write(process_id, process_id.encode(), "same") == "accepted"
        talk.write(process_id, END, "end")
    for process_id in ("p", "q"):
        talk.finish(process_id)
        assert talk.output(process_id) == process_id.encode()


def test_a_refused_write_does_not_use_up_its_id(copying: Conversation) -> None:
    with pytest.raises(RpcError):
        copying.call("process/write", processId="p", chunk="no base64!", writeId="w")
    assert copying.write("p", b"data", "w") == "accepted"
    copying.write("p", END, "end")
    copying.finish("p")
    assert copying.output("p") == b"data"


def test_an_empty_write_writes_nothing(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(ANSWER), pipeStdin=True)
    assert talk.write("p", b"", "w1") == "accepted"
    assert talk.write("p", b"a\n", "w2") == "accepted"
    talk.until_output("p", b"got a")
    assert b"got \n" not in talk.output("p")


def test_a_write_id_must_not_be_empty(copying: Conversation) -> None:
    with pytest.raises(RpcError) as error:
        copying.write("p", b"x", "")
    assert error.value.code == ErrorCode.INVALID_PARAMS
    assert "writeId" in error.value.message


NO_BASE64 = {
    "punctuation": "!!!!",
    "unpadded": "YQ",
    "badly padded": "Y===",
    "URL alphabet": "-_-_",
    "newline inside": "YWJj\nZGVm",
    "blanks": " YWJj ",
    "non-ASCII": "YWJjé",
}


@pytest.mark.parametrize("chunk", NO_BASE64.values(), ids=NO_BASE64.keys())
def test_a_chunk_that_is_no_base64_is_refused(copying: Conversation, chunk: str) -> None:
    with pytest.raises(RpcError) as error:
        copying.call("process/write", processId="p", chunk=chunk, writeId="w")
    assert error.value.code == ErrorCode.INVALID_PARAMS
    copying.write("p", END, "end")
    copying.finish("p")
    assert copying.output("p") == b""


def test_base64_may_be_written_with_json_escapes(copying: Conversation) -> None:
    escaped = base64.b64encode(b"data?>").decode().replace("/", "\\/").replace("Z", "\\u005a")
    assert "\\" in escaped
    params = f'{{"processId":"p","writeId":"w","chunk":"{escaped}"}}'
    copying.wire.send(f'{{"id":"raw","method":"process/write","params":{params}}}')
    assert copying.wire.until(lambda message: message.get("id") == "raw")["result"] == {"status": "accepted"}
    copying.write("p", END, "end")
    copying.finish("p")
    assert copying.output("p") == b"data?>"


def test_the_reply_does_not_wait_for_the_process_to_read(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(SLEEP), pipeStdin=True)
    for number in range(8):
        assert talk.write("p", bytes(60_000), f"w{number}") == "accepted"


def test_writes_to_one_process_do_not_reach_another(talk: Conversation, python: BoundPython) -> None:
    names = [f"p{number}" for number in range(6)]
    for name in names:
        talk.start(name, python.argv(COPY), pipeStdin=True)
    for number in range(20):
        for name in names:
            talk.write(name, f"{name}:{number};".encode(), f"w{number}")
    for name in names:
        talk.write(name, END, "end")
    for name in names:
        talk.finish(name)
        assert talk.output(name).decode() == "".join(f"{name}:{number};" for number in range(20))


def test_a_terminal_has_no_stdin_to_close(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(HOLD), tty=True)
    with pytest.raises(RpcError) as error:
        close_stdin(talk, "p")
    assert error.value.code == ErrorCode.INVALID_REQUEST
    assert talk.call("process/terminate", processId="p") == {"running": True}
