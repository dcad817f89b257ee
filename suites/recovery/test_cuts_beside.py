"""A conversation that is cut comes to its end also while other processes of its session talk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import pytest

from fixtures.faults import CLEAR, Direction, How, Plan, after, cut, script
from fixtures.faults_fixture import Faults
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.errors import OutcomeUnknown
from harness.client.sync import SyncClient
from suites.recovery.conversation import RECOVERY, Conversation, left_running
from suites.recovery.programs import CHATTER, STREAM

STREAMED_BLOCKS = 64 * 1024 * 1024 // 65536

Beside = Callable[[SyncClient, BoundPython, str, int], AbstractContextManager[None]]


@contextmanager
def fifty_chatter(client: SyncClient, python: BoundPython, pause: str, parts: int) -> Iterator[None]:
    processes = [client.start(python.argv(CHATTER, pause), stdin=True) for _ in range(50)]
    yield
    for process in processes:
        done = process.communicate(b"")
        assert done.stdout.split() == [b"%d" % number for number in range(int(done.stderr))]


@contextmanager
def one_streams(client: SyncClient, python: BoundPython, pause: str, parts: int) -> Iterator[None]:
    """A part of 64 MiB, which all conversations stream together."""
    blocks = STREAMED_BLOCKS // parts + 1
    process = None
    while process is None:
        # The connection of the conversation before may still be about to be cut.
        with suppress(OutcomeUnknown):
            process = client.start(python.argv(STREAM, "1", str(blocks)))
    yield
    done = process.communicate()
    assert len(done.stdout) == blocks * 65536
    assert hashlib.sha256(done.stdout).hexdigest() == done.stderr.decode()


# Sixty conversations, which took more than a minute on a busy machine.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("direction", list(Direction), ids=str)
@pytest.mark.parametrize(
    ("beside", "is_once"), [(fifty_chatter, True), (one_streams, False)], ids=["chatter", "stream"]
)
def test_a_conversation_beside_others_cut_all_over(
    env: RunningEnvironment,
    faults: Faults,
    client: SyncClient,
    python: BoundPython,
    workspace: Workspace,
    direction: Direction,
    beside: Beside,
    is_once: bool,
) -> None:
    # All is many times slower on Windows, and more so under Wine.
    rounds, pause = (4, "0.5") if env.platform == "windows" else (60, "0.05")
    talker = faults.connect(recovery=RECOVERY)
    ended = set()

    def hold(plan: Plan) -> int:
        """Talks over a connection that has this plan from its beginning; returns how many frames it had."""
        before = faults.counts.accepted
        with ExitStack() as others:
            if not is_once:
                others.enter_context(beside(talker, python, pause, rounds + 1))
            faults.script(script(plan))
            faults.cut(How.RST)
            talk = Conversation()
            talk.talk(talker, python, workspace)
        talk.check()
        ended.add(talk.pid)
        return sum(one.passed(direction).frames for one in faults.counts.connections[before:])

    with ExitStack() as all_along:
        if is_once:
            all_along.enter_context(beside(talker, python, pause, 1))
        frames = hold(CLEAR)
        for number in range(rounds):
            frame = 1 + frames * number // rounds
            hold(cut(after(direction, frame), (How.FIN, How.RST)[number % 2]))
    # One connection may have had fewer frames than the first; each was cut by hand, most also by its plan.
    assert faults.counts.cuts >= rounds + rounds // 2
    assert left_running(client, python, workspace, ended) == set()
