"""The manager of environments for code that is not asynchronous; see :mod:`harness.client.sync`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from harness.client.sync import DEFAULT_TIMEOUT, Face, SyncClient, blocking, blocking_face
from harness.environments.lifecycle import EnvironmentState
from harness.environments.manager import CONNECT_SECONDS, EnvironmentManager
from harness.environments.sources import Source


class SyncEnvironmentManager(Face[EnvironmentManager]):
    """See :class:`harness.environments.manager.EnvironmentManager`; made by :func:`manage_sync`.

    Its methods may be called from several threads. What a source makes, it makes on the event loop that all
    blocking clients share, so it must not block there.
    """

    drop = blocking(EnvironmentManager.drop)

    @property
    def names(self) -> list[str]:
        return self._target.names

    def state(self, name: str) -> EnvironmentState:
        """See :meth:`EnvironmentManager.state`."""

        async def look() -> EnvironmentState:
            return self._target.state(name)

        return self._run(f"state({name!r})", look())

    def register(
        self,
        name: str,
        source: Source,
        *,
        connect_timeout: float = CONNECT_SECONDS,
        lazy: bool | None = None,
    ) -> None:
        """See :meth:`EnvironmentManager.register`."""

        async def add() -> None:
            self._target.register(name, source, connect_timeout=connect_timeout, lazy=lazy)

        self._run(f"register({name!r})", add())

    def client(self, name: str) -> SyncClient:
        """See :meth:`EnvironmentManager.client`."""
        return SyncClient(self._run(f"client({name!r})", self._target.client(name)), self._loop)


def manage_sync(
    *, client_name: str = "crossexec", timeout: float | None = DEFAULT_TIMEOUT
) -> AbstractContextManager[SyncEnvironmentManager]:
    """A manager of environments for blocking callers.

    :param timeout: seconds that a call may take, of the manager and of its clients; None for any time.
    """
    return blocking_face(EnvironmentManager(client_name=client_name), SyncEnvironmentManager, timeout=timeout)
