"""One conversation with a process, over connections that may break at any moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from fixtures.faults_fixture import Faults
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.errors import ConnectFailed, OutcomeUnknown
from harness.client.events import ClosedEvent, Event, ExitedEvent, OutputEvent
from harness.client.recovery import RecoveryOptions
from harness.client.sync import SyncClient, connect_sync
from suites.process.programs import UNTIL_GONE
from suites.recovery.programs import CONVERSE

T = TypeVar("T")

RECOVERY = RecoveryOptions(retry_seconds=0.02)


@dataclass
class Conversation:
    """What came of one conversation.

    :ivar unknown: the calls whose outcome was not known, and that were made again.
    :ivar refused: how often the first connection did not come about.
    """

    unknown: list[str] = field(default_factory=list)
    refused: int = 0
    events: list[Event] = field(default_factory=list)

    @property
    def lines(self) -> list[bytes]:
        found = [event.data for event in self.events if isinstance(event, OutputEvent)]
        return b"".join(found).splitlines()

    def hold(self, faults: Faults, python: BoundPython, workspace: Workspace) -> None:
        """Starts a process; reads, writes, interrupts it, and waits for its end."""
        with ExitStack() as stack:
            self.talk(self._connect(faults, stack), python, workspace)

    def talk(self, client: SyncClient, python: BoundPython, workspace: Workspace) -> None:
        """The same with a client that is there."""
        argv = python.argv(CONVERSE)
        process = self._again("start", lambda: client.start(argv, stdin=True, cwd=workspace.uri))
        coming = process.events()
        self._until(b"ready", coming)
        process.write(b"one\n")
        self._until(b"got one", coming)
        self._again("interrupt", process.interrupt)
        self._until(b"handled", coming)
        process.write(b"end\n")
        self.events += coming
        assert process.wait() == 7

    def _connect(self, faults: Faults, stack: ExitStack) -> SyncClient:
        while True:
            try:
                return stack.enter_context(
                    connect_sync(faults.url, open_link=faults.open_link, recovery=RECOVERY)
                )
            except ConnectFailed:
                self.refused += 1

    def _again(self, name: str, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except OutcomeUnknown:
                self.unknown.append(name)

    def _until(self, text: bytes, coming: Iterator[Event]) -> None:
        while not any(line.startswith(text) for line in self.lines):
            self.events.append(next(coming))

    def check(self) -> None:
        """It must have been a whole one, however often it was cut."""
        handled = self.lines.count(b"handled")
        others = [line for line in self.lines if line != b"handled"]
        assert others[1:] == [b"got one", b"got end"]
        assert 1 <= handled <= 1 + self.unknown.count("interrupt")
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))
        # The exit does not wait for the output.
        ends = [type(event) for event in self.events if not isinstance(event, OutputEvent)]
        assert ends == [ExitedEvent, ClosedEvent]
        assert isinstance(self.events[-1], ClosedEvent)

    @property
    def pid(self) -> str:
        """Of the process that was talked to."""
        return self.lines[0].split()[1].decode()


def left_running(client: SyncClient, python: BoundPython, workspace: Workspace, ended: set[str]) -> set[str]:
    """The processes of conversations that still run, without those that are known to have ended."""
    listed = [entry.file_name for entry in client.files.read_directory(workspace.uri)]
    others = {name.removeprefix("pid-") for name in listed if name.startswith("pid-")} - ended
    return {pid for pid in others if python.run(UNTIL_GONE, pid, "60").text.strip() != "gone"}
