"""What is asked of an executor, one step after the other, and what came of each, as data.

A recording holds no machine's paths, ids or times, but placeholders: in what is sent, these are filled in; in
what came, each stands for anything of its kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.compat.differences import Difference

Json = dict[str, Any]

ROOT = "{root}"
"""Path of the folder with the files, as a URI has it behind file://."""
NATIVE = "{native}"
"""The same, as the executor's system spells it."""
LONG = "{long}"
"""More than a system takes for one argument."""
SESSION = "{session}"
"""Id of the session that the first connection began."""


@dataclass(frozen=True)
class Ask:
    """A call.

    :ivar differs: why the reply of ours may not be the same; then it must not be.
    :ivar on: name of the connection.
    :ivar again: repeated while the session is still another connection's.
    """

    method: str
    params: Any
    differs: Difference | None = None
    on: str = "first"
    again: bool = False


@dataclass(frozen=True)
class Say:
    """Any message, or what is none; the next message with an id is its reply, if the connection stays.

    :ivar text: what is sent.
    """

    text: str
    differs: Difference | None = None
    on: str = "first"


@dataclass(frozen=True)
class Tell:
    """A notification."""

    method: str
    on: str = "first"


@dataclass(frozen=True)
class Wait:
    """Goes on once this has been notified of a process."""

    process_id: str
    method: str = "process/closed"
    on: str = "first"


@dataclass(frozen=True)
class Cut:
    """Ends a connection without a word."""

    on: str = "first"


Step = Ask | Say | Tell | Wait | Cut
_STEPS: dict[str, type[Step]] = {kind.__name__.lower(): kind for kind in (Ask, Say, Tell, Wait, Cut)}


@dataclass(frozen=True)
class Came:
    """A step, and what came of it.

    :ivar reply: ``{"result": …}`` or ``{"error": …}``, of :class:`Say` with the id; None if the connection
        ended, and for steps that ask for nothing.
    """

    step: Step
    reply: Json | None = None

    def to_json(self) -> Json:
        shown = {key: value for key, value in vars(self.step).items() if value != _default(self.step, key)}
        if isinstance(self.step, Ask | Say) and self.step.differs is not None:
            shown["differs"] = self.step.differs.name
        step = {type(self.step).__name__.lower(): shown}
        return step | {"reply": self.reply} if isinstance(self.step, Ask | Say) else step

    @classmethod
    def from_json(cls, line: Json) -> Came:
        (name, shown), *_ = line.items()
        if "differs" in shown:
            shown["differs"] = Difference[shown["differs"]]
        return cls(_STEPS[name](**shown), line.get("reply"))


def _default(step: Step, name: str) -> Any:
    return type(step).__dataclass_fields__[name].default


@dataclass
class Recording:
    """All that came of a script.

    :ivar told: what was notified of each process, in order, with the output of each stream as one.
    """

    steps: list[Came] = field(default_factory=list)
    told: dict[str, list[Json]] = field(default_factory=dict)

    def to_lines(self) -> Iterator[str]:
        for came in self.steps:
            yield json.dumps(came.to_json(), ensure_ascii=False)
        for process_id, notifications in self.told.items():
            line = {"told": {"processId": process_id, "notifications": notifications}}
            yield json.dumps(line, ensure_ascii=False)

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Recording:
        found = cls()
        for line in map(json.loads, lines):
            if "told" in line:
                found.told[line["told"]["processId"]] = line["told"]["notifications"]
            else:
                found.steps.append(Came.from_json(line))
        return found
