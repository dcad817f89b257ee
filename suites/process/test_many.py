"""Many processes at once, on one connection and on several."""

from collections.abc import Callable

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.process.programs import COPY, END, HOLD

# Starting a process takes many times longer on Windows, and longer still under Wine.
COUNTS = {"linux": 1000, "macos": 1000, "windows": 100}


@pytest.mark.parametrize("in_flight", [1, 16, 64])
def test_every_exit_code_is_right(
    talk: Conversation, shell: BoundShell, env: RunningEnvironment, in_flight: int
) -> None:
    count = COUNTS[env.platform] if in_flight > 1 else COUNTS[env.platform] // 10
    waiting: list[int] = []
    for number in range(count):
        talk.post_start(f"p{number}", shell.argv(shell.exit(number % 251)))
        waiting.append(number)
        if len(waiting) == in_flight:
            talk.finish(f"p{waiting.pop(0)}")
    codes = {}
    for number in range(count):
        told = talk.finish(f"p{number}")
        assert [(event.kind, event.seq) for event in told] == [("exited", 1), ("closed", 2)]
        codes[number] = told[0].exit_code
    assert codes == {number: number % 251 for number in range(count)}


def test_a_hundred_processes_run_side_by_side(talk: Conversation, python: BoundPython) -> None:
    names = [f"p{number}" for number in range(100)]
    requests = [talk.post_start(name, python.argv(COPY), pipeStdin=True) for name in names]
    for request in requests:
        talk.result(request)
    for name in names:
        assert talk.write(name, f"{name} is here".encode(), "w") == "accepted"
        talk.until_output(name, b"here")
    states = [talk.call("process/read", processId=name)["exited"] for name in names]
    assert states == [False] * 100, "they were to run at the same time"
    for name in names:
        assert talk.write(name, END, "end") == "accepted"
    for name in names:
        talk.finish(name)
        assert talk.output(name).decode() == f"{name} is here"
        assert talk.until("exited", name).exit_code == 0


@pytest.fixture
def neighbour(open_wire: Callable[[], Wire], workspace: Workspace) -> Conversation:
    """A second connection to the same executor."""
    opened = open_wire()
    opened.handshake()
    return Conversation(opened, workspace.uri)


def test_connections_do_not_see_each_others_processes(
    talk: Conversation, neighbour: Conversation, python: BoundPython
) -> None:
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    talk.until_output("p", b"ready")
    with pytest.raises(RpcError) as error:
        neighbour.call("process/read", processId="p")
    assert error.value.code == ErrorCode.INVALID_REQUEST
    assert neighbour.write("p", b"x", "w") == "unknownProcess"
    assert neighbour.call("process/signal", processId="p", signal="interrupt") == {}
    assert neighbour.call("process/terminate", processId="p") == {"running": False}
    talk.write("p", b"\n", "end")
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 0
    # Whatever had been told the neighbour would have come before this reply.
    assert neighbour.call("environment/status") == {"status": "ready"}
    assert neighbour.told("p") == []


def test_connections_may_use_the_same_process_id(
    talk: Conversation, neighbour: Conversation, python: BoundPython
) -> None:
    code = "import sys; sys.stdout.write(sys.stdin.readline() + sys.argv[1])"
    for number, one in enumerate((talk, neighbour)):
        one.start("same", python.argv(code, f"{number}"), pipeStdin=True)
    for number, one in enumerate((talk, neighbour)):
        one.write("same", b"%c\n" % b"ab"[number], "w")
    talk.finish("same")
    neighbour.finish("same")
    assert (talk.output("same").replace(b"\r", b""), neighbour.output("same").replace(b"\r", b"")) == (
        b"a\n0",
        b"b\n1",
    )


def test_processes_of_one_connection_outlive_another(
    open_wire: Callable[[], Wire], talk: Conversation, python: BoundPython
) -> None:
    other = open_wire()
    other.handshake()
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    other.close()
    talk.write("p", b"\n", "end")
    talk.finish("p")
    assert talk.until("exited", "p").exit_code == 0
