"""Runs processes on a backend of its own and records what is heard of them."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from executors.process.base import SpawnRequest
from executors.process.posix import PosixBackend, PosixProcess
from executors.protocol.processes import Stream
from tests.support.watch import SECONDS, Holdings, Watched, holdings

T = TypeVar("T")
PATH = "/usr/local/bin:/usr/bin:/bin"


class Recorder:
    """The observer of one process.

    :ivar exit_code: None until it has ended.
    :ivar events: ``"exited"`` and ``"closed"`` in the order of their coming.
    """

    def __init__(self) -> None:
        self.child: PosixProcess
        self.streams: dict[Stream, bytearray] = {
            "stdout": bytearray(),
            "stderr": bytearray(),
            "pty": bytearray(),
        }
        self.pieces: list[int] = []
        self.exit_code: int | None = None
        self.events: list[str] = []
        self._changed = asyncio.Event()

    def output(self, stream: Stream, data: bytes) -> None:
        assert data, "a piece of output is never empty"
        assert "closed" not in self.events
        self.streams[stream] += data
        self.pieces.append(len(data))
        self._changed.set()

    def exited(self, exit_code: int) -> None:
        assert self.exit_code is None
        self.exit_code = exit_code
        self.events.append("exited")
        self._changed.set()

    def output_closed(self) -> None:
        assert "closed" not in self.events
        self.events.append("closed")
        self._changed.set()

    @property
    def text(self) -> str:
        """All of stdout or of the terminal, whose line ends are made plain."""
        return bytes(self.streams["stdout"] + self.streams["pty"]).decode().replace("\r\n", "\n")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_exited(self) -> int:
        await self.until(lambda: self.exit_code is not None)
        assert self.exit_code is not None
        return self.exit_code

    async def until_over(self) -> int:
        await self.until(lambda: len(self.events) == 2)
        return await self.until_exited()

    async def until_text(self, text: str) -> str:
        await self.until(lambda: text in self.text)
        return self.text

    async def pids(self, count: int = 1) -> list[Watched]:
        """Waits for lines of output that are process ids and returns them as seen now."""
        await self.until(lambda: self.text.count("\n") >= count)
        return [Watched(int(line)) for line in self.text.splitlines()[:count]]


class Lab:
    """Starts processes and ends them all at the end."""

    def __init__(self, backend: PosixBackend) -> None:
        self.backend = backend
        self.recorders: list[Recorder] = []

    def start(self, *argv: str, **how: Any) -> Recorder:
        """
        :raises OSError, ValueError: as the backend's spawn.
        """
        recorder = Recorder()
        request = SpawnRequest(argv=list(argv), **{"cwd": "/", "env": {"PATH": PATH}, **how})
        recorder.child = self.backend.spawn(request, recorder)
        self.recorders.append(recorder)
        return recorder

    def shell(self, script: str, **how: Any) -> Recorder:
        return self.start("/bin/sh", "-c", script, **how)

    async def run(self, *argv: str, **how: Any) -> Recorder:
        recorder = self.start(*argv, **how)
        await recorder.until_over()
        return recorder


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    lab = Lab(PosixBackend(asyncio.get_running_loop()))
    try:
        yield lab
    finally:
        for recorder in lab.recorders:
            await recorder.child.terminate()
            recorder.child.release()
        await lab.backend.close()


def in_lab(body: Callable[[Lab], Awaitable[T]]) -> T:
    """Runs *body*; nothing may be held afterwards that was not held before."""

    async def main() -> T:
        # What other tests have left to the collector would be taken for ours when it goes.
        gc.collect()
        before = holdings()
        async with open_lab() as lab:
            result = await body(lab)
        after = holdings()
        assert after == Holdings(before.fds, before.threads, ()), (
            f"before: {before}, {before.links}; after: {after}, {after.links}"
        )
        return result

    return asyncio.run(main())


def lab_test(body: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test of a coroutine function whose first parameter is the lab."""
    import functools
    import inspect

    @functools.wraps(body)
    def test(*args: Any, **kwargs: Any) -> None:
        in_lab(lambda lab: body(lab, *args, **kwargs))

    signature = inspect.signature(body)
    parameters = list(signature.parameters.values())[1:]
    test.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return test


def fifo(path: str) -> str:
    os.mkfifo(path)
    return path
