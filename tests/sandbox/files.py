"""File calls under a sandbox, without a connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from executors.process.posix import PosixBackend
from executors.sandbox.backend import SandboxBackend
from executors.sandbox.choice import Sandboxes
from executors.server.confinements import Confinements
from executors.server.sandboxed_files import SandboxedFiles
from executors.server.workers import Workers
from tests.sandbox.session import PLACES, backends, holds
from tests.support.file_client import Client

BACKENDS = {backend.name: backend for backend in backends()}


def run(test: Callable[[Client], Awaitable[None]], *offered: SandboxBackend) -> None:
    """Runs *test* with a client of these backends; nothing is left behind."""

    async def main() -> None:
        processes = PosixBackend(asyncio.get_running_loop())
        workers = Workers()
        confinements = Confinements(Sandboxes(offered, holds), PLACES)
        client = Client(workers, SandboxedFiles(processes, workers, confinements))
        try:
            await test(client)
        finally:
            await client.files.close()
            workers.close()
            await processes.close()
        assert not processes_below(os.getpid())

    asyncio.run(main())


def processes_below(process: int) -> list[int]:
    """Returns the descendants of a process, parents before their children."""
    found = []
    for task in os.listdir(f"/proc/{process}/task"):
        try:
            children = Path(f"/proc/{process}/task/{task}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in map(int, children):
            found.append(child)
            try:
                found += processes_below(child)
            except FileNotFoundError:
                continue
    return found


def only(*entries: tuple[str | os.PathLike[str], str]) -> dict[str, Any]:
    """Returns an intent of nothing but these (path, access)."""
    return with_entries(
        *(
            {"path": {"type": "path", "path": Path(path).as_uri()}, "access": access}
            for path, access in entries
        )
    )


def with_entries(*entries: dict[str, Any]) -> dict[str, Any]:
    file_system = {"type": "restricted", "entries": list(entries)}
    permissions = {"type": "managed", "file_system": file_system, "network": "restricted"}
    return {"permissions": permissions, "windowsSandboxLevel": "disabled"}
