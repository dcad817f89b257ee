"""Our executor in remote mode, as a process or in the loop of the test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from executors.remote.credentials import Bearer, Fixed
from executors.remote.executor import RemoteSettings, serve_remote
from tests.support.rendezvous import Rendezvous
from tests.support.watch import SECONDS

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT_ID = "environment 1"


@asynccontextmanager
async def in_loop(
    service: Rendezvous, environment_id: str = ENVIRONMENT_ID, **more: Any
) -> AsyncIterator[asyncio.Event]:
    """Yields what stops it."""
    credential = Fixed(Bearer(service.token))
    settings = RemoteSettings(service.base_url, environment_id, credential, **more)
    stop, connected = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve_remote(settings, stop, connected.set))
    try:
        async with asyncio.timeout(SECONDS):
            await connected.wait()
        yield stop
    finally:
        stop.set()
        await task


async def start(*arguments: str, **variables: str) -> Process:
    """The command, with *variables* in its environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSEXEC_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "executors", "--remote", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=inherited | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | variables,
    )


async def outcome(process: Process, told: bytes = b"") -> tuple[int, str, str]:
    """Its exit status and what it has written, after *told* on stdin."""
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(told)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def as_process(service: Rendezvous, *arguments: str) -> AsyncIterator[Process]:
    """The command, once it can be reached; ended at the end, where it must have said nothing alarming."""
    process = await start(
        *(service.base_url, "--environment-id", ENVIRONMENT_ID, *arguments),
        CROSSEXEC_REGISTRY_TOKEN=service.token,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            line = await process.stdout.readline()
        assert line == f"remote:{ENVIRONMENT_ID}\n".encode(), await process.stderr.read()
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        status, out, err = await outcome(process)
        assert (status, out) == (0, "")
        assert "Traceback" not in err
        assert service.token not in err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
