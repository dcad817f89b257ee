"""An executor of another environment that dials out, and the service through which it is reached."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import executors
from harness.client.links import LinkOptions
from harness.environments.base import Availability, Environment, EnvironmentFailed, Running
from harness.environments.child import start_child
from harness.environments.place import REMOTE, DialOut, Place, working
from harness.environments.remote import RemoteEnvironment, is_installed
from harness.progress import Progress
from harness.remote.options import RemoteOptions

Front = Callable[[str], AbstractAsyncContextManager[str]]
"""Given the URL of the service, ``http://HOST:PORT``, comes up and yields another one that leads there."""

ENVIRONMENT_ID: Final = "crossexec"
_MODULES: Final = ("aiohttp", "cryptography", "google.protobuf", "prometheus_client")
_RUN_SERVICE: Final = (
    sys.executable,
    "-c",
    "import sys; sys.path[0] = sys.argv.pop(1); from harness.cli import main; sys.exit(main())",
    str(Path(executors.__file__).parents[1]),
    "rendezvous",
    "--listen",
    "127.0.0.1:0",
    "--exit-with-parent",
)


@dataclass(frozen=True)
class Service:
    """A registry and a rendezvous on this machine, and who may use them.

    :ivar url: as all ask for it, ``http://HOST:PORT``.
    :ivar executor_token: of the executor of :data:`ENVIRONMENT_ID`.
    :ivar harness_token_file: holds the token of its harnesses.
    :ivar log: the local file with its messages, its audit log among them.
    """

    url: str
    executor_token: str = field(repr=False)
    harness_token_file: Path
    log: Path


class RelayedEnvironment(Environment):
    """Runs the service here and the executor in a *place*, from where it dials out to it.

    All ends with this process, whatever ends it. What is made once for it is the place's, and is cleaned up
    there.

    :param front: stands before the service, for the executor and for the harness.
    """

    def __init__(
        self, place: Place, *, front: Front | None = None, link_options: LinkOptions | None = None
    ) -> None:
        self.name = REMOTE + place.name
        self.place = place
        self._front = front
        self._link_options = link_options

    def available(self) -> Availability:
        if sys.platform == "win32":
            return Availability(False, "the rendezvous does not run on Windows", "use Linux or macOS")
        for module in _MODULES:
            if not is_installed(module):
                return Availability(
                    False, f"it needs the module {module}", "pip install 'crossexec[rendezvous]'"
                )
        return self.place.available_to_dial_out()

    def prepare(self, progress: Progress) -> None:
        self.place.prepare_to_dial_out(progress)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        availability = self.available()
        if not availability:
            raise EnvironmentFailed(f"{self.name}: {availability}")
        async with serving(self._front) as service:
            dial_out = DialOut(service.url, ENVIRONMENT_ID, service.executor_token)
            async with self.place.launch(dial_out) as up:
                options = RemoteOptions(registry=service.url, token_file=service.harness_token_file)
                remote = RemoteEnvironment(ENVIRONMENT_ID, options, link_options=self._link_options)
                clients = remote.clients()
                async with working(
                    self.name,
                    up,
                    is_remote=True,
                    open_client=clients,
                    open_link=clients.open_link,
                    facts=_versions(),
                ) as found:
                    yield found


@asynccontextmanager
async def serving(front: Front | None = None) -> AsyncIterator[Service]:
    """The service in a process of its own, with a database of its own; it ends with this process.

    :raises EnvironmentFailed: it did not start.
    """
    from harness.rendezvous.store import open_store

    with tempfile.TemporaryDirectory(prefix="crossexec-relay-") as name:
        folder = Path(name)
        database, log, token_file = folder / "rendezvous.sqlite", folder / "rendezvous.log", folder / "token"
        with open_store(database) as store:
            now = time.time()
            executor_token = store.add_token(ENVIRONMENT_ID, "executor", now, None)[1]
            harness_token = store.add_token(ENVIRONMENT_ID, "harness", now, None)[1]
        token_file.touch(0o600)
        token_file.write_text(harness_token)
        command = [*_RUN_SERVICE, "--database", str(database)]
        # Here only tests cut, attack and start anew.
        for what in ("register", "dial", "handshake", "failure"):
            command += ["--rate", f"{what}=unlimited"]
        if front is not None:
            command += ["--public-url", "-"]
        async with start_child(
            command, log=log, env=os.environ, what="rendezvous", schemes=("http://",)
        ) as child:
            if front is None:
                yield Service(child.url, executor_token, token_file, log)
                return
            async with front(child.url) as url:
                if await child.ask(url) != url:
                    raise EnvironmentFailed(f"the rendezvous has not taken {url} as its own URL")
                yield Service(url, executor_token, token_file, log)


def _versions() -> dict[str, str]:
    """Returns what the service and the encryption are made of."""
    aiohttp, cryptography, protobuf = (
        f"{name} {importlib.metadata.version(name)}" for name in ("aiohttp", "cryptography", "protobuf")
    )
    return {
        "rendezvous": f"crossexec {executors.__version__}, {aiohttp}",
        "relay": f"{cryptography}, {protobuf}",
    }
