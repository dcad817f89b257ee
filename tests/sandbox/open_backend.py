"""A sandbox backend that confines nothing, for tests of all that is around backends."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from executors.process.base import SpawnRequest
from executors.sandbox.backend import Evidence
from executors.sandbox.policy import Policy


class Open:
    """Fails and gives evidence as it is told.

    :ivar confined: what was made, in its order.
    """

    name = "open"
    sees_denials = False
    ways = 1

    def __init__(self) -> None:
        self.confined: list[OpenConfinement] = []
        self.fails: Exception | None = None
        self.fails_to_wrap: Exception | None = None
        self.fails_to_start: Exception | None = None
        self.evidence: Evidence | None = None

    @property
    def held(self) -> int:
        return sum(not one.closed for one in self.confined)

    def missing(self) -> str | None:
        return None

    def lacks(self, policy: Policy) -> str | None:
        return "it cannot open the network" if policy.network else None

    def confine(self, policy: Policy) -> OpenConfinement:
        if self.fails is not None:
            raise self.fails
        self.confined.append(OpenConfinement(self))
        return self.confined[-1]


class OpenConfinement:
    def __init__(self, backend: Open) -> None:
        self._backend = backend
        self.started: list[int] = []
        self.closed = False

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        if self._backend.fails_to_wrap is not None:
            raise self._backend.fails_to_wrap
        return msgspec.structs.replace(request, env=request.env | {"WRAPPED": "1"})

    def start(self, spawn: Callable[[], int]) -> int:
        if self._backend.fails_to_start is not None:
            raise self._backend.fails_to_start
        assert not self.closed
        self.started.append(spawn())
        return self.started[-1]

    def evidence(self, pid: int) -> Evidence | None:
        assert pid in self.started
        return self._backend.evidence

    def close(self) -> None:
        assert not self.closed
        self.closed = True
