"""The released exec-server in remote mode, at a rendezvous of ours."""

from __future__ import annotations

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.rendezvous import Rendezvous, rendezvous

ENVIRONMENT_ID = "peer-1"


@asynccontextmanager
async def open_peer(program: str) -> AsyncIterator[Rendezvous]:
    """Runs *program* until the end, registered and connected."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        async with rendezvous() as service:
            process = await asyncio.create_subprocess_exec(
                *(program, "exec-server", "--remote", service.base_url),
                *("--environment-id", ENVIRONMENT_ID, "--registration-bearer-stdin"),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=DEVNULL,
                cwd=home,
                env={"CODEX_HOME": home, "HOME": home, "PATH": os.environ["PATH"]},
            )
            try:
                assert process.stdin is not None
                process.stdin.write(service.token.encode() + b"\n")
                process.stdin.close()
                await service.executor_connected(ENVIRONMENT_ID)
                yield service
            finally:
                process.terminate()
                await process.wait()
