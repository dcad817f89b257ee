"""``process/terminate`` kills all that a process has started; so does the end of its session."""

from collections.abc import Callable

import pytest

from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.process.conversation import Conversation
from suites.process.programs import HOLD, ON_INTERRUPT, SLEEP, START_FAMILY, UNTIL_GONE

KINDS = ["child", "grandchild", "apart", "silent", "daemon"]

# 128 + SIGKILL; a code of the executor's choice, but not that of success.
KILLED = {"linux": {137}, "macos": {137}, "windows": {1, -1, 137, -1073741510}}


def terminate(talk: Conversation, process_id: str) -> object:
    return talk.call("process/terminate", processId=process_id)["running"]


def start_family(talk: Conversation, python: BoundPython, kind: str, leader: str) -> str:
    """Starts ``p`` with a descendant; returns the descendant's process id."""
    talk.start("p", python.argv(START_FAMILY, kind, leader), pipeStdin=True)
    talk.until_output("p", b"ready")
    return talk.output("p").split()[0].decode()


def fate(python: BoundPython, pid: str, seconds: int = 60) -> str:
    return python.run(UNTIL_GONE, pid, str(seconds)).text.strip()


@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_a_running_process_is_killed(
    talk: Conversation, python: BoundPython, env: RunningEnvironment, tty: bool
) -> None:
    talk.start("p", python.argv(SLEEP), tty=tty)
    talk.until_output("p", b"ready", "pty" if tty else "stdout")
    assert terminate(talk, "p") is True
    talk.finish("p")
    assert talk.until("exited", "p").exit_code in KILLED[env.platform]


def test_a_handler_cannot_prevent_it(talk: Conversation, python: BoundPython) -> None:
    code = ON_INTERRUPT.replace('"SIGBREAK"', '"SIGBREAK", "SIGTERM", "SIGHUP"')
    talk.start("p", python.argv(code))
    talk.until_output("p", b"ready")
    assert terminate(talk, "p") is True
    talk.finish("p")
    assert b"handled" not in talk.output("p")


def test_it_tells_that_an_exited_or_unknown_process_did_not_run(
    talk: Conversation, python: BoundPython
) -> None:
    talk.start("p", python.argv("raise SystemExit(6)"))
    told = list(talk.finish("p"))
    assert terminate(talk, "p") is False
    assert terminate(talk, "nobody") is False
    assert talk.call("process/read", processId="p")["exitCode"] == 6
    assert talk.told("p") == told


def test_a_second_time_it_finds_nothing_running(talk: Conversation, python: BoundPython) -> None:
    talk.start("p", python.argv(HOLD), pipeStdin=True)
    assert terminate(talk, "p") is True
    talk.until("exited", "p")
    assert terminate(talk, "p") is False
    assert len([told for told in talk.finish("p") if told.kind != "output"]) == 2


def test_it_leaves_other_processes_alone(talk: Conversation, python: BoundPython) -> None:
    for process_id in ("p", "q"):
        talk.start(process_id, python.argv(HOLD), pipeStdin=True)
    assert terminate(talk, "p") is True
    talk.finish("p")
    talk.write("q", b"\n", "end")
    talk.finish("q")
    assert talk.until("exited", "q").exit_code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_its_descendants_die_with_it(talk: Conversation, python: BoundPython, kind: str) -> None:
    pid = start_family(talk, python, kind, "stays")
    assert terminate(talk, "p") is True
    # Whoever held the output is gone, else this would not come.
    talk.finish("p")
    assert fate(python, pid) == "gone"


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_left_behind_can_be_killed_after_its_exit(
    talk: Conversation, python: BoundPython, kind: str
) -> None:
    pid = start_family(talk, python, kind, "leaves")
    assert talk.until("exited", "p").exit_code == 0
    assert fate(python, pid, seconds=0) == "alive"
    assert terminate(talk, "p") is False
    talk.finish("p")
    assert fate(python, pid) == "gone"


def test_many_descendants_die(talk: Conversation, python: BoundPython) -> None:
    code = START_FAMILY.replace(
        "    print(child.pid)", "    print(child.pid, *(c.pid for c in more))"
    ).replace(
        "    standard =",
        "    more = [subprocess.Popen(sleep, **silent, **apart) for _ in range(20)]\n    standard =",
    )
    talk.start("p", python.argv(code, "apart", "stays"), pipeStdin=True)
    talk.until_output("p", b"ready")
    pids = talk.output("p").split()[:-1]
    assert len(pids) == 21
    terminate(talk, "p")
    talk.finish("p")
    assert {fate(python, pid.decode()) for pid in pids} == {"gone"}


def start_with_pid(talk: Conversation, python: BoundPython, kind: str | None) -> str:
    """Starts ``p``; returns the process id of its own or of its descendant."""
    if kind is not None:
        return start_family(talk, python, kind, "stays")
    talk.start("p", python.argv("import os\nprint(os.getpid())\n" + HOLD), pipeStdin=True)
    talk.until_output("p", b"ready")
    return talk.output("p").split()[0].decode()


@pytest.mark.parametrize("end", ["closed", "dropped"])
@pytest.mark.parametrize("kind", [None, "child", "daemon"], ids=["process", "child", "daemon"])
def test_the_end_of_the_session_ends_its_processes(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace, kind: str | None, end: str
) -> None:
    """It ends with a connection that is closed in order, or that asked to have it end so in any case."""
    other = open_wire()
    other.handshake(retentionMs=0 if end == "dropped" else None)
    pid = start_with_pid(Conversation(other, workspace.uri), python, kind)
    assert fate(python, pid, seconds=0) == "alive"
    if end == "closed":
        other.close()
    else:
        other.drop()
    assert fate(python, pid) == "gone"


@pytest.mark.parametrize("kind", [None, "daemon"], ids=["process", "daemon"])
def test_a_dropped_connection_ends_no_process(
    open_wire: Callable[[], Wire], python: BoundPython, workspace: Workspace, kind: str | None
) -> None:
    other, later = open_wire(), open_wire()
    session_id = other.handshake()["sessionId"]
    pid = start_with_pid(Conversation(other, workspace.uri), python, kind)
    other.drop()
    assert fate(python, pid, seconds=0) == "alive"
    # By now the executor has noticed.
    later.handshake(resumeSessionId=session_id)
    assert fate(python, pid, seconds=0) == "alive"
    later.close()
    assert fate(python, pid) == "gone"
