"""What a client has on this executor, whatever becomes of its connections: its processes."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from executors.process.base import Backend
from executors.protocol import methods
from executors.protocol.environment import Empty, EnvironmentInfo, EnvironmentStatus
from executors.server.confinements import Confinements
from executors.server.environment import PLATFORM, environment_info, with_sandbox
from executors.server.handlers import Handler, handler
from executors.server.outlet import Outlet
from executors.server.process_calls import ProcessCalls

_log = logging.getLogger(__name__)


class Session:
    """Processes that run on while no connection is attached.

    :param confinements: of this session alone.
    """

    def __init__(self, backend: Backend, confinements: Confinements | None = None) -> None:
        self.session_id = str(uuid.uuid4())
        self._info = environment_info(backend.can_resize)
        self._outlet = Outlet()
        self.processes = ProcessCalls(backend, PLATFORM, self._outlet, confinements)
        self._confinements = confinements

    def attach(self, send: Callable[[bytes], None], acknowledges: bool) -> None:
        """From now on, events go out by *send*."""
        self._outlet.acknowledges = acknowledges
        self._outlet.send = send
        self.processes.attached()

    def detach(self) -> None:
        """From now on, events wait for the next connection."""
        self._outlet.send = None
        self.processes.detached()

    def handlers(self) -> list[Handler]:
        return [
            handler(methods.ENVIRONMENT_INFO, self._environment_info),
            handler(methods.ENVIRONMENT_STATUS, self._environment_status),
            *self.processes.handlers(),
        ]

    async def close(self) -> None:
        """Leaves nothing behind; what resists is logged."""
        try:
            await self.processes.close()
        except ExceptionGroup as group:
            for error in group.exceptions:
                _log.error("session %s: %s", self.session_id, error)
        if self._confinements is not None:
            self._confinements.close()

    @property
    def environment_info(self) -> EnvironmentInfo:
        """What is known by now."""
        offered = None if self._confinements is None else self._confinements.offered_by_now()
        return with_sandbox(self._info, offered)

    async def _environment_info(self, params: Empty) -> EnvironmentInfo:
        offered = () if self._confinements is None else await self._confinements.offered()
        return with_sandbox(self._info, offered)

    def _environment_status(self, params: Empty) -> EnvironmentStatus:
        return EnvironmentStatus("ready")
