"""Starts executors, ends them, and asks Linux what they use."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.client import Client
from bench.system import System

_START_SECONDS = 30.0
_END_SECONDS = 5.0


class LaunchError(Exception):
    """A command did not become an executor."""


class Route(Protocol):
    """The way to an executor that does not listen.

    :ivar input: what its command reads at first.
    """

    @property
    def input(self) -> bytes: ...

    async def until_reachable(self) -> str:
        """Waits for the executor; returns its name for people."""

    async def open(self, system: System) -> Client:
        """Returns a connection on which nothing has been sent yet."""


@dataclass(frozen=True)
class Target:
    """What is measured: a command to launch, or a URL where an executor listens already.

    :ivar route: how it is reached, if it is launched and does not listen.
    """

    name: str
    command: str = ""
    url: str = ""
    environ: Mapping[str, str] | None = None
    """All variables of the command; None for this process's own."""
    cwd: Path | None = None
    is_alone: bool = True
    """Whether its process group is its own to end: under Wine services of the whole prefix may be in it."""
    route: Route | None = None


@dataclass
class Executor:
    """One that listens.

    :ivar pids: its process and those below it at the time it began to listen: a command may be a
        launcher. Empty for one that was not launched here.
    :ivar start_seconds: from the launch to the line with the URL; 0 if not launched here.
    """

    url: str
    pids: list[int] = field(default_factory=list)
    start_seconds: float = 0.0

    def cpu_seconds(self) -> float | None:
        """Returns the processor time of all threads so far, without that of ended children."""
        total = 0.0
        for pid in self.pids:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            try:
                total += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                return None
        return total if self.pids else None

    def memory(self, name: str) -> float | None:
        """Returns the sum of a field of /proc/PID/status, such as VmRSS, in MiB."""
        return self._sum("status", name)

    def proportional(self) -> float | None:
        """Returns the proportional set size in MiB; None without the right to read it."""
        return self._sum("smaps_rollup", "Pss")

    def reset_peak(self) -> None:
        """Lets VmHWM begin again from what is resident now (proc(5), clear_refs)."""
        for pid in self.pids:
            with open(f"/proc/{pid}/clear_refs", "w") as file:
                file.write("5")

    def _sum(self, file_name: str, field_name: str) -> float | None:
        total = 0
        for pid in self.pids:
            try:
                with open(f"/proc/{pid}/{file_name}") as file:
                    lines = [line for line in file if line.startswith(f"{field_name}:")]
            except OSError:
                return None
            if not lines:
                return None
            total += int(lines[0].split()[1])
        return total / 1024 if self.pids else None


@asynccontextmanager
async def running(target: Target) -> AsyncIterator[Executor]:
    """Yields the executor of *target*; one that is launched has ended afterwards.

    :raises LaunchError: the command ended, or printed no URL or could not be reached within 30 s.
    """
    if target.url:
        yield Executor(target.url)
        return
    with tempfile.TemporaryFile() as messages:
        begin = time.perf_counter()
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(target.command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=messages,
                env=target.environ,
                cwd=target.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchError(f"{target.name}: cannot start {target.command!r}: {error}") from None
        try:
            if target.route is None:
                yield await _listening(target, process, begin)
            else:
                yield await _reachable(target, target.route, process, begin)
        except LaunchError as error:
            messages.seek(0)
            raise LaunchError(f"{error}; it said: {messages.read().decode(errors='replace')}") from None
        finally:
            await _end(process, target.is_alone)


async def _listening(target: Target, process: asyncio.subprocess.Process, begin: float) -> Executor:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = (await process.stdout.readline()).decode(errors="replace").strip()
    except TimeoutError:
        line = f"nothing within {_START_SECONDS:g} s"
    took = time.perf_counter() - begin
    if not line.startswith("ws://"):
        raise LaunchError(
            f"{target.name}: the first line of {target.command!r} must be its ws:// URL, found {line!r}"
        )
    return Executor(line, _with_descendants(process.pid), took)


async def _reachable(
    target: Target, route: Route, process: asyncio.subprocess.Process, begin: float
) -> Executor:
    assert process.stdin is not None
    process.stdin.write(route.input)
    process.stdin.close()
    reaching = asyncio.create_task(route.until_reachable())
    ending = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((reaching, ending), timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if reaching.done():
            return Executor(await reaching, _with_descendants(process.pid), time.perf_counter() - begin)
    finally:
        for task in (reaching, ending):
            task.cancel()
        await asyncio.gather(reaching, ending, return_exceptions=True)
    found = f"not within {_START_SECONDS:g} s" if process.returncode is None else "it has ended"
    raise LaunchError(
        f"{target.name}: {target.command!r} should have come to where it can be reached: {found}"
    )


async def _end(process: asyncio.subprocess.Process, is_alone: bool) -> None:
    """Asks the process to end, and its group if that is its own; then kills what is left of it."""
    end = os.killpg if is_alone else os.kill
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_alone and process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            end(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()


def _with_descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{thread}/children") as file:
                    found.extend(int(word) for word in file.read().split())
    return found


def characters_written(pid: int) -> int | None:
    """Returns what process *pid* has written so far, in bytes; None once it has ended."""
    try:
        with open(f"/proc/{pid}/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("wchar:"))
    except (OSError, StopIteration):
        return None
