"""An executor that has dialled out and is reached through a registry and an encrypted relay."""

from __future__ import annotations

import importlib.util
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from executors.remote.credentials import CredentialError, check_registry_url
from harness.client import Client, connect
from harness.client.links import LinkOptions
from harness.client.recovery import Backoff
from harness.environments.base import (
    Availability,
    Environment,
    EnvironmentFailed,
    RelayedLinks,
    Running,
    running,
)
from harness.remote.options import OPTIONS, PREFIX, RemoteOptions

_MODULES = ("cryptography", "google.protobuf")
_MOST_ID = 256
_MOST_JITTER = 1.5


class RemoteEnvironment(Environment):
    """Reaches the executor by the id that it was registered under, and leaves it running.

    Its key is pinned when it is first reached; sessions are recovered through the relay, less eagerly than
    where nobody else is asked.

    :param environment_id: as the executor got it.
    :param tls: for https and wss; None for the system's certificates.
    """

    name = "remote"

    def __init__(
        self,
        environment_id: str,
        options: RemoteOptions,
        *,
        link_options: LinkOptions | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.environment_id = environment_id
        self.url = f"{PREFIX}{environment_id}"
        self._options = options
        self._link_options = link_options or LinkOptions()
        self._tls = tls

    def available(self) -> Availability:
        options = self._options
        if not 0 < len(self.environment_id) <= _MOST_ID or not self.environment_id.isprintable():
            return Availability(False, f"{self.url!r} names no environment", f"give {PREFIX}ID")
        if options.registry is None:
            (registry,) = (each for each in OPTIONS if each.name == "registry")
            return Availability(
                False, "no registry is known", f"give {registry.flag} URL or set {registry.variable}"
            )
        try:
            check_registry_url(options.registry, options.allow_registry, "--remote-allow-registry")
            options.credential()
        except CredentialError as error:
            return Availability(False, str(error))
        for module in _MODULES:
            if not is_installed(module):
                return Availability(False, f"it needs the module {module}", "pip install 'crossexec[relay]'")
        return Availability(True)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        clients = self.clients()
        async with running(
            self.name, self.url, is_remote=True, open_client=clients, open_link=clients.open_link
        ) as up:
            yield replace(up, facts={**up.facts, "executor's key": clients.key})

    def clients(self) -> Clients:
        """Returns what makes clients of the executor that the first of them reaches, and of no other.

        :raises EnvironmentFailed: something is missing.
        """
        availability = self.available()
        if not availability:
            raise EnvironmentFailed(f"{self.url}: {availability}")
        assert self._options.registry is not None
        return Clients(self.url, self.environment_id, self._options, self._link_options, self._tls)


class Clients:
    """Makes clients, all of the same executor; see :data:`harness.environments.base.OpenClient`.

    :ivar open_link: makes single connections to it.
    :ivar key: fingerprint of that executor; empty before it was reached.
    """

    def __init__(
        self,
        url: str,
        environment_id: str,
        options: RemoteOptions,
        link_options: LinkOptions,
        tls: ssl.SSLContext | None,
    ) -> None:
        from harness.remote.opener import RemoteLinks, RemoteOpener
        from harness.remote.registry import HarnessRegistry

        assert options.registry is not None
        base_url = check_registry_url(options.registry, options.allow_registry, "--remote-allow-registry")
        registry = HarnessRegistry(base_url, environment_id, options.credential(), tls)
        self._url = url
        self._link_options = link_options
        opener = RemoteOpener(url, registry, accept_new_key=options.accept_new_key, pin=options.pin, tls=tls)
        self._opener = opener
        self.open_link: RelayedLinks = RemoteLinks(opener, link_options)

    @property
    def key(self) -> str:
        return "" if self._opener.pinned is None else self._opener.pinned.fingerprint

    def __call__(self, client_name: str) -> AbstractAsyncContextManager[Client]:
        return connect(
            self._url,
            client_name=client_name,
            options=self._link_options,
            open_link=self.open_link,
            retry=Backoff(jitter=random.uniform(1.0, _MOST_JITTER)),
        )


def is_installed(module: str) -> bool:
    """Whether it can be imported, which is not done."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
