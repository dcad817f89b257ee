"""What a client holds on this executor: its processes and its open files."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from executors.process.base import Backend
from executors.protocol import methods
from executors.protocol.environment import Empty, EnvironmentInfo, EnvironmentStatus
from executors.server.environment import PLATFORM, environment_info
from executors.server.file_calls import FileCalls
from executors.server.handlers import Handler, handler
from executors.server.process_calls import ProcessCalls
from executors.server.workers import Workers

_log = logging.getLogger(__name__)


class Session:
    """Ends with its connection: processes are killed, handles closed.

    :param notify: sends a notification to the client.
    """

    def __init__(self, backend: Backend, workers: Workers, notify: Callable[[bytes], None]) -> None:
        self.session_id = str(uuid.uuid4())
        self.environment_info = environment_info(backend.can_resize)
        self.processes = ProcessCalls(backend, PLATFORM, notify)
        self.files = FileCalls(workers, PLATFORM)

    def handlers(self) -> dict[str, Handler]:
        """Returns all that may be called once the handshake is over, by name."""
        own = [
            handler(methods.ENVIRONMENT_INFO, self._environment_info),
            handler(methods.ENVIRONMENT_STATUS, self._environment_status),
        ]
        every = [*own, *self.processes.handlers(), *self.files.handlers()]
        return {one.method.name: one for one in every}

    async def close(self) -> None:
        """Leaves nothing behind; what resists is logged."""
        try:
            await self.processes.close()
        except ExceptionGroup as group:
            for error in group.exceptions:
                _log.error("session %s: %s", self.session_id, error)
        await self.files.close()

    def _environment_info(self, params: Empty) -> EnvironmentInfo:
        return self.environment_info

    def _environment_status(self, params: Empty) -> EnvironmentStatus:
        return EnvironmentStatus("ready")
