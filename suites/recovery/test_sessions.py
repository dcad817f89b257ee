"""A session outlives its connection, and belongs to one connection at a time."""

import base64
import time
from collections.abc import Callable

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from fixtures.faults import UP, Duplicate, Hold, How, Plan, Rule, Side, before, script
from fixtures.programs import BoundPython
from fixtures.wire import JsonObject, Wire
from fixtures.workspace import Workspace
from harness.client.errors import ConnectFailed
from suites.process.conversation import Conversation
from suites.process.programs import ANSWER, COPY, END, SLEEP, UNTIL_GONE
from suites.recovery.programs import MEANWHILE, UNTIL_FILE
from suites.recovery.sessions import Sessions, initialize, refusal

HOWS = pytest.mark.parametrize("how", list(How), ids=str)
OpenWire = Callable[[], Wire]
TELL_PID = "import os\nos.write(1, b'%d\\n' % os.getpid())\n"
LONG_WAIT_MS = 600_000


def start(talk: Conversation, python: BoundPython, code: str) -> str:
    """Starts ``p``, waits until it is ready and returns its process id."""
    talk.start("p", python.argv(TELL_PID + code), pipeStdin=True)
    talk.until_output("p", b"ready")
    return talk.output("p").split()[0].decode()


def fate(python: BoundPython, pid: str, seconds: int = 60) -> str:
    return python.run(UNTIL_GONE, pid, str(seconds)).text.strip()


def last_seq(talk: Conversation) -> int:
    return max(told.seq for told in talk.told("p"))


def read_on(talk: Conversation, after: int) -> dict[str, bytes]:
    """Reads ``p`` to its end, and checks that every event after *after* is there once; returns its output."""
    found = {"stdout": b"", "stderr": b""}
    seqs = []
    while True:
        page = talk.call("process/read", processId="p", afterSeq=after, waitMs=10_000)
        for chunk in page["chunks"]:
            seqs.append(chunk["seq"])
            found[chunk["stream"]] += base64.b64decode(chunk["chunk"])
        after = page["nextSeq"] - 1
        if page["closed"] and not page["chunks"]:
            break
    assert seqs == sorted(set(seqs))
    return found


