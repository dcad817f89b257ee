"""An executor that stays reachable through a rendezvous: registers, dials, and dials again."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from executors.remote.backoff import Backoff
from executors.remote.credentials import CredentialSource
from executors.remote.dial import DialError
from executors.remote.link import RelayLink
from executors.remote.registry import Registration, Registry, RegistryError
from executors.server.executor import open_executor
from executors.server.sessions import DEFAULT_RETENTION_SECONDS
from executors.transport.base import ReceiverFactory
from executors.transport.noise_keys import KeyPair
from executors.transport.relay_executor import ExecutorRelay, Limits, Pending, Replays, Verdict
from executors.transport.relay_stream import StreamLimits

# A rendezvous which answers so wants another registration.
_REGISTER_AGAIN = frozenset((401, 403, 409))

# Who waits for another executor to go need not ask more often than it is told, nor wait for ever.
_MOST_DISPLACED_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteSettings:
    """Where an executor registers and what it takes.

    :ivar base_url: as :func:`executors.remote.credentials.check_registry_url` returned it.
    :ivar name: for people.
    :ivar message_bytes: the largest message of a harness.
    """

    base_url: str
    environment_id: str
    credential: CredentialSource
    name: str | None = None
    message_bytes: int = StreamLimits.message_bytes
    retention_seconds: float = DEFAULT_RETENTION_SECONDS
    tls: ssl.SSLContext | None = None


class RemoteExecutor:
    """The registration and the connection; the keys are its identity, made once.

    :param announce: called once, when the rendezvous has been reached for the first time.
    """

    def __init__(self, settings: RemoteSettings, announce: Callable[[], None]) -> None:
        self._settings = settings
        self._registry = Registry(
            settings.base_url, settings.environment_id, settings.credential, settings.tls
        )
        self._keys = KeyPair.generate()
        self._backoff = Backoff()
        self._announce: Callable[[], None] | None = announce
        self._registration: Registration
        # Of all registrations: a registry may give the same id again.
        self._replays = Replays()
        self._connected_at: float | None = None

    async def register(self) -> None:
        """:raises RegistryError: see :meth:`Registry.register`."""
        self._registration = await self._registry.register(self._keys.public, self._settings.name)

    async def stay_connected(self, make_receiver: ReceiverFactory) -> None:
        """Dials, and dials again, until it is cancelled.

        :param make_receiver: makes a receiver for each stream.
        """
        refusals = 0
        while True:
            self._connected_at = None
            try:
                reason = await self._connect(make_receiver)
            except DialError as error:
                _log.warning("%s", error)
                if error.status in _REGISTER_AGAIN:
                    refusals += 1
                    if refusals > 1:
                        await asyncio.sleep(self._backoff.next())
                    await self._register_again()
                    continue
                if error.is_displaced:
                    wait = min(error.retry_after or 0.0, _MOST_DISPLACED_SECONDS)
                    await asyncio.sleep(max(wait, self._backoff.next()))
                    continue
            else:
                _log.warning("connection lost: %s", reason)
                refusals = 0
                if self._connected_at is not None:
                    self._backoff.connected_for(asyncio.get_running_loop().time() - self._connected_at)
            await asyncio.sleep(self._backoff.next())

    async def _connect(self, make_receiver: ReceiverFactory) -> str:
        """Returns why the connection ended.

        :raises DialError: there was none.
        """
        settings, registration = self._settings, self._registration
        relay = ExecutorRelay(
            self._keys,
            settings.environment_id,
            registration.executor_registration_id,
            self._replays,
            Limits(StreamLimits(message_bytes=settings.message_bytes)),
        )
        link = RelayLink(relay, make_receiver, self._validate)
        return await link.run(registration.url, settings.tls, self._connected)

    def _connected(self) -> None:
        self._connected_at = asyncio.get_running_loop().time()
        if self._announce is not None:
            # A user who compares it need not believe the registry.
            _log.warning("connected; this executor's key: %s", self._keys.public.fingerprint)
            self._announce()
            self._announce = None
        else:
            _log.warning("connected again")

    async def _register_again(self) -> None:
        while True:
            try:
                await self.register()
            except RegistryError as error:
                _log.warning("%s", error)
                await asyncio.sleep(self._backoff.next())
            else:
                return

    async def _validate(self, pending: Pending) -> Verdict:
        registration_id = self._registration.executor_registration_id
        try:
            return await self._registry.validate(registration_id, pending.stream_id, pending.offer)
        except RegistryError as error:
            _log.warning("stream %r: %s", pending.stream_id, error)
        except Exception:
            _log.exception("unexpected error while a harness was asked for")
        return Verdict.UNKNOWN


async def serve_remote(settings: RemoteSettings, stop: asyncio.Event, announce: Callable[[], None]) -> None:
    """Serves the environment until *stop* is set.

    :param announce: called once, when the rendezvous has been reached for the first time.
    :raises RegistryError: it could not be registered at first; later attempts are repeated.
    """
    remote = RemoteExecutor(settings, announce)
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(stop.wait())
        registering = group.create_task(_outcome(remote))
        await asyncio.wait((stopping, registering), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        registering.cancel()
    if stop.is_set():
        return
    error = registering.result()
    if error is not None:
        raise error
    async with asyncio.TaskGroup() as tasks:
        # The connection outlives the executor: what it says at its end goes out by it.
        async with open_executor(settings.retention_seconds) as executor:
            staying = tasks.create_task(remote.stay_connected(executor.connect))
            await stop.wait()
        staying.cancel()


async def _outcome(remote: RemoteExecutor) -> RegistryError | None:
    """Registers; returns the error, which a task group would wrap."""
    try:
        await remote.register()
    except RegistryError as error:
        return error
    return None
