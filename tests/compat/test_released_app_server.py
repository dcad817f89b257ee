"""The released client's app server, against our executor on this machine and on a Windows one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fixtures.faults import DOWN, ChaosProxy, at_byte, cut, script
from harness.client.sync import blocking_context
from harness.executor_kinds import OWN
from tests.compat.model import StubModel, ended, patch, run, write
from tests.compat.peer import LIMIT_SECONDS, Peer
from tests.compat.record import PLATFORMS
from tests.compat.relay import Relay
from tests.support.watch import until

PATCH = """\
*** Begin Patch
*** Add File: new/größe.txt
+hello
*** Delete File: gone.txt
*** Update File: old.txt
*** Move to: moved.txt
@@
 one
-two
+zwei
*** End Patch
"""

LINES = 3000
# All that comes before the first output is shorter, and all the output is longer.
CUT_BYTES = 12_000


@dataclass(frozen=True)
class Place:
    """Where an executor works.

    :ivar url: of the executor.
    :ivar cwd: an empty folder, as the executor's system spells it.
    :ivar folder: the same, seen from this machine.
    :ivar python: a Python of the executor's system.
    :ivar interrupted: exit code of the shell whose command leaves with 3 when both are interrupted.
    """

    url: str
    cwd: str
    folder: Path
    python: str
    interrupted: int

    def within(self, name: str) -> Place:
        """Makes a folder, and returns the same place with that as its own."""
        (self.folder / name).mkdir()
        separator = "/" if self.cwd.startswith("/") else "\\"
        return replace(self, cwd=f"{self.cwd}{separator}{name}", folder=self.folder / name)

    def program(self, text: str) -> str:
        """Writes a program into the folder; returns the command line that runs it."""
        (self.folder / "program.py").write_text(text, encoding="utf-8")
        return f"{self.python} -u program.py"


PLACES = [
    pytest.param(each, id=each.environment, marks=pytest.mark.timeout(each.seconds + LIMIT_SECONDS))
    for each in PLATFORMS.values()
]


@pytest.fixture(scope="module", params=PLACES)
def machine(
    request: pytest.FixtureRequest, peer: Peer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    if request.param.environment == "local":
        folder = tmp_path_factory.mktemp("local")
        yield Place(request.getfixturevalue("executor_url"), str(folder), folder, sys.executable, 3)
        return
    environment = request.param.place(OWN)
    available = environment.available()
    if not available:
        pytest.skip(f"{request.param.environment}: {available}")
    with blocking_context(environment.start()) as up:
        assert up.host_view is not None
        folder = up.host_view.host_path(up.workspace_root)
        # The cmd of Wine forgets its command's exit code over an interrupt of its own.
        yield Place(up.url, up.workspace_root.render(), folder, up.facts["python"], 0)


@pytest.fixture
def place(machine: Place, request: pytest.FixtureRequest) -> Place:
    return machine.within(request.node.originalname)


def test_commands(peer: Peer, place: Place) -> None:
    where = place.program("import os, sys; print(os.getcwd()); sys.exit(7)")
    turn = peer.ask_app_server(
        [run("echo out"), run("echo err 1>&2"), run("exit 5"), run(where)], place.url, place.cwd
    )
    codes, outputs = zip(*map(ended, turn.outputs), strict=True)
    assert codes == (0, 0, 5, 7)
    # The shell may say something first: it reads the user's settings.
    assert [outputs[number].split()[-1] for number in (0, 1, 3)] == ["out", "err", place.cwd]
    assert {told["stream"] for told in turn.relay.notifications("process/output")} == {"stdout", "stderr"}
    assert turn.refusals() == []


def test_a_patch(peer: Peer, place: Place) -> None:
    for name, text in {"gone.txt": "x\n", "old.txt": "one\ntwo\n"}.items():
        (place.folder / name).write_bytes(text.encode())
    turn = peer.ask_app_server([patch(PATCH)], place.url, place.cwd)
    assert "Success" in turn.output
    found = {
        path.relative_to(place.folder).as_posix(): path.read_bytes().decode()
        for path in place.folder.rglob("*")
        if path.is_file()
    }
    assert found == {"new/größe.txt": "hello\n", "moved.txt": "one\nzwei\n"}
    assert turn.relay.methods()["fs/writeFile"] >= 2
    assert turn.relay.methods()["process/start"] == 0


WAITING = """\
import pathlib, sys, time
print("ready")
try:
    pathlib.Path("ready").touch()
    time.sleep(600)
except KeyboardInterrupt:
    print("caught")
    sys.exit(3)
"""


def wait_until_ready(place: Place) -> None:
    until((place.folder / "ready").exists, lambda: "the command does not come to wait")


def test_an_interrupt_lets_the_command_end_itself(peer: Peer, place: Place) -> None:
    calls = [
        run(place.program(WAITING), yield_time_ms=250),
        write("\x03", after=lambda: wait_until_ready(place), yield_time_ms=20_000),
    ]
    turn = peer.ask_app_server(calls, place.url, place.cwd)
    before = turn.outputs[0].partition("Output:\n")[2]
    code, shown = ended(turn.outputs[1])
    assert (code, (before + shown).split()) == (place.interrupted, ["ready", "caught"])
    assert turn.relay.methods()["process/signal"] == 1
    assert turn.refusals() == []


def test_the_command_of_a_turn_that_is_stopped_is_ended(peer: Peer, place: Place) -> None:
    calls = [run(place.program(WAITING), yield_time_ms=20_000)]
    with StubModel(calls) as model, Relay(place.url) as relay, peer.app_server(model) as app:
        app.use(relay.url, place.cwd)
        turn = app.ask()
        wait_until_ready(place)
        app.call("turn/interrupt", threadId=app.thread, turnId=turn)
        assert app.completed() == "interrupted"
        # A command that has not run for long ends with its turn, another one with this.
        app.call("thread/backgroundTerminals/clean", threadId=app.thread)
        until(lambda: bool(relay.notifications("process/closed")), lambda: "the command runs on")
        until(lambda: relay.called("process/terminate")[0].reply is not None, lambda: "no reply")
    (start,) = relay.called("process/start")
    terminate, *_ = relay.called("process/terminate")
    assert start.params["processId"] == terminate.params["processId"]
    assert terminate.reply is not None
    assert terminate.reply["result"] == {"running": True}


def test_a_command_tells_all_though_its_connection_is_cut(peer: Peer, place: Place) -> None:
    # In few pieces: the client forgets the command where more than 256 come before what it has missed.
    command = place.program(
        f"for first in range(0, {LINES}, 100): print(*range(first, first + 100), sep='\\n')"
    )
    plans = script(cut(at_byte(DOWN, CUT_BYTES)))
    with blocking_context(ChaosProxy(place.url, plans)) as proxy:
        turn = peer.ask_app_server([run(command)], proxy.url, place.cwd)
        assert proxy.counts.cuts == 1
    code, shown = ended(turn.output)
    assert (code, shown.split()) == (0, [str(number) for number in range(LINES)])
    first, *_, last = turn.relay.conversations
    assert b'"process/output"' in first.from_server
    assert not any(message.get("method") == "process/closed" for message in first.server_messages())
    resumed = [
        message["params"] for message in last.client_messages() if message.get("method") == "initialize"
    ]
    assert resumed[0]["resumeSessionId"] is not None
    assert turn.relay.called("process/read")
