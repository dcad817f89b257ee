"""The processes of one session, without a connection: calls in, events out."""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from executors.process.posix import PosixBackend
from executors.protocol import methods
from executors.sandbox.backend import Attempt, Proof, SandboxBackend
from executors.sandbox.choice import Prove, Sandboxes
from executors.sandbox.places import Places
from executors.server.confinements import Confinements
from executors.server.outlet import Outlet
from executors.server.process_calls import ProcessCalls
from tests.support.watch import SECONDS

Json = dict[str, Any]
PLACES = Places(
    platform="linux",
    roots=(Path("/"),),
    minimal=tuple(Path(path) for path in ("/usr", "/bin", "/sbin", "/lib", "/lib64") if os.path.exists(path)),
    temporary=Path(tempfile.gettempdir()),
    slash_tmp=(Path("/tmp"),),
)


async def holds(backend: SandboxBackend) -> Proof:
    """Takes a backend for proved: what it keeps is for its own tests."""
    return Proof(backend.name, (Attempt("none", True, ""),))


def managed(*entries: tuple[str | os.PathLike[str], str], network: str = "restricted") -> Json:
    """Returns an intent of (path, access); ``/`` with ``read`` comes first."""
    return {
        "permissions": {
            "type": "managed",
            "file_system": {
                "type": "restricted",
                "entries": [
                    {"path": {"type": "path", "path": Path(path).as_uri()}, "access": access}
                    for path, access in (("/", "read"), *entries)
                ],
            },
            "network": network,
        },
        "windowsSandboxLevel": "disabled",
    }


class Calls:
    """Calls of one session, and its notifications as they come."""

    def __init__(self, backend: PosixBackend, confinements: Confinements | None) -> None:
        self.events: list[Json] = []
        self._told = asyncio.Event()
        self.processes = ProcessCalls(backend, "linux", Outlet(self._notify), confinements)
        self._handlers = {one.method.name: one for one in self.processes.handlers()}

    def _notify(self, message: bytes) -> None:
        decoded = msgspec.json.decode(message)
        self.events.append({"method": decoded["method"], **decoded["params"]})
        self._told.set()

    def send(self, method: str, **params: Any) -> Any:
        """Returns the result, or what has to be awaited for it."""
        found = methods.METHODS[method]
        return self._handlers[method].call(
            msgspec.json.decode(msgspec.json.encode(params), type=found.params)
        )

    async def call(self, method: str, **params: Any) -> Any:
        result = self.send(method, **params)
        return await result if asyncio.iscoroutine(result) else result

    def start(self, process_id: str, *argv: str, **params: Any) -> Any:
        """As :meth:`send` of a start."""
        defaults: Json = {"cwd": "file:///", "env": {"PATH": "/usr/local/bin:/usr/bin:/bin"}, "tty": False}
        return self.send("process/start", processId=process_id, argv=list(argv), **(defaults | params))

    async def event(self, method: str, process_id: str) -> Json:
        """Returns the first such notification, which may have come already."""
        async with asyncio.timeout(SECONDS):
            while True:
                for event in self.events:
                    if event["method"] == method and event["processId"] == process_id:
                        return event
                self._told.clear()
                await self._told.wait()

    async def run(self, process_id: str, *argv: str, **params: Any) -> Json:
        """Starts a process and returns its exit, once it is closed."""
        result = self.start(process_id, *argv, **params)
        if asyncio.iscoroutine(result):
            await result
        await self.event("process/closed", process_id)
        return await self.event("process/exited", process_id)

    def output(self, process_id: str) -> str:
        """Returns what was printed so far, of all streams."""
        return b"".join(
            base64.b64decode(event["chunk"])
            for event in self.events
            if event["method"] == "process/output" and event["processId"] == process_id
        ).decode(errors="replace")


@asynccontextmanager
async def open_calls(backends: Sequence[SandboxBackend], prove: Prove = holds) -> AsyncIterator[Calls]:
    """Leaves nothing behind; to be used on the main thread."""
    loop = asyncio.get_running_loop()
    processes = PosixBackend(loop)
    confinements = Confinements(Sandboxes(backends, prove), PLACES)
    try:
        calls = Calls(processes, confinements)
        try:
            yield calls
        finally:
            await calls.processes.close()
            confinements.close()
    finally:
        await processes.close()


def backends() -> list[SandboxBackend]:
    """Returns the backends that may work on this machine."""
    from executors.sandbox.landlock_backend_linux import LandlockBackend

    every: list[SandboxBackend] = [LandlockBackend()]
    with suppress(ImportError):
        module = importlib.import_module("executors.sandbox.bubblewrap_linux")
        every.append(module.BubblewrapBackend())
    return [backend for backend in every if backend.missing() is None]
