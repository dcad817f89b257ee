"""How a client connects through a relay: a bundle, a WebSocket, a handshake, for each connection anew."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from executors.remote.dial import DialError, dial
from executors.remote.registry import RegistryError
from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair, NoiseError, PublicKey
from executors.transport.relay_harness import HarnessRelay
from harness.client.errors import ConnectFailed, ExecutorKeyChanged
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.remote.link import NotAnswered, RelayLink
from harness.remote.registry import Bundle, HarnessRegistry

Redirect = Callable[[str], tuple[str, int]]
"""Says which host and port to connect to, given where the rendezvous is: ``ws://HOST:PORT`` or ``wss://…``."""

_UNAUTHORIZED: Final = 401
_LATER: Final = frozenset((429, 503))
"""The registry is asked too often, or knows that the executor is about to come back."""
_PORTS: Final = {"ws": 80, "wss": 443}

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """A bundle was not taken: another one may be."""


class RemoteOpener:
    """Connects to one environment, again and again.

    The key of the executor that is reached first is kept; who comes with another one later is another.

    :param url: for messages to people.
    :param tls: for wss; None for the system's certificates.
    :param accept_new_key: take another executor in place of the first.
    :param pin: fingerprint of the one key that is taken; None for any first one.
    :ivar pinned: the key of the executor; None before it was reached.
    :ivar rendezvous: where it is, by the last bundle: ``ws://HOST:PORT`` or ``wss://…``; empty before.
    """

    def __init__(
        self,
        url: str,
        registry: HarnessRegistry,
        *,
        accept_new_key: bool = False,
        pin: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.pinned: PublicKey | None = None
        self.rendezvous = ""
        self._url = url
        self._registry = registry
        self._accept_new_key = accept_new_key
        self._pin = pin
        self._tls = tls

    async def open(
        self, make_receiver: MakeReceiver, options: LinkOptions, redirect: Redirect | None = None
    ) -> Link:
        """Opens one more link; see :data:`harness.client.session.OpenLink`.

        A bundle that is refused with 401, by the rendezvous or in the handshake, is replaced once.

        :param redirect: where to connect to instead of the rendezvous.
        :raises ConnectFailed: there is none to be had within the time of *options*, for all of it.
        :raises ExecutorKeyChanged: the registry tells of another executor than before.
        """
        until = asyncio.get_running_loop().time() + options.open_seconds
        try:
            async with asyncio.timeout_at(until):
                try:
                    return await self._open(make_receiver, options, until, redirect)
                except _Refused as error:
                    logger.info("%s: %s: once more, with a fresh bundle", self._url, error)
                    return await self._open(make_receiver, options, until, redirect)
        except TimeoutError:
            found = f"registry, rendezvous and executor did not all answer within {options.open_seconds:g} s"
        except (RegistryError, DialError, NotAnswered, NoiseError, _Refused) as error:
            found = str(error)
        raise ConnectFailed(f"cannot connect to {self._url}: {found}")

    async def _open(
        self, make_receiver: MakeReceiver, options: LinkOptions, until: float, redirect: Redirect | None
    ) -> Link:
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
        parts = urlsplit(bundle.url)
        self.rendezvous = f"{parts.scheme}://{_host(parts.hostname)}:{parts.port or _PORTS[parts.scheme]}"
        at = None if redirect is None else redirect(self.rendezvous)
        link = await self._dialled(bundle, relay, make_receiver, options, at)
        try:
            await link.open()
        except NotAnswered as error:
            if error.refused:
                raise _Refused(str(error)) from None
            raise
        self.pinned = executor
        return link

    async def _bundle(self, key: PublicKey, until: float) -> Bundle:
        """Asks the registry; again while it says when to come, if that is in time.

        So an executor that is cut off together with this side need not be back first.
        """
        now = asyncio.get_running_loop().time
        while True:
            try:
                return await self._registry.connect(key)
            except RegistryError as error:
                wait = error.retry_after
                if error.status not in _LATER or wait is None or now() + wait > until:
                    raise
                await asyncio.sleep(wait)

    async def _dialled(
        self,
        bundle: Bundle,
        relay: HarnessRelay,
        make_receiver: MakeReceiver,
        options: LinkOptions,
        at: tuple[str, int] | None,
    ) -> RelayLink:
        try:
            socket = await dial(
                bundle.url,
                self._tls,
                ping_seconds=options.ping_seconds or None,
                pong_seconds=options.pong_seconds or None,
                at=at,
            )
        except DialError as error:
            if error.status == _UNAUTHORIZED:
                raise _Refused(str(error)) from None
            raise
        return RelayLink(socket, relay, make_receiver)

    def _check(self, executor: PublicKey) -> None:
        """:raises ExecutorKeyChanged: it is another one."""
        if self._pin is not None and executor.fingerprint != self._pin:
            raise ExecutorKeyChanged(
                f"the executor of {self._url} has the key {executor.fingerprint}, and --remote-pin takes "
                f"{self._pin} alone: it was started anew, or is another; give what it told when it started"
            )
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


class RemoteLinks:
    """Opens links to one environment; an :data:`harness.client.session.OpenLink`."""

    def __init__(self, opener: RemoteOpener, options: LinkOptions, redirect: Redirect | None = None) -> None:
        self._opener = opener
        self._options = options
        self._redirect = redirect

    async def __call__(self, make_receiver: MakeReceiver) -> Link:
        return await self._opener.open(make_receiver, self._options, self._redirect)

    @property
    def rendezvous(self) -> str:
        """See :class:`RemoteOpener`."""
        return self._opener.rendezvous

    def through(self, redirect: Redirect, options: LinkOptions | None = None) -> RemoteLinks:
        """The same executor by way of somebody who stands before the rendezvous.

        :param options: other ones than these.
        """
        return RemoteLinks(self._opener, options or self._options, redirect)


def _host(name: str | None) -> str:
    assert name, "it was looked at when the bundle came"
    return f"[{name}]" if ":" in name else name
