"""A service that runs, and what connects to it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from executors.transport.relay_pb2 import RelayMessageFrame
from harness.rendezvous.audit import Audit
from harness.rendezvous.limits import Rates
from harness.rendezvous.registry import PROFILE, SUITE, Lifetimes
from harness.rendezvous.service import Options, Service, serving
from harness.rendezvous.signing import Role
from harness.rendezvous.store import Store, open_store

BOX = "box"
UNLIMITED = Rates.parse(f"{name}=unlimited" for name in Rates.names())
SECONDS = 60


def new_key() -> dict[str, str]:
    """Something of the form of a public key."""
    return {
        "suite": SUITE,
        "x25519_public_key": base64.b64encode(os.urandom(32)).decode(),
        "mlkem768_public_key": base64.b64encode(os.urandom(1184)).decode(),
    }


def data(stream: str, payload: bytes, seq: int = 0) -> bytes:
    frame = RelayMessageFrame(version=1, stream_id=stream)
    frame.data.seq, frame.data.segment_count, frame.data.payload = seq, 1, payload
    return frame.SerializeToString()


class Log(io.StringIO):
    """What was audited, and whoever waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Looks after each line whether it is so, until it is."""
        async with asyncio.timeout(SECONDS):
            while not is_so():
                self._written.clear()
                await self._written.wait()


@dataclass
class Running:
    """A service that listens, and a client of its requests."""

    url: str
    store: Store
    service: Service
    log: Log
    http: aiohttp.ClientSession
    dialled: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)

    def token(self, role: Role, environment: str = BOX, expires: float | None = None) -> str:
        return self.store.add_token(environment, role, 0.0, expires)[1]

    async def post(
        self, operation: str, token: str | None, body: Any, environment: str = BOX, **headers: str
    ) -> tuple[int, Any]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.url}/cloud/environment/{environment}/{operation}"
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(url, headers=headers, **sent) as answer:
            return answer.status, await answer.json()

    async def register(self, token: str, environment: str = BOX, key: dict[str, str] | None = None) -> Any:
        body = {"security_profile": PROFILE, "executor_public_key": key or new_key()}
        status, told = await self.post("register", token, body, environment)
        assert status == 200, told
        return told

    async def connect(self, token: str, key: dict[str, str], environment: str = BOX) -> Any:
        status, told = await self.post("connect", token, {"harness_public_key": key}, environment)
        assert status == 200, told
        return told

    async def validate(
        self, token: str, stream: str, registered: Any, key: dict[str, str], authorization: str
    ) -> tuple[int, Any]:
        body = {
            "executor_registration_id": registered["executor_registration_id"],
            "harness_public_key": key,
            "harness_key_authorization": authorization,
        }
        return await self.post("validate", token, body, **{"x-codex-noise-stream-id": stream})

    async def dial(self, url: str) -> aiohttp.ClientWebSocketResponse:
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        self.dialled.append(await self.http.ws_connect(url, timeout=timeout, max_msg_size=0))
        return self.dialled[-1]

    async def hang_up(self) -> None:
        """Closes all that were dialled: the end of the session alone would leave them to the collector."""
        for socket in self.dialled:
            await socket.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "rendezvous.sqlite") as opened:
        yield opened


@pytest.fixture
def options() -> Options:
    return Options(lifetimes=Lifetimes(), rates=UNLIMITED, review_seconds=0.02)


@pytest.fixture
async def running(anyio_backend: str, store: Store, options: Options) -> AsyncIterator[Running]:
    log = Log()
    service = Service(store, audit=Audit(log), options=options)
    async with serving(service, "127.0.0.1", 0) as (host, port):
        url = f"http://{host}:{port}"
        service.reached_at(url)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            made = Running(url, store, service, log, http)
            yield made
            await made.hang_up()
