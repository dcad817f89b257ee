"""The way to an executor that dials out: a service of its own, and connections of this project's harness."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from bench.client import Client
from bench.launch import Target
from bench.recovery import Cuttable
from bench.system import System
from executors.remote.credentials import InFile
from executors.remote.dial import dial
from executors.remote.registry import RegistryError
from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair
from executors.transport.relay_harness import HarnessRelay
from fixtures.faults import ChaosProxy
from harness.client import connect
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.client.recovery import Backoff
from harness.environments.relayed import ENVIRONMENT_ID, Service, serving
from harness.remote.link import RelayLink
from harness.remote.opener import RemoteOpener
from harness.remote.registry import HarnessRegistry

_POLL_SECONDS: Final = 0.05


class RelayClient(Client):
    """A connection through the relay."""

    def __init__(self, system: System, link: Link) -> None:
        super().__init__(system)
        self._link = link

    def _send(self, message: bytes) -> None:
        self._link.send(message)

    def pause_reading(self) -> None:
        self._link.pause_reading()

    def resume_reading(self) -> None:
        self._link.resume_reading()

    def disconnect(self) -> None:
        self._link.abort()

    # Of a receiver.

    def message_received(self, message: bytes) -> None:
        self.take(memoryview(message))

    def connection_lost(self) -> None:
        self.ended()


@dataclass(frozen=True)
class Opened:
    """A connection, and what it took.

    :ivar dialled: when the WebSocket began to be opened, by time.perf_counter().
    :ivar handshake_seconds: from the making of the first message of the handshake until the channel was
        there; the executor has asked the registry in the meantime.
    """

    client: RelayClient
    dialled: float
    handshake_seconds: float


@dataclass(frozen=True)
class RelayRoute:
    """See :class:`bench.launch.Route`.

    :ivar service: where the executor registers.
    :ivar another: makes a target like the one that has this route, with a service of its own.
    """

    service: Service
    another: Callable[[], AbstractAsyncContextManager[Target]] = field(repr=False)

    @property
    def input(self) -> bytes:
        return self.service.executor_token.encode() + b"\n"

    async def until_reachable(self) -> str:
        registry, key = self._registry(), KeyPair.generate().public
        while True:
            try:
                await registry.connect(key)
            except RegistryError:
                # The registry alone can say that an executor has registered and dialled.
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return f"remote:{ENVIRONMENT_ID}"

    async def open(self, system: System) -> Client:
        return (await self.open_timed(system)).client

    async def open_timed(self, system: System) -> Opened:
        """Returns a connection on which nothing has been sent yet, and what it took."""
        keys, stream_id, options = KeyPair.generate(), str(uuid.uuid4()), LinkOptions()
        bundle = await self._registry().connect(keys.public)
        made: list[RelayClient] = []

        def make_receiver(link: Link) -> RelayClient:
            made.append(RelayClient(system, link))
            return made[0]

        dialled = time.perf_counter()
        socket = await dial(
            bundle.url, None, ping_seconds=options.ping_seconds, pong_seconds=options.pong_seconds
        )
        begin = time.perf_counter()
        relay = HarnessRelay(
            keys,
            bundle.executor(),
            Prologue(bundle.environment_id, bundle.executor_registration_id, stream_id),
            bundle.harness_key_authorization.encode(),
        )
        await RelayLink(socket, relay, make_receiver).open()
        return Opened(made[0], dialled, time.perf_counter() - begin)

    @asynccontextmanager
    async def cuttable(self) -> AsyncIterator[Cuttable]:
        """A client as tests have one; what can be cut is its connection to the rendezvous."""
        async with ChaosProxy(f"ws://{urlsplit(self.service.url).netloc}") as proxy:
            opener = RemoteOpener(f"remote:{ENVIRONMENT_ID}", self._registry())
            front = urlsplit(proxy.url)
            assert front.hostname is not None and front.port is not None
            at = front.hostname, front.port

            async def open_link(make_receiver: MakeReceiver) -> Link:
                return await opener.open(make_receiver, LinkOptions(), lambda rendezvous: at)

            async with connect(
                f"remote:{ENVIRONMENT_ID}",
                client_name="crossexec-bench",
                open_link=open_link,
                retry=Backoff(),
            ) as client:
                yield Cuttable(client, proxy)

    def _registry(self) -> HarnessRegistry:
        return HarnessRegistry(
            self.service.url, ENVIRONMENT_ID, InFile(self.service.harness_token_file), None
        )


@asynccontextmanager
async def dialling(make: Callable[[Service], Target]) -> AsyncIterator[Target]:
    """An executor that dials out to a service of its own, which runs meanwhile.

    :param make: says how it is launched, to read its credential from its standard input.
    :raises EnvironmentFailed: the service did not start.
    """
    async with serving() as service:
        yield replace(make(service), route=RelayRoute(service, partial(dialling, make)))
