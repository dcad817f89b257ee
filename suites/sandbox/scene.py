"""A place to try things in, and judges who stand outside of the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython
from fixtures.workspace import Workspace
from harness.client.events import OutputEvent
from harness.client.sync import SyncProcess
from suites.sandbox.attempts import program
from suites.sandbox.file_attempts import FILES
from suites.sandbox.intents import Json, at, intent, special
from suites.sandbox.outer import LISTENER, LOOK_AGAIN, MAKE_SCENE, VICTIM

TELLS_NOTHING = frozenset({"EINVAL", "EFAULT", "EBADF", "E2BIG", "ENOTSUP", "EOPNOTSUPP"})
"""Errors that come of a wrong question: they show no sandbox at work."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt.

    :ivar refused: the executor did not start it at all: it cannot enforce the intent.
    :ivar done: what was tried could be done, as far as the program can tell.
    :ivar got: what it returned.
    :ivar error: the name of the errno.
    :ivar missing: what the system does not have for it.
    :ivar failed: how the attempt itself is wrong.
    :ivar kept: what it was about is as it was, as seen from outside.
    """

    refused: RpcError | None = None
    done: bool = False
    got: Any = None
    error: str = ""
    missing: str | None = None
    failed: str | None = None
    kept: bool = True

    def require_tried(self) -> None:
        """Skips where the system has no such thing; fails where the attempt shows nothing."""
        if self.missing is not None:
            pytest.skip(self.missing)
        assert self.failed is None, self.failed
        assert self.error not in TELLS_NOTHING, f"{self.error} shows no sandbox at work"


class Scene:
    """Directories ``inside`` and ``outside`` in a workspace, and what a test puts there."""

    def __init__(self, workspace: Workspace, python: BoundPython, interpreter: Sequence[str]) -> None:
        self._workspace = workspace
        self._python = python
        self._interpreter = interpreter
        workspace.mkdir("inside")
        workspace.mkdir("outside")

    def __truediv__(self, name: str) -> PathUri:
        return self._workspace / name

    @property
    def home(self) -> PathUri:
        """What all of it is in."""
        return self._workspace.uri

    def native(self, name: str) -> str:
        return self._workspace.native(name)

    def look(self, name: str) -> Any:
        """Says what is at *name* now: all that a program could change."""
        return json.loads(self._python.run(LOOK_AGAIN, self.native(name)).stdout)

    def named(self, *entries: Json, network: str = "restricted") -> Json:
        """An intent of *entries* and what it takes to run Python, nothing else."""
        needed = [at(self / path, "read") for path in self._interpreter]
        return intent(special("minimal", "read"), *needed, *entries, network=network)

    def try_files(
        self, tried: Sequence[str], sandbox: Json, *, place: str = "outside", tty: bool = False
    ) -> dict[str, Outcome]:
        """Tries some of :data:`FILES`, each with a directory of its own in *place*."""
        before = json.loads(self._python.run(MAKE_SCENE, self._workspace.path, " ".join(tried), place).stdout)
        wanted = [(name, [self.native(f"{place}/{name}"), self.native(f"inside/{name}")]) for name in tried]
        found = self.attempts(FILES, wanted, sandbox, tty=tty)
        after = self.look(place)
        same = {name: before["entries"][name] == after["entries"].get(name) for name in tried}
        others = before | {"entries": None} == after | {"entries": None} and len(same) == len(
            after["entries"]
        )
        return {name: replace(outcome, kept=same[name] and others) for name, outcome in found.items()}

    def attempts(
        self, functions: str, tried: Sequence[tuple[str, list[Any]]], sandbox: Json, *, tty: bool = False
    ) -> dict[str, Outcome]:
        """Tries some of *functions* under an intent, each with arguments of its own.

        :raises RpcError: nothing was started for another reason than that the intent cannot be enforced.
        """
        arguments = [json.dumps(one) for one in tried]
        try:
            result = self._python.run(
                program(functions), *arguments, check=False, sandbox=sandbox, tty=tty, cwd=self / "inside"
            )
        except RpcError as error:
            if error.code != ErrorCode.INVALID_PARAMS:
                raise
            return {name: Outcome(refused=error) for name, _ in tried}
        told = [json.loads(line) for line in result.screen.splitlines() if line.startswith("{")]
        assert len(told) == len(tried), f"it ended with {result.exit_code}: {result.text}{result.error_text}"
        return {name: Outcome(**answer) for (name, _), answer in zip(tried, told, strict=True)}

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """Somebody outside listens on every kind of socket."""
        with self._python.start(LISTENER, self.native("outside"), stdin=True) as process:
            yield Listener(process)

    @contextmanager
    def victim(self) -> Iterator[Victim]:
        """A process of somebody outside, in ``outside``."""
        with self._python.start(VICTIM, self.native("outside"), stdin=True) as process:
            yield Victim(process)


class _Lines:
    """What a program prints, line by line."""

    def __init__(self, process: SyncProcess) -> None:
        self._events = process.events()
        self._data = b""

    def next(self) -> Any:
        """:raises AssertionError: it has ended."""
        while b"\n" not in self._data:
            event = next(self._events, None)
            assert event is not None, f"it has ended: {self._data.decode(errors='replace')}"
            if isinstance(event, OutputEvent):
                self._data += event.data
        line, _, self._data = self._data.partition(b"\n")
        return json.loads(line)


class Listener:
    """:ivar where: the addresses, by the kind of socket."""

    def __init__(self, process: SyncProcess) -> None:
        self._process = process
        self._lines = _Lines(process)
        self.where: dict[str, Any] = self._lines.next()

    def reached(self) -> list[str]:
        """Ends it, and says which kinds of sockets were reached."""
        self._process.close_stdin()
        reached: list[str] = self._lines.next()
        return reached


class Victim:
    """:ivar told: ``pid``, ``address`` of eight bytes, ``fd`` of a file that it holds, ``executor``."""

    def __init__(self, process: SyncProcess) -> None:
        self._process = process
        self._lines = _Lines(process)
        self.told: dict[str, Any] = self._lines.next()

    def state(self) -> Any:
        """Asks it how it is.

        :raises AssertionError, StdinClosed: it is dead.
        """
        self._process.write(b"?\n")
        return self._lines.next()
