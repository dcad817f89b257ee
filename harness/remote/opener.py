"""How a client connects through a relay: a bundle, a WebSocket, a handshake, for each connection anew."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid

from executors.remote.dial import DialError, dial
from executors.remote.registry import RegistryError
from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair, NoiseError, PublicKey
from executors.transport.relay_harness import HarnessRelay
from harness.client.errors import ConnectFailed, ExecutorKeyChanged
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.remote.link import NotAnswered, RelayLink
from harness.remote.registry import Bundle, HarnessRegistry

_UNAUTHORIZED = 401
_TOO_MANY = 429

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """A bundle was not taken: another one may be."""


class RemoteOpener:
    """Connects to one environment, again and again.

    The key of the executor that is reached first is kept; who comes with another one later is another.

    :param url: for messages to people.
    :param tls: for wss; None for the system's certificates.
    :param accept_new_key: take another executor in place of the first.
    :ivar pinned: the key of the executor; None before it was reached.
    """

    def __init__(
        self,
        url: str,
        registry: HarnessRegistry,
        *,
        accept_new_key: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pinned: PublicKey | None = None
        self._url = url
        self._registry = registry
        self._accept_new_key = accept_new_key
        self._tls = tls

    async def open(self, make_receiver: MakeReceiver, options: LinkOptions) -> Link:
        """Opens one more link; see :data:`harness.client.session.OpenLink`.

        A bundle that is refused with 401, by the rendezvous or in the handshake, is replaced once.

        :raises ConnectFailed: there is none to be had within the time of *options*, for all of it.
        :raises ExecutorKeyChanged: the registry tells of another executor than before.
        """
        until = asyncio.get_running_loop().time() + options.open_seconds
        try:
            async with asyncio.timeout_at(until):
                try:
                    return await self._open(make_receiver, options, until)
                except _Refused as error:
                    logger.info("%s: %s: once more, with a fresh bundle", self._url, error)
                    return await self._open(make_receiver, options, until)
        except TimeoutError:
            found = f"registry, rendezvous and executor did not all answer within {options.open_seconds:g} s"
        except (RegistryError, DialError, NotAnswered, NoiseError, _Refused) as error:
            found = str(error)
        raise ConnectFailed(f"cannot connect to {self._url}: {found}")

    async def _open(self, make_receiver: MakeReceiver, options: LinkOptions, until: float) -> Link:
        keys = KeyPair.generate()
        bundle = await self._bundle(keys.public, until)
        executor = bundle.executor()
        self._check(executor)
        stream_id = str(uuid.uuid4())
        relay = HarnessRelay(
            keys,
            executor,
            Prologue(bundle.environment_id, bundle.executor_registration_id, stream_id),
            bundle.harness_key_authorization.encode(),
        )
        link = await self._dialled(bundle, relay, make_receiver, options)
        try:
            await link.open()
        except NotAnswered as error:
            if error.refused:
                raise _Refused(str(error)) from None
            raise
        self.pinned = executor
        return link

    async def _bundle(self, key: PublicKey, until: float) -> Bundle:
        """Asks the registry; again while it says that it is asked too often, and when to come, if that is in
        time."""
        now = asyncio.get_running_loop().time
        while True:
            try:
                return await self._registry.connect(key)
            except RegistryError as error:
                wait = error.retry_after
                if error.status != _TOO_MANY or wait is None or now() + wait > until:
                    raise
                await asyncio.sleep(wait)

    async def _dialled(
        self, bundle: Bundle, relay: HarnessRelay, make_receiver: MakeReceiver, options: LinkOptions
    ) -> RelayLink:
        try:
            socket = await dial(
                bundle.url,
                self._tls,
                ping_seconds=options.ping_seconds or None,
                pong_seconds=options.pong_seconds or None,
            )
        except DialError as error:
            if error.status == _UNAUTHORIZED:
                raise _Refused(str(error)) from None
            raise
        return RelayLink(socket, relay, make_receiver)

    def _check(self, executor: PublicKey) -> None:
        """:raises ExecutorKeyChanged: it is another one."""
        if self.pinned is None or executor == self.pinned:
            return
        changed = (
            f"the executor of {self._url} has the key {executor.fingerprint} now, and had "
            f"{self.pinned.fingerprint} when it was first reached"
        )
        if not self._accept_new_key:
            raise ExecutorKeyChanged(
                f"{changed}: it was started anew, or is another; start a new run, or allow it by "
                "--remote-accept-new-key=yes"
            )
        logger.warning("%s", changed)
