"""The released exec-server in remote mode."""

from __future__ import annotations

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from tests.relay.served import ENVIRONMENT_ID as SERVED_ID
from tests.relay.served import Served
from tests.support.rendezvous import Rendezvous, rendezvous
from tests.support.watch import SECONDS

ENVIRONMENT_ID = "peer-1"


@asynccontextmanager
async def open_peer(program: str) -> AsyncIterator[Rendezvous]:
    """Runs *program* until the end, registered and connected; the rendezvous of the tests notes all."""
    async with (
        rendezvous() as service,
        started(program, service.base_url, ENVIRONMENT_ID, service.token),
    ):
        await service.executor_connected(ENVIRONMENT_ID)
        yield service


@asynccontextmanager
async def released(program: str, service: Served, *command: str, **more: Any) -> AsyncIterator[Process]:
    """Runs *program* until the end, registered and connected; see :func:`started`."""
    before = service.dialled("executor")
    async with started(program, service.url, SERVED_ID, service.executor_token, *command, **more) as process:
        async with asyncio.timeout(SECONDS):
            while service.dialled("executor") == before:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0.01)
        yield process


@asynccontextmanager
async def started(
    program: str,
    url: str,
    environment_id: str,
    token: str,
    *command: str,
    log: int | IO[bytes] = DEVNULL,
    **variables: str,
) -> AsyncIterator[Process]:
    """Starts *program*, and ends it.

    :param command: what comes after ``exec-server``.
    :param log: gets its standard error.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = await asyncio.create_subprocess_exec(
            *(program, "exec-server", *command, "--remote", url, "--environment-id", environment_id),
            "--registration-bearer-stdin",
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=log,
            cwd=home,
            env={"CODEX_HOME": home, "HOME": home, "PATH": os.environ["PATH"], **variables},
        )
        try:
            assert process.stdin is not None
            process.stdin.write(token.encode() + b"\n")
            process.stdin.close()
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