@HOWS
def test_a_process_runs_on_and_answers_the_next_connection(
    sessions: Sessions, python: BoundPython, how: How
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    seen = last_seq(talk)
    for number in range(1, 4):
        sessions.faults.cut(how)
        talk = sessions.resume(session_id)
        assert talk.write("p", b"%d\n" % number, f"w{number}") == "accepted"
        talk.until_output("p", b"got %d\n" % number)
        # The numbers go on where they were.
        assert talk.told("p")[0].seq == seen + 1
        seen = last_seq(talk)


@HOWS
def test_what_a_process_did_meanwhile_can_be_read(
    sessions: Sessions, python: BoundPython, workspace: Workspace, how: How
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, MEANWHILE)
    seen = last_seq(talk)
    sessions.faults.cut(how)
    workspace.write("go", b"")
    python.run(UNTIL_FILE, "done")
    again = sessions.resume(session_id)
    assert read_on(again, seen) == {"stdout": b"late output", "stderr": b"late error"}
    assert again.call("process/read", processId="p", afterSeq=seen)["exitCode"] == 5
    assert again.call("process/terminate", processId="p") == {"running": False}


def test_what_ended_before_can_still_be_read(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    talk.start("p", python.argv("print('all of it', end='')\nraise SystemExit(3)"))
    talk.finish("p")
    for _ in range(3):
        sessions.faults.cut(How.RST)
        talk = sessions.resume(session_id)
        assert read_on(talk, 0)["stdout"] == b"all of it"
        assert talk.call("process/read", processId="p")["exitCode"] == 3
        with pytest.raises(RpcError, match="p") as taken:
            talk.start("p", python.argv("pass"))
        assert taken.value.code == ErrorCode.INVALID_REQUEST


def test_a_write_that_comes_again_is_not_delivered_again(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    talk.start("p", python.argv(COPY), pipeStdin=True)
    for number in range(3):
        assert talk.write("p", b"%d" % number, f"w{number}") == "accepted"
    talk.until_output("p", b"012")
    sessions.faults.cut(How.RST)
    again = sessions.resume(session_id)
    for number in range(1, 5):
        assert again.write("p", b"%d" % number, f"w{number}") == "accepted"
    assert again.write("p", END, "end") == "accepted"
    again.until("closed", "p")
    assert read_on(again, 0)["stdout"] == b"01234"


def test_a_call_that_waited_has_no_part_in_the_next_connection(
    sessions: Sessions, python: BoundPython
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    talk.post("process/read", processId="p", afterSeq=last_seq(talk), waitMs=LONG_WAIT_MS)
    assert talk.call("environment/status") == {"status": "ready"}
    sessions.faults.cut(How.RST)
    again = sessions.resume(session_id)
    # Every id may be used anew, and what had waited answers nobody.
    first = again.post("environment/status")
    assert again.result(first) == {"status": "ready"}
    again.write("p", b"x\n", "1")
    again.until_output("p", b"got x\n")
    assert again.call("environment/status") == {"status": "ready"}


@pytest.mark.parametrize(
    "wrong",
    ["", "nobody", "00000000-0000-4000-8000-000000000000", "x" * 100_000, "ünïcode\x00", "../../etc"],
    ids=["empty", "word", "uuid", "long", "odd", "path"],
)
def test_a_session_that_there_is_not_is_refused(sessions: Sessions, wrong: str) -> None:
    wire = sessions.faults.open_wire()
    assert refusal(wire, wrong) == ErrorCode.INVALID_REQUEST
    # The connection is as good as before.
    assert initialize(wire)["sessionId"] != wrong


@pytest.mark.parametrize("wrong", [7, True, ["s"], {"id": "s"}], ids=str)
def test_what_is_no_session_id_is_refused(sessions: Sessions, wrong: object) -> None:
    wire = sessions.faults.open_wire()
    assert refusal(wire, wrong) == ErrorCode.INVALID_PARAMS
    initialize(wire)


def test_a_session_that_somebody_has_is_refused_and_goes_on(
    sessions: Sessions, python: BoundPython, open_wire: OpenWire
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    thief = open_wire()
    for _ in range(3):
        assert refusal(thief, session_id) == ErrorCode.SESSION_ATTACHED
    talk.write("p", b"mine\n", "1")
    talk.until_output("p", b"got mine\n")
    # Who was refused may have a session of its own.
    own = initialize(thief)["sessionId"]
    assert own != session_id
    found = thief.request("process/read", {"processId": "p"})
    assert found["error"]["code"] == ErrorCode.INVALID_REQUEST


def test_another_session_is_not_touched(sessions: Sessions, python: BoundPython, open_wire: OpenWire) -> None:
    own = open_wire()
    initialize(own)
    other = Conversation(own, sessions.cwd)
    start(other, python, ANSWER)
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    sessions.faults.cut(How.RST)
    again = sessions.resume(session_id)
    for each, text in ((again, b"one\n"), (other, b"two\n")):
        each.write("p", text, "1")
        each.until_output("p", b"got " + text)
    assert b"one" not in other.output("p")


def reply_to(wire: Wire, request_id: int) -> JsonObject:
    return wire.until(lambda message: message.get("id") == request_id)


def fight(rivals: list[Wire], session_id: str) -> tuple[Wire, list[Wire]]:
    """All ask for a session at the same time, until one of them has it; returns it and the others."""
    while True:
        params = {"clientName": "rival", "resumeSessionId": session_id}
        asked = [(wire, wire.post("initialize", params)) for wire in rivals]
        replies = [(wire, reply_to(wire, request_id)) for wire, request_id in asked]
        winners = [wire for wire, reply in replies if "result" in reply]
        assert len(winners) <= 1
        refused = {reply["error"]["code"] for _, reply in replies if "error" in reply}
        assert refused == {ErrorCode.SESSION_ATTACHED}
        if winners:
            return winners[0], [wire for wire in rivals if wire is not winners[0]]


def test_of_several_that_fight_for_a_session_one_has_it(
    sessions: Sessions, python: BoundPython, open_wire: OpenWire
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    rivals = [open_wire() for _ in range(2)]
    for number in range(10):
        talk.wire.drop()
        winner, rivals = fight([*rivals, open_wire()], session_id)
        winner.notify("initialized", {})
        talk = Conversation(winner, sessions.cwd)
        talk.write("p", b"%d\n" % number, f"w{number}")
        talk.until_output("p", b"got %d\n" % number)
    page = talk.call("process/read", processId="p")
    output = b"".join(base64.b64decode(chunk["chunk"]) for chunk in page["chunks"])
    assert output.endswith(b"ready\n" + b"".join(b"got %d\n" % number for number in range(10)))


def test_a_client_that_resumes_and_goes_at_once_does_no_harm(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    seen = last_seq(talk)
    sessions.faults.cut(How.RST)
    for _ in range(50):
        # Before the answer, or after it.
        wire = sessions.faults.open_wire()
        wire.post("initialize", {"clientName": "brief", "resumeSessionId": session_id})
        wire.drop()
    again = sessions.resume(session_id)
    again.write("p", b"x\n", "1")
    again.until_output("p", b"got x\n")
    assert [told.seq for told in again.told("p")] == [seen + 1]


def test_a_connection_that_the_executor_still_has_keeps_its_session(
    sessions: Sessions, python: BoundPython
) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    # Only the client knows that it is over.
    sessions.faults.cut(How.RST, Side.CLIENT)
    assert talk.wire.closed()[0] == 1006
    late = sessions.faults.open_wire()
    assert refusal(late, session_id) == ErrorCode.SESSION_ATTACHED
    sessions.faults.heal()
    again = sessions.resume(session_id)
    again.write("p", b"x\n", "1")
    again.until_output("p", b"got x\n")


def test_a_resume_that_comes_late_takes_nothing_away(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    # What the second connection asks for arrives only after the third has been answered.
    sessions.faults.script(script(Plan((Rule(before(UP, sessions.faults.opening + 1), Hold()),))))
    sessions.faults.cut(How.RST)
    late = sessions.faults.open_wire()
    params = {"clientName": "late", "resumeSessionId": session_id}
    asked = late.post("initialize", params)
    again = sessions.resume(session_id)
    sessions.faults.release()
    assert reply_to(late, asked)["error"]["code"] == ErrorCode.SESSION_ATTACHED
    again.write("p", b"x\n", "1")
    again.until_output("p", b"got x\n")


@pytest.mark.parametrize("first", [True, False], ids=["copy first", "copy last"])
def test_a_resume_that_comes_twice_counts_once(sessions: Sessions, python: BoundPython, first: bool) -> None:
    talk, session_id = sessions.open()
    start(talk, python, ANSWER)
    sessions.faults.cut(How.RST)
    opening = sessions.faults.opening
    while True:
        sessions.faults.script(script(Plan(duplicate=Duplicate(frames=opening + 1, first=first))))
        if first and sessions.faults.is_relayed:
            # Where it leads is good for one connection, and what is encrypted for that one for no other.
            with pytest.raises(ConnectFailed, match=r"answered with status 40[13]"):
                sessions.faults.open_wire()
            break
        twice = sessions.faults.open_wire()
        reply = twice.request("initialize", {"clientName": "twice", "resumeSessionId": session_id})
        if "error" in reply:
            assert reply["error"]["code"] == ErrorCode.SESSION_ATTACHED
        if first is ("error" in reply):
            break
        # The executor had not noticed the end of the connection before, and refused what came first.
        twice.drop()
    if first:
        if not sessions.faults.is_relayed:
            # The copy has the session, until the connection that it is a copy of ends.
            twice.drop()
        again = sessions.resume(session_id)
    else:
        twice.notify("initialized", {})
        again = Conversation(twice, sessions.cwd)
    again.write("p", b"x\n", "1")
    again.until_output("p", b"got x\n")


def test_a_client_that_closes_in_order_ends_its_session(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    pid = start(talk, python, SLEEP)
    talk.wire.close()
    assert fate(python, pid) == "gone"
    assert refusal(sessions.faults.open_wire(), session_id) == ErrorCode.INVALID_REQUEST


@pytest.mark.needs_feature("session-retention")
def test_a_session_may_end_with_its_connection(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open(retentionMs=0)
    pid = start(talk, python, SLEEP)
    sessions.faults.cut(How.RST)
    assert fate(python, pid) == "gone"
    assert refusal(sessions.faults.open_wire(), session_id) == ErrorCode.INVALID_REQUEST


@pytest.mark.needs_feature("session-retention")
@HOWS
def test_a_session_that_nobody_resumes_in_time_ends_with_its_processes(
    sessions: Sessions, python: BoundPython, how: How
) -> None:
    talk, session_id = sessions.open(retentionMs=300)
    pid = start(talk, python, SLEEP)
    assert fate(python, pid, seconds=0) == "alive"
    sessions.faults.cut(how)
    assert fate(python, pid) == "gone"
    assert refusal(sessions.faults.open_wire(), session_id) == ErrorCode.INVALID_REQUEST


def kept_by_resumes(sessions: Sessions, python: BoundPython, seconds: float) -> bool:
    """Comes back three times to a session that may be alone for so long; False if it was too late once."""
    talk, session_id = sessions.open(retentionMs=round(seconds * 1000))
    pid = start(talk, python, SLEEP)
    for _ in range(3):
        began = time.monotonic()
        sessions.faults.cut(How.RST)
        try:
            sessions.resume(session_id)
        except RpcError:
            if time.monotonic() - began < seconds:
                raise
            return False
        # Longer than the session may be alone; it is not alone.
        assert fate(python, pid, seconds=int(seconds) + 1) == "alive"
    sessions.faults.cut(How.RST)
    assert fate(python, pid) == "gone"
    return True


@pytest.mark.needs_feature("session-retention")
def test_a_resumed_session_has_its_whole_time_again(sessions: Sessions, python: BoundPython) -> None:
    # The first is quick, and too short where the machine is slow.
    assert any(kept_by_resumes(sessions, python, seconds) for seconds in (0.3, 2.5, 20))


@pytest.mark.needs_feature("session-retention")
def test_whoever_resumes_may_choose_another_time(sessions: Sessions, python: BoundPython) -> None:
    talk, session_id = sessions.open()
    pid = start(talk, python, SLEEP)
    sessions.faults.cut(How.RST)
    sessions.resume(session_id, retentionMs=100)
    sessions.faults.cut(How.RST)
    assert fate(python, pid) == "gone"


@pytest.mark.needs_feature("session-retention")
@pytest.mark.parametrize("asked", [0, 1, 300, 10**12, 10**30, None], ids=str)
def test_the_executor_tells_how_long_a_session_may_wait(sessions: Sessions, asked: int | None) -> None:
    params = {} if asked is None else {"retentionMs": asked}
    longest = initialize(sessions.faults.open_wire())["sessionRetentionMs"]
    granted = initialize(sessions.faults.open_wire(), **params)["sessionRetentionMs"]
    assert granted == (longest if asked is None else min(asked, longest))


@pytest.mark.needs_feature("session-retention")
@pytest.mark.parametrize("wrong", [-1, 0.5, "1", True], ids=str)
def test_a_time_that_is_none_is_refused(sessions: Sessions, wrong: object) -> None:
    wire = sessions.faults.open_wire()
    with pytest.raises(RpcError) as refused:
        initialize(wire, retentionMs=wrong)
    assert refused.value.code == ErrorCode.INVALID_PARAMS
    initialize(wire)


@pytest.mark.needs_feature("session-retention")
def test_acknowledgements_that_make_no_sense_do_no_harm(sessions: Sessions, python: BoundPython) -> None:
    talk, _ = sessions.open(acknowledges=True)
    start(talk, python, ANSWER)
    for params in (
        {"processId": "p", "seq": 10**9},
        {"processId": "p", "seq": -1},
        {"processId": "p", "seq": 0},
        {"processId": "nobody", "seq": 1},
    ):
        talk.wire.notify("process/acknowledge", params)
    talk.write("p", b"x\n", "1")
    talk.until_output("p", b"got x\n")
    page = talk.call("process/read", processId="p")
    assert [chunk["seq"] for chunk in page["chunks"]] == [told.seq for told in talk.told("p")]
