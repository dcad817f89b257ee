"""A service of the tests' own, a man in the middle before it, and an executor in the environment's place."""

from __future__ import annotations

import asyncio
import io
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from executors.remote.credentials import Bearer, Fixed
from executors.remote.executor import RemoteSettings, serve_remote
from fixtures.meddler import Line, Meddler
from fixtures.meddler_frames import stream_of
from harness.client import Client, ConnectFailed, LinkOptions, RecoveryOptions, connect
from harness.environments.place import DialOut, Launched, Place
from harness.environments.remote import Clients, RemoteEnvironment
from harness.remote.options import RemoteOptions
from harness.rendezvous.audit import Audit
from harness.rendezvous.limits import Rate, Rates
from harness.rendezvous.service import Options, Service, serving
from harness.rendezvous.signing import Role
from harness.rendezvous.store import Store

SECONDS: Final = 60.0
LINK: Final = LinkOptions()
RECOVERY: Final = RecoveryOptions(retry_seconds=0.02)
# So many failures, from one address, are no attack here.
_RATES: Final = Rates(failure=Rate(1000.0, 1000.0))
# An executor takes eight on a connection, and then none for ten seconds.
_FAILURES: Final = 7


class Clock:
    """The service's, in seconds since the epoch; it can be wrong."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Scene:
    """All of it.

    :ivar place: where the executor runs.
    :ivar clock: the service's.
    :ivar audited: what the service has written to its audit log.
    :ivar harness_token: the one that clients of the present test use.
    :ivar python: path of an interpreter where the executor is.
    :ivar said: the texts of errors, in which nothing secret may be either.
    :ivar log: the file with the executor's messages.
    :ivar name: of the environment.
    """

    def __init__(self, place: Place, store: Store, folder: Path) -> None:
        self.place = place
        self._folder = folder
        self._store = store
        self._stack = AsyncExitStack()
        self._serving = AsyncExitStack()
        self._launched = AsyncExitStack()
        self._url = ""
        self._failures = 0
        self._environments = 0
        self.name = f"remote-{place.name}"
        self.clock = Clock()
        self.meddler = Meddler()
        self.audited = io.StringIO()
        self.environment_id = ""
        self.tokens: list[str] = []
        self.python = ""
        self.said: list[str] = []
        self.log: Path

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Scene]:
        async with self._stack:
            self._stack.push_async_callback(self.stop_service)
            await self.start_service()
            url = await self._stack.enter_async_context(self.meddler.front(self._url))
            self.service.reached_at(url)
            self._stack.push_async_callback(self._end_executor)
            yield self

    # The service

    async def start_service(self) -> None:
        """Starts it behind the man in the middle, with what the one before has left in the database."""
        options = Options(rates=_RATES, review_seconds=0.05, ping_seconds=3.0)
        self.service = Service(self._store, audit=Audit(self.audited), options=options, clock=self.clock)
        serve = serving(self.service, "127.0.0.1", 0)
        _, port = await self._serving.enter_async_context(serve)
        self._url = f"http://127.0.0.1:{port}"
        if self.environment_id:
            self.service.reached_at(self.meddler.url)
            self.meddler.retarget(self._url)

    async def stop_service(self) -> None:
        await self._serving.aclose()

    def token(self, role: Role, environment_id: str | None = None) -> str:
        """A new one."""
        token = self._store.add_token(environment_id or self.environment_id, role, self.clock(), None)[1]
        self.tokens.append(token)
        return token

    def revoke(self, token: str) -> None:
        found = self._store.find_token(token)
        assert found is not None
        assert self._store.revoke_token(found.id, self.clock())

    # The executor

    async def renew(self) -> None:
        """Ends the executor and starts another one, with other keys and under another id."""
        await self._end_executor()
        self._environments += 1
        self._failures = 0
        self.environment_id = f"box-{self._environments}"
        up = await self._launched.enter_async_context(
            self.place.launch(DialOut(self.meddler.url, self.environment_id, self.token("executor")))
        )
        self.log = up.log
        self.renew_token()
        self.python = self.python or await self._find_python(up)

    async def _end_executor(self) -> None:
        await self._launched.aclose()

    async def _find_python(self, up: Launched) -> str:
        candidates = [up.facts.get("python"), "python3", "python"]
        if not self.place.is_remote:
            candidates.insert(0, sys.executable)
        async with self.connect() as client:
            for candidate in filter(None, candidates):
                try:
                    found = await client.run([candidate, "-c", "import sys; print(sys.executable)"])
                except Exception:
                    continue
                if found.exit_code == 0:
                    return found.stdout.decode().strip()
        raise AssertionError(f"no Python is known in {self.name}: {candidates}")

    async def settle(self) -> None:
        """Brings back what a test has left otherwise, for the next one."""
        self.meddler.reset()
        self.clock.ahead = 0.0
        if not self.environment_id or self._failures >= _FAILURES:
            await self.renew()
        await self.meddler.until(lambda: bool(self._executor_lines()))
        self.renew_token()

    def renew_token(self) -> None:
        """Clients that are made from now on use another one."""
        self.harness_token = self.token("harness")
        self.token_file = self._folder / f"token-{len(self.tokens)}"
        self.token_file.write_text(self.harness_token)

    async def spend(self, failures: int = 1) -> None:
        """Is told before handshakes of this test fail at the executor."""
        if self._failures + failures > _FAILURES:
            await self.renew()
        self._failures += failures

    def _executor_lines(self) -> list[Line]:
        return self.meddler.open_lines("executor")

    @property
    def executor_line(self) -> Line:
        """Of the executor in the place."""
        return self.line_of(self.environment_id)

    def line_of(self, environment_id: str) -> Line:
        """Of the executor of that environment."""
        (line,) = (each for each in self._executor_lines() if f"environment={environment_id}&" in each.query)
        return line

    async def next_line_of(self, environment_id: str, line: Line) -> Line:
        """The one that comes after *line*, which is about to end."""

        def is_next(each: Line) -> bool:
            return each.number > line.number and f"environment={environment_id}&" in each.query

        await self.meddler.until(lambda: any(map(is_next, self._executor_lines())))
        return next(filter(is_next, self._executor_lines()))

    @asynccontextmanager
    async def own_executor(self) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
        """An executor in this loop, in an environment of its own; yields the id, and what runs it.

        Meanwhile programs are those of this machine.
        """
        self._environments += 1
        environment_id = f"own-{self._environments}"
        settings = RemoteSettings(
            self.meddler.url, environment_id, Fixed(Bearer(self.token("executor", environment_id)))
        )
        stop, connected = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve_remote(settings, stop, connected.set))
        python, self.python = self.python, sys.executable
        try:
            async with asyncio.timeout(SECONDS):
                await connected.wait()
            yield environment_id, task
        finally:
            self.python = python
            stop.set()
            await task

    # The harness

    def clients(self, environment_id: str | None = None, link_options: LinkOptions = LINK) -> Clients:
        """What makes clients that pin the key of the executor that the first of them reaches."""
        file = self.token_file
        if environment_id is not None:
            file = self._folder / f"token-of-{environment_id}"
            if not file.exists():
                file.write_text(self.token("harness", environment_id))
        options = RemoteOptions(registry=self.meddler.url, token_file=file)
        remote = RemoteEnvironment(environment_id or self.environment_id, options, link_options=link_options)
        return remote.clients()

    def connect(self, clients: Clients | None = None, **options: Any) -> AbstractAsyncContextManager[Client]:
        """A client that comes back without much delay; *options* are those of :func:`connect`."""
        clients = clients or self.clients()
        told: dict[str, Any] = {"recovery": RECOVERY, "open_link": clients.open_link, **options}
        return connect(f"remote:{self.environment_id}", **told)

    def argv(self, program: str, *arguments: str) -> list[str]:
        """Of a Python program there."""
        return [self.python, "-c", program, *arguments]

    async def refusal(self, clients: Clients | None = None, **options: Any) -> str:
        """What an attempt to connect fails with.

        :raises AssertionError: it does not fail.
        """
        try:
            async with self.connect(clients, **options):
                raise AssertionError("the connection came about")
        except ConnectFailed as error:
            self.said.append("".join(traceback.format_exception(error)))
            return str(error)

    @property
    def newest_line(self) -> Line:
        """Of the client that has connected last."""
        return self.meddler.open_lines("harness")[-1]

    @property
    def newest_stream(self) -> str:
        """The stream of that line."""
        line = self.newest_line
        return next(stream_of(each.message) for each in self.meddler.tape if each.line is line)
