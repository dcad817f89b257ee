"""What a client holds on this executor: its processes and its open files."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from executors.process.base import Backend
from executors.protocol import methods
from executors.protocol.environment import Empty, EnvironmentInfo, EnvironmentStatus
from executors.server.confinements import Confinements
from executors.server.environment import PLATFORM, environment_info, with_sandbox
from executors.server.file_calls import FileCalls
from executors.server.handlers import Handler, handler
from executors.server.process_calls import ProcessCalls
from executors.server.sandboxed_files import SandboxedFiles
from executors.server.workers import Workers

_log = logging.getLogger(__name__)


class Session:
    """Ends with its connection: processes are killed, handles closed.

    :param notify: sends a notification to the client.
    :param confinements: of this session alone.
    """

    def __init__(
        self,
        backend: Backend,
        workers: Workers,
        notify: Callable[[bytes], None],
        confinements: Confinements | None = None,
    ) -> None:
        self.session_id = str(uuid.uuid4())
        self._info = environment_info(backend.can_resize)
        self.processes = ProcessCalls(backend, PLATFORM, notify, confinements)
        self._confinements = confinements
        sandboxed = None
        if confinements is not None:
            sandboxed = SandboxedFiles(backend, workers, confinements.separate())
        self.files = FileCalls(workers, PLATFORM, sandboxed)

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
