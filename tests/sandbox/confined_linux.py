"""Programs in a confinement, for the tests of the backends."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from executors.process.base import SpawnRequest
from executors.process.posix import PosixBackend, PosixProcess
from executors.protocol.processes import Stream
from executors.sandbox.backend import Confinement, Evidence, SandboxBackend
from executors.sandbox.policy import Access, Policy, Rule, make_policy

_LIMIT_SECONDS = 100


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class Places:
    """A writable place, and one beside it with a file that must not change."""

    def __init__(self, base: Path) -> None:
        base = base.resolve()
        self.ws, self.out = base / "ws", base / "out"
        self.ws.mkdir()
        self.out.mkdir()
        self.kept = self.out / "file"
        self.kept.write_text("kept")
        self.kept.chmod(0o640)

    @property
    def policy(self) -> Policy:
        return make_policy([Rule(Path("/"), Access.READ), Rule(self.ws, Access.WRITE)])


@dataclass
class Outcome:
    """What came of a program."""

    code: int
    output: str
    evidence: Evidence | None


@dataclass
class Running:
    """A program that runs; the observer of its process."""

    confinement: Confinement
    data: bytearray = field(default_factory=bytearray)
    code: int | None = None
    output_over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    evidence: Evidence | None = None
    process: PosixProcess = field(init=False)

    def output(self, stream: Stream, data: bytes) -> None:
        self.data += data
        self.changed.set()

    def exited(self, exit_code: int) -> None:
        self.code = exit_code
        self.evidence = self.confinement.evidence(self.process.pid)
        self.changed.set()

    def output_closed(self) -> None:
        self.output_over = True
        self.changed.set()

    async def until_said(self, text: bytes) -> None:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while text not in self.data:
                assert not self.output_over, bytes(self.data)
                await self._change()

    async def outcome(self) -> Outcome:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while self.code is None or not self.output_over:
                await self._change()
        return Outcome(self.code, self.data.decode("utf-8", "replace"), self.evidence)

    async def _change(self) -> None:
        self.changed.clear()
        await self.changed.wait()


class Confined:
    """Starts programs in the confinement of a policy."""

    def __init__(self, backend: SandboxBackend, policy: Policy) -> None:
        self._sandbox = backend
        self._policy = policy
        self._running: list[Running] = []

    async def __aenter__(self) -> Self:
        self._backend = PosixBackend(asyncio.get_running_loop())
        try:
            self.confinement = self._sandbox.confine(self._policy)
        except BaseException:
            await self._backend.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in self._running:
            await running.process.terminate()
            running.process.release()
        self.confinement.close()
        await self._backend.close()

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str = "/",
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        arg0: str | None = None,
    ) -> Running:
        request = SpawnRequest(
            argv=list(argv),
            arg0=arg0,
            cwd=str(cwd),
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})},
            tty=tty,
            starter=self.confinement.start,
        )
        running = Running(self.confinement)
        running.process = self._backend.spawn(self.confinement.wrap(request), running)
        self._running.append(running)
        return running

    async def run(self, argv: Sequence[str], **how: Any) -> Outcome:
        return await self.start(argv, **how).outcome()

    async def shell(self, text: str, **how: Any) -> Outcome:
        return await self.run(["/bin/sh", "-c", text], **how)

    async def python(self, text: str, **how: Any) -> Outcome:
        return await self.run([sys.executable, "-I", "-S", "-c", text], **how)
