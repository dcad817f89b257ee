"""How a client gets from Connected by Recovering to Connected again, or to Failed."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from fixtures.faults import DOWN, UP, Duplicate, How, Plan, Reach, Side, after, before, cut, script
from fixtures.faults_fixture import Faults
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.errors import CallTimeout, ConnectFailed, Interrupted, OutcomeUnknown, SessionLost
from harness.client.events import Event, OutputEvent
from harness.client.links import LinkOptions
from harness.client.recovery import RecoveryOptions, State
from harness.client.sync import SyncClient, SyncProcess
from suites.process.programs import ANSWER, SLEEP, UNTIL_GONE
from suites.recovery.own_executor import STOP, own_executor
from suites.recovery.programs import UNTIL_FILE

QUICK = RecoveryOptions(retry_seconds=0.02)
BRIEF = RecoveryOptions(give_up_seconds=1.0, retry_seconds=0.02)
SAY_IN_FILES = """
import os, time
for name, text in (("pid", b"%d" % os.getpid()), ("started", b"")):
    with open(name, "wb") as file:
        file.write(text)
time.sleep(600)
"""
HOWS = pytest.mark.parametrize("how", list(How), ids=str)


def until(text: bytes, events: Iterator[Event]) -> bytes:
    """Waits for *text* in the output; returns it with what came before it."""
    found = b""
    while text not in found:
        event = next(events)
        found += event.data if isinstance(event, OutputEvent) else b""
    return found


def status(client: SyncClient) -> None:
    client.call(ENVIRONMENT_STATUS, Empty())


class Later:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append(self._call())
        except Exception as error:
            self._outcome.append(error)

    @property
    def waits(self) -> bool:
        return not self._outcome

    def outcome(self) -> Any:
        """What it returned or raised."""
        self._thread.join(60)
        assert self._outcome, "it did not end"
        return self._outcome[0]


@HOWS
def test_a_client_connects_again_by_itself(faults: Faults, python: BoundPython, how: How) -> None:
    client = faults.connect(recovery=QUICK)
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    assert (client.state, client.generation, client.recovered) == (State.CONNECTED, 1, 0)
    session_id = client.session_id
    for number in range(1, 4):
        faults.cut(how)
        # It need not have noticed: the write waits, or is made again.
        process.write(b"%d\n" % number)
        until(b"got %d" % number, events)
        assert (client.state, client.recovered) == (State.CONNECTED, number)
        assert client.generation >= number + 1
        assert client.session_id == session_id
    process.terminate()


def test_calls_wait_while_it_recovers(faults: Faults, python: BoundPython, workspace: Workspace) -> None:
    client = faults.connect(recovery=QUICK)
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    faults.refuse()
    faults.cut()
    while client.state is State.CONNECTED:
        with pytest.raises((CallTimeout, Interrupted)):
            client.call(ENVIRONMENT_STATUS, Empty(), timeout=0.5)
    assert client.state is State.RECOVERING
    calls = [
        Later(lambda: status(client)),
        Later(lambda: process.write(b"late\n")),
        Later(lambda: client.run(python.argv("print('new')")).stdout.split()),
        Later(lambda: client.files.write_file(workspace / "f", b"data")),
    ]
    with pytest.raises(CallTimeout):
        client.call(ENVIRONMENT_STATUS, Empty(), timeout=0.2)
    assert all(call.waits for call in calls)
    faults.heal()
    assert [call.outcome() for call in calls] == [None, None, [b"new"], None]
    until(b"got late", events)
    assert workspace.read("f") == b"data"


def test_a_session_that_is_still_attached_is_tried_again(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=QUICK)
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    # The executor does not know that the connection is over.
    faults.cut(How.RST, Side.CLIENT)
    faults.until(lambda counts: counts.answered >= 4)
    assert client.state is State.RECOVERING
    faults.heal()
    process.write(b"x\n")
    until(b"got x", events)
    assert client.recovered == 1


@pytest.mark.parametrize(
    "plans",
    [
        [Plan(reach=Reach.REFUSED)] * 3,
        [cut(before(DOWN, 0))] * 3,
        [cut(after(UP, 0), How.RST)] * 3,
        [cut(before(DOWN, 1)), cut(after(DOWN, 1)), cut(after(UP, 2)), cut(before(DOWN, 2))],
        [Plan(duplicate=Duplicate(frames=1, first=True))],
    ],
    ids=["refused", "no answer", "reset", "in the handshake and after it", "twice"],
)
def test_attempts_that_fail_are_followed_by_others(
    faults: Faults, python: BoundPython, plans: list[Plan]
) -> None:
    client = faults.connect(recovery=QUICK)
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    more = 0
    for number in range(20):
        connections = faults.counts.accepted
        faults.script(script(*plans))
        faults.cut()
        process.write(b"%d\n" % number)
        until(b"got %d" % number, events)
        more = faults.counts.accepted - connections
        if more > len(plans):
            break
        # The executor had still the one before, and refused the copy in place of the original.
        assert plans[-1].duplicate is not None
    assert more > len(plans)


def test_an_attempt_that_is_not_answered_ends_in_time(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=QUICK, options=LinkOptions(open_seconds=0.3))
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    faults.script(script(Plan(reach=Reach.BLACKHOLE), Plan(reach=Reach.BLACKHOLE)))
    faults.cut()
    process.write(b"x\n")
    until(b"got x", events)


def test_a_process_of_which_nobody_knows_is_ended(
    faults: Faults, python: BoundPython, workspace: Workspace
) -> None:
    # Its start arrives, and the answer does not; and the client comes back only after the process has begun.
    faults.script(script(cut(after(UP, faults.opening + 3)), then=Plan(reach=Reach.REFUSED)))
    client = faults.connect(recovery=QUICK)
    with pytest.raises(OutcomeUnknown):
        client.start(python.argv(SAY_IN_FILES), cwd=workspace.uri)
    python.run(UNTIL_FILE, "started")
    pid = workspace.read("pid").decode()
    assert python.run(UNTIL_GONE, pid, "0").text.strip() == "alive"
    faults.heal()
    assert python.run(UNTIL_GONE, pid, "60").text.strip() == "gone"
    # The session goes on: it was not the end of that.
    assert client.run(python.argv("print('here')")).stdout.split() == [b"here"]


def test_a_first_connection_is_not_tried_again(faults: Faults) -> None:
    # Not after the question: an answer that is quick enough would still come through.
    faults.script(script(cut(before(DOWN, 1))))
    with pytest.raises(ConnectFailed):
        faults.connect(recovery=QUICK)
    assert faults.counts.accepted == 1


def failed(client: SyncClient, process: SyncProcess) -> SessionLost:
    """Waits until the session is lost; everything has to fail with the one reason then."""
    lost = client.wait_lost(timeout=60)
    assert client.state is State.FAILED
    for call in (
        lambda: status(client),
        lambda: client.start(["x"]),
        process.wait,
        lambda: process.write(b"x"),
        lambda: client.files.read_file("file:///x"),
        lambda: list(process.events()),
    ):
        with pytest.raises(SessionLost) as caught:
            call()
        assert caught.value.why == lost.why
    return lost


def test_it_gives_up_in_time(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=BRIEF)
    process = client.start(python.argv(SLEEP), stdin=True)
    until(b"ready", process.events())
    faults.refuse()
    waiting = Later(process.wait)
    faults.cut()
    assert "not resumed within 1 s" in failed(client, process).why
    assert isinstance(waiting.outcome(), SessionLost)
    # Nor does it come back when it could.
    faults.heal()
    assert client.state is State.FAILED


@pytest.mark.needs_feature("session-retention")
def test_an_expired_session_is_told_at_once(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=RecoveryOptions(retention_seconds=0.2, retry_seconds=0.02))
    process = client.start(python.argv("import os\nprint(os.getpid())\n" + SLEEP), stdin=True)
    pid = until(b"ready", process.events()).split()[0].decode()
    faults.refuse()
    faults.cut()
    assert python.run(UNTIL_GONE, pid, "60").text.strip() == "gone"
    faults.heal()
    assert failed(client, process).why.startswith("the executor does not resume it: unknown or expired")


def test_a_client_need_not_recover(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=RecoveryOptions(enabled=False))
    process = client.start(python.argv(SLEEP), stdin=True)
    until(b"ready", process.events())
    faults.cut()
    failed(client, process)
    assert faults.counts.accepted == 1


def test_a_client_that_closes_while_it_recovers_ends(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=QUICK)
    client.start(python.argv(SLEEP), stdin=True)
    faults.refuse()
    faults.cut()
    waiting = Later(lambda: status(client))
    faults.close_clients()
    assert isinstance(waiting.outcome(), (SessionLost, Interrupted))
    assert client.state in (State.CLOSED, State.FAILED)


def test_a_half_open_connection_is_noticed(faults: Faults, python: BoundPython) -> None:
    client = faults.connect(recovery=QUICK)
    process = client.start(python.argv(ANSWER), stdin=True)
    events = process.events()
    until(b"ready", events)
    # From now on both ends hear nothing; each asks after 10 s, and waits for as long again.
    faults.swallow()
    process.write(b"x\n")
    until(b"got x", events)
    assert client.recovered == 1


@pytest.mark.parametrize("is_killed", [False, True], ids=["asked to end", "killed"])
def test_an_executor_that_ends(
    env: RunningEnvironment, client: SyncClient, python: BoundPython, faults: Faults, is_killed: bool
) -> None:
    with own_executor(env, client, python) as own:
        faults.retarget(own.url, own.links)
        there = faults.connect(recovery=BRIEF)
        process = there.start(python.argv(SLEEP), stdin=True)
        until(b"ready", process.events())
        waiting = Later(process.wait)
        if is_killed:
            own.kill()
        else:
            own.end()
        why = failed(there, process).why
        assert isinstance(waiting.outcome(), SessionLost)
        # One that ends in order says so, and nobody has to wait.
        assert ("not resumed within 1 s" if is_killed else "the executor has ended") in why
        faults.close_clients()


@pytest.mark.parametrize("is_patient", [True, False], ids=["patient", "impatient"])
def test_an_executor_that_stands_still_for_five_seconds(
    env: RunningEnvironment, client: SyncClient, python: BoundPython, faults: Faults, is_patient: bool
) -> None:
    # What an impatient client asks for meanwhile comes late, and more than once.
    impatient = LinkOptions(open_seconds=0.5, ping_seconds=1.0, pong_seconds=1.0)
    with own_executor(env, client, python) as own:
        faults.retarget(own.url, own.links)
        there = faults.connect(recovery=QUICK, options=LinkOptions() if is_patient else impatient)
        process = there.start(python.argv(ANSWER), stdin=True)
        events = process.events()
        until(b"ready", events)
        stopper = client.start(python.argv(STOP, str(own.pid), "5"))
        told = stopper.events()
        until(b"stopped", told)
        for number in range(5):
            process.write(b"%d\n" % number)
            until(b"got %d" % number, events)
        until(b"going", told)
        # Through a relay it is the rendezvous that answers pings, and asks the executor itself.
        assert (there.recovered == 0) is (is_patient or faults.is_relayed)
        faults.close_clients()
