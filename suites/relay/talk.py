"""What goes through the relay while it is attacked, and those who must notice nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from executors.protocol.path_uri import PathUri
from harness.client import Client, Completed, Interrupted, OutcomeUnknown, OutputEvent, Process
from suites.recovery.programs import STREAM
from suites.relay.scene import SECONDS, Scene

T = TypeVar("T")
BLOCK: Final = 65536
# Not every executor can end an input: these programs end before.
ANSWER: Final = """
import os, sys
os.write(1, b"ready\\n")
for line in iter(sys.stdin.buffer.readline, b"\\n"):
    os.write(1, b"got " + line)
"""
"""Says ``ready`` and answers each line of its input at once, until an empty one."""
DIGEST: Final = """
import hashlib, os, sys
digest, left = hashlib.sha256(), int(sys.argv[1])
while left:
    data = os.read(0, min(left, 65536))
    digest.update(data)
    left -= len(data)
print(digest.hexdigest())
"""
"""Prints the SHA-256 of so many bytes of its input."""


async def finish(process: Process) -> Completed:
    """Has :data:`ANSWER` end; returns all that it has said."""
    await process.write(b"\n")
    return await process.communicate()


async def output(scene: Scene, client: Client, blocks: int, seed: int = 1) -> None:
    """Has so many blocks of 64 KiB written there; all must come, once and in order."""
    process = await client.start(scene.argv(STREAM, str(seed), str(blocks)))
    found, size, said = hashlib.sha256(), 0, b""
    seq = 0
    async for event in process:
        seq += 1
        assert event.seq == seq
        if isinstance(event, OutputEvent) and event.stream == "stdout":
            found.update(event.data)
            size += len(event.data)
        elif isinstance(event, OutputEvent):
            said += event.data
    assert size == blocks * BLOCK
    assert found.hexdigest().encode() == said


async def input(scene: Scene, client: Client, blocks: int, seed: int = 1) -> None:
    """Writes so many blocks to a program there, which must get all, once and in order."""
    data = random.Random(seed).randbytes(blocks * BLOCK)
    process = await client.start(scene.argv(DIGEST, str(len(data))), stdin=True)
    await process.write(data)
    done = await process.communicate()
    assert done.stdout.decode().strip() == hashlib.sha256(data).hexdigest()


async def file(scene: Scene, client: Client, blocks: int, seed: int = 1) -> None:
    """Writes a file there in one message, which is a row of records that nothing is waited for between."""
    data = random.Random(seed).randbytes(blocks * BLOCK)
    path, uri = await temporary_file(scene, client)
    await again(lambda: client.files.write_file(uri, data))
    digest = (
        "import hashlib, os, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest());"
        "os.remove(sys.argv[1])"
    )
    found = await client.run(scene.argv(digest, path), check=True)
    assert found.stdout.decode().strip() == hashlib.sha256(data).hexdigest()


async def temporary_file(scene: Scene, client: Client) -> tuple[str, PathUri]:
    """Makes an empty file there."""
    make = "import pathlib, tempfile; p = pathlib.Path(tempfile.mkstemp()[1]); print(p); print(p.as_uri())"
    path, uri = (await client.run(scene.argv(make), check=True)).stdout.decode().splitlines()
    return path, PathUri.parse(uri)


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """Makes a call until its connection lasts."""
    while True:
        try:
            return await call()
        except (Interrupted, OutcomeUnknown):
            continue


FLOWS: Final = {"down": output, "up": input, "file": file}


@asynccontextmanager
async def bystander(scene: Scene) -> AsyncIterator[Client]:
    """A client of the same executor with a process, which goes on to the end over one connection."""
    async with scene.connect() as client:
        process = await client.start(scene.argv(ANSWER), stdin=True)
        await process.write(b"before\n")
        yield client
        async with asyncio.timeout(SECONDS):
            await process.write(b"after\n")
            done = await finish(process)
        assert done.stdout.splitlines() == [b"ready", b"got before", b"got after"]
        assert client.generation == 1
