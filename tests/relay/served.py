"""The real service, executors of ours in the loop of the test, and what a harness needs to reach them."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from executors.remote.credentials import Bearer, Fixed
from executors.remote.executor import RemoteSettings, serve_remote
from harness.environments.remote import RemoteEnvironment
from harness.remote.options import RemoteOptions
from harness.rendezvous.audit import Audit
from harness.rendezvous.limits import Rates
from harness.rendezvous.service import Options, Service, serving
from harness.rendezvous.signing import Role
from harness.rendezvous.store import Store
from tests.support.ports import kept_port
from tests.support.watch import SECONDS

ENVIRONMENT_ID = "box"
LINES = 2000
COUNT = ["sh", "-c", f"i=0; while [ $i -lt {LINES} ]; do echo $i; i=$((i+1)); done; read x; echo got $x"]
COUNTED = "".join(f"{number}\n" for number in range(LINES)).encode()
"""What :data:`COUNT` has written before it reads."""


class Served:
    """A service that can be stopped and started again where it was.

    :ivar executor_token: of an executor of :data:`ENVIRONMENT_ID`.
    :ivar token: of its harnesses.
    :ivar token_file: holds that.
    :ivar log: what it has audited.
    """

    def __init__(self, store: Store, folder: Path, port: int) -> None:
        self._store = store
        self._port = port
        self._stack = AsyncExitStack()
        self.service: Service
        self.url = ""
        self.log = io.StringIO()
        self.executor_token = store.add_token(ENVIRONMENT_ID, "executor", 0.0, None)[1]
        self.token = store.add_token(ENVIRONMENT_ID, "harness", 0.0, None)[1]
        self.token_file = folder / "token"
        self.token_file.write_text(self.token)

    async def start(self) -> None:
        rates = Rates.parse(f"{name}=unlimited" for name in Rates.names())
        self.service = Service(
            self._store, audit=Audit(self.log), options=Options(rates=rates, review_seconds=0.05)
        )
        host, port = await self._listen()
        self.url = f"http://{host}:{port}"
        self.service.reached_at(self.url)

    async def _listen(self) -> tuple[str, int]:
        # An executor in this process forks where this listens: until its program has replaced the copy, that
        # holds the socket of the time before, and nothing tells when.
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    return await self._stack.enter_async_context(
                        serving(self.service, "127.0.0.1", self._port)
                    )
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self._stack.aclose()

    def dialled(self, role: Role) -> int:
        """Returns how often one side has connected."""
        told = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return len([each for each in told if each["event"] == "dial" and each.get("role") == role])

    def registered(self) -> int:
        """Returns how often an executor has been registered."""
        return self.log.getvalue().count('"event": "register"')

    def cut(self, role: Role) -> None:
        """Cuts the connections of one side, without a close frame."""
        links = [link for link in self.service.links if link.ticket.role == role]
        assert links
        for link in links:
            link.socket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def environment(self, **more: object) -> RemoteEnvironment:
        """What :func:`harness.environments.make_environment` makes, with the options *more*."""
        chosen = {name: more.pop(name) for name in ("accept_new_key", "pin") if name in more}
        options = RemoteOptions(registry=self.url, token_file=self.token_file, **chosen)  # type: ignore[arg-type]
        return RemoteEnvironment(ENVIRONMENT_ID, options, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def served(store: Store, folder: Path) -> AsyncIterator[Served]:
    with kept_port() as port:
        made = Served(store, folder, port)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()


@asynccontextmanager
async def executor(service: Served, **more: Any) -> AsyncIterator[asyncio.Event]:
    """An executor that can be reached; yields what stops it."""
    settings = RemoteSettings(service.url, ENVIRONMENT_ID, Fixed(Bearer(service.executor_token)), **more)
    stop, connected = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve_remote(settings, stop, connected.set))
    try:
        async with asyncio.timeout(SECONDS):
            await connected.wait()
        yield stop
    finally:
        stop.set()
        await task
