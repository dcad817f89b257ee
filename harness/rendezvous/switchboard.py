"""Which stream belongs to which connections. No I/O: it is told what happens and says what to do.

An environment has one executor at a time, on one connection that carries many streams; a harness has a
connection for each stream, whose id it chooses. Nobody reaches a stream that is not its own.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Link = TypeVar("Link", bound=Hashable)
"""What stands for a connection; the switchboard only passes it on."""


class Refused(Exception):
    """Whoever sent this must go; the text says why."""


@dataclass
class _Executor(Generic[Link]):
    link: Link
    registration: str
    streams: dict[str, Link] = field(default_factory=dict)


@dataclass
class _Harness:
    environment: str
    registration: str
    stream: str | None = None


@dataclass(frozen=True)
class Left(Generic[Link]):
    """What a connection that is gone leaves behind.

    :ivar harnesses: connections that are of no use any more.
    :ivar executor: the connection that a stream's end is to be told on; None if there is none.
    :ivar stream: that stream.
    """

    harnesses: tuple[Link, ...] = ()
    executor: Link | None = None
    stream: str | None = None


class Switchboard(Generic[Link]):
    """The connections of all environments."""

    def __init__(self) -> None:
        self._executors: dict[str, _Executor[Link]] = {}
        self._environments: dict[Link, str] = {}
        self._harnesses: dict[Link, _Harness] = {}
        self._per_environment: dict[str, set[Link]] = {}

    @property
    def executors(self) -> int:
        """How many are connected."""
        return len(self._executors)

    @property
    def streams(self) -> int:
        """How many have been begun and not ended."""
        return sum(len(each.streams) for each in self._executors.values())

    @property
    def harnesses(self) -> int:
        """How many are connected."""
        return len(self._harnesses)

    def has_executor(self, environment: str, registration: str) -> bool:
        """Whether the executor of that registration is connected."""
        found = self._executors.get(environment)
        return found is not None and found.registration == registration

    def executor_of(self, environment: str) -> Link | None:
        """Returns the connection of an environment's executor."""
        found = self._executors.get(environment)
        return None if found is None else found.link

    def is_executor(self, link: Link) -> bool:
        """Whether it is the connection of an executor, and not forgotten."""
        return link in self._environments

    def stream_of(self, environment: str, stream: str) -> Link | None:
        """Returns the harness' connection of a stream."""
        found = self._executors.get(environment)
        return None if found is None else found.streams.get(stream)

    def add_executor(self, link: Link, environment: str, registration: str) -> tuple[Link, ...]:
        """Takes the executor of an environment; returns the connections that end by that: its own earlier
        one, which may be half-open, and those of the harnesses that were talking to it."""
        ended: tuple[Link, ...] = ()
        earlier = self._executors.get(environment)
        if earlier is not None:
            ended = (earlier.link, *self.remove(earlier.link).harnesses)
        self._executors[environment] = _Executor(link, registration)
        self._environments[link] = environment
        return ended

    def add_harness(self, link: Link, environment: str, registration: str) -> None:
        """Takes a harness.

        :raises Refused: the executor that it was given is not connected.
        """
        if not self.has_executor(environment, registration):
            raise Refused("the executor is not connected")
        self._harnesses[link] = _Harness(environment, registration)
        self._per_environment.setdefault(environment, set()).add(link)

    def from_harness(self, link: Link, stream: str) -> tuple[Link, bool]:
        """Returns where a harness' frame goes, and whether it is the first of its stream.

        :raises Refused: it is of a stream that is not the harness' own.
        """
        harness = self._harnesses[link]
        executor = self._executors[harness.environment]
        if harness.stream is None:
            if not stream:
                raise Refused("a frame has no stream id")
            if stream in executor.streams:
                raise Refused("the stream belongs to another connection")
            harness.stream = stream
            executor.streams[stream] = link
            return executor.link, True
        if harness.stream != stream:
            raise Refused("a connection carries one stream, and the frame is of another one")
        return executor.link, False

    def from_executor(self, link: Link, stream: str) -> Link | None:
        """Returns where an executor's frame goes; None if there is no such stream any more."""
        return self._executors[self._environments[link]].streams.get(stream)

    def remove(self, link: Link) -> Left[Link]:
        """Forgets a connection; one that is unknown, or forgotten already, leaves nothing."""
        environment = self._environments.pop(link, None)
        if environment is not None:
            del self._executors[environment]
            harnesses = tuple(self._per_environment.pop(environment, ()))
            for each in harnesses:
                del self._harnesses[each]
            return Left(harnesses)
        harness = self._harnesses.pop(link, None)
        if harness is None:
            return Left()
        others = self._per_environment[harness.environment]
        others.remove(link)
        if not others:
            del self._per_environment[harness.environment]
        if harness.stream is None:
            return Left()
        executor = self._executors[harness.environment]
        del executor.streams[harness.stream]
        return Left((), executor.link, harness.stream)
