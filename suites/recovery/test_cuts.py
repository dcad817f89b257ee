"""A conversation with a process that is cut once, at any frame, comes to the same end as one that is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.faults import (
    CLEAR,
    At,
    ConnectionCounts,
    Direction,
    How,
    Plan,
    after,
    before,
    cut,
    script,
    within,
)
from fixtures.faults_fixture import open_faults
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.recovery.conversation import Conversation, left_running

SLOW = pytest.mark.skip_if_wine_exec(
    "a conversation takes a second there: each is cut after a frame, by one way"
)


@pytest.mark.parametrize("direction", list(Direction), ids=str)
@pytest.mark.parametrize(
    "make",
    [pytest.param(before, marks=SLOW), pytest.param(within, marks=SLOW), after],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize(
    "hows",
    [(How.FIN, How.RST), pytest.param((How.RST, How.FIN), marks=SLOW)],
    ids=["odd fin", "odd rst"],
)
def test_a_conversation_cut_at_any_frame(
    env: RunningEnvironment,
    client: SyncClient,
    python: BoundPython,
    workspace: Workspace,
    direction: Direction,
    make: Callable[[Direction, int], At],
    hows: tuple[How, How],
) -> None:
    env.need_frames()

    def hold(plan: Plan) -> tuple[Conversation, ConnectionCounts, int]:
        # A proxy of its own: what one client leaves under way is not taken for the next one's.
        with open_faults(env.url, script(plan), env.open_link, env.bearer) as faults:
            talk = Conversation()
            talk.hold(faults, python, workspace)
            talk.check()
            # The client has closed it, which a proxy that is late has yet to see.
            faults.until(lambda counts: not counts.connections[0].is_open)
            return talk, faults.counts.connections[0], faults.opening

    whole, first, opening = hold(CLEAR)
    assert (whole.unknown, whole.refused) == ([], 0)
    ended = {whole.pid}
    # Every frame by both ways, in two tests.
    frames = first.passed(direction).frames
    for frame in range(1, frames + 1):
        talk, first_of_it, _ = hold(cut(make(direction, frame), hows[(frame + 1) % 2]))
        # At the last one the ends themselves are about to end it; there may be one less than there were.
        assert first_of_it.cut is not None or frame >= first_of_it.passed(direction).frames
        # Without its first answer there is no session that could be resumed.
        assert not talk.refused or frame <= opening + 1
        ended.add(talk.pid)
    assert left_running(client, python, workspace, ended) == set()
