"""The released exec-server where it dials out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from harness.environments.base import Running
from harness.environments.place import Place
from harness.environments.relayed import RelayedEnvironment
from harness.executor_kinds.codex.checks import check_version, failures_told, workspace_removed
from harness.executor_kinds.codex.local import CodexLocal


class CodexRelayed(RelayedEnvironment):
    """Runs it as :class:`RelayedEnvironment` runs this package's executor.

    :param place: where: :class:`CodexLocal`, or one of the others.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._is_local = isinstance(place, CodexLocal)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with failures_told():
            async with super().start() as up:
                with workspace_removed(up, self._is_local):
                    yield check_version(up)
