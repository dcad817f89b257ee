"""What is measured, and how. Every measure takes an amount, so that its warm-up is itself, smaller."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pybase64

from bench.client import Client, base64_field, decoded_size, initialized, open_client
from bench.launch import Executor, Target, characters_written, running
from bench.system import POSIX, System

MIB = 1024 * 1024
_BLOCK = MIB
_PROCESSES_IN_FLIGHT = 16
_CALLS_IN_FLIGHT = 64
_BLOCKS_IN_FLIGHT = 4
_STALL_POLL_SECONDS = 0.05
_STALL_POLLS = 6
# A pattern that is cheap to make and does not let a wrong offset pass.
_PATTERN = bytes(range(251)) * (MIB // 251 + 1)


@dataclass(frozen=True)
class Settings:
    """How much, and how.

    :ivar scale: what the amounts are multiplied with.
    :ivar verify: decode and compare all data instead of counting it.
    :ivar quickack: see :class:`bench.client.Client`.
    """

    scale: float = 1.0
    verify: bool = False
    quickack: bool = True


@dataclass(frozen=True)
class Bench:
    """One executor, and what its measures need.

    :ivar folder: for files that both see.
    :ivar system: what runs and how files are named there.
    """

    target: Target
    executor: Executor
    folder: Path
    settings: Settings
    system: System = POSIX

    def uri(self, path: Path) -> str:
        """Returns what the executor calls a *path* in the folder."""
        return self.system.uri(path)

    async def open(self) -> Client:
        """Returns a connection on which nothing has been sent yet."""
        if self.target.route is not None:
            return await self.target.route.open(self.system)
        return await open_client(self.executor.url, quickack=self.settings.quickack, system=self.system)

    def connected(self) -> AbstractAsyncContextManager[Client]:
        """Yields an initialized connection."""
        return initialized(self.open)


class Unmeasurable(Exception):
    """This cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Measure:
    """
    :ivar unit: of the numbers that *run* returns.
    :ivar better: which of two numbers is the better one.
    :ivar goal: what this project wants to reach on two cores; None for no goal.
    :ivar operation: what processor time is divided by: *amount* of them are run.
    :ivar amount: of operations in one round.
    :ivar run: returns the numbers of one round: one for each operation, or a rate.
    """

    key: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    goal: float | None
    operation: str
    amount: int
    run: Callable[[Bench, int], Awaitable[list[float]]]
    fresh: bool = False
    """In an executor of its own: not scaled, no warm-up, and in the first two rounds only."""
    worst: bool = False
    """The worst number stands for all, in place of the median."""


async def _start(bench: Bench, amount: int) -> list[float]:
    if not bench.target.command:
        raise Unmeasurable("not launched here")
    result = []
    for _ in range(amount):
        async with running(bench.target) as executor:
            result.append(executor.start_seconds * 1e3)
    return result


async def _connect(bench: Bench, amount: int) -> list[float]:
    result = []
    for _ in range(amount):
        begin = time.perf_counter()
        client = await bench.open()
        await client.initialize()
        result.append((time.perf_counter() - begin) * 1e3)
        client.disconnect()
        await client.lost
    return result


async def _process(bench: Bench, amount: int) -> list[float]:
    result = []
    async with bench.connected() as client:
        for number in range(amount):
            begin = time.perf_counter()
            process = client.start(f"p{number}", bench.system.nothing)
            await process.exited
            result.append((time.perf_counter() - begin) * 1e3)
            await process.closed
    return result


async def _processes(bench: Bench, amount: int) -> list[float]:
    async with bench.connected() as client:
        begin = time.perf_counter()
        await _run_processes(client, bench.system.nothing, amount)
        return [amount / (time.perf_counter() - begin)]


async def _run_processes(client: Client, argv: list[str], amount: int) -> None:
    numbers = iter(range(amount))

    async def one_after_the_other() -> None:
        for number in numbers:
            await client.start(f"p{number}", argv).closed

    async with asyncio.TaskGroup() as group:
        for _ in range(_PROCESSES_IN_FLIGHT):
            group.create_task(one_after_the_other())


async def metadata(bench: Bench, amount: int) -> list[float]:
    path = bench.uri(_file(bench, 1))
    result = []
    async with bench.connected() as client:
        for _ in range(amount):
            begin = time.perf_counter()
            await pipelined(client, b"fs/getMetadata", lambda _: b'{"path":"%b"}' % path.encode(), 1, 1)
            result.append((time.perf_counter() - begin) * 1e6)
    return result


async def _metadata_pipelined(bench: Bench, amount: int) -> list[float]:
    params = b'{"path":"%b"}' % bench.uri(_file(bench, 1)).encode()
    async with bench.connected() as client:
        begin = time.perf_counter()
        await pipelined(client, b"fs/getMetadata", lambda _: params, amount, _CALLS_IN_FLIGHT)
        return [amount / (time.perf_counter() - begin)]


async def output(bench: Bench, amount: int) -> list[float]:
    size = amount * MIB
    async with bench.connected() as client:
        begin = time.perf_counter()
        process = client.start("p", bench.system.zeros(size), verify=b"\0" if bench.settings.verify else None)
        if bench.system.starts_slowly:
            await process.some_output
            begin = time.perf_counter()
        await process.closed
        took = time.perf_counter() - begin
    if process.wrong or process.output_bytes != size:
        raise ValueError(f"output of {size} bytes came as {process.output_bytes}; {process.wrong}")
    return [size / took / 1e6]


async def read_file(bench: Bench, amount: int) -> list[float]:
    path = _file(bench, amount)
    params = b'{"path":"%b"}' % bench.uri(path).encode()
    expected = path.read_bytes() if bench.settings.verify else b""

    def check(_: int, payload: memoryview) -> None:
        _check_data(base64_field(payload, b"dataBase64"), amount * MIB, expected)

    async with bench.connected() as client:
        begin = time.perf_counter()
        await pipelined(client, b"fs/readFile", lambda _: params, 1, 1, check)
        return [amount * MIB / (time.perf_counter() - begin) / 1e6]


async def read_blocks(bench: Bench, amount: int) -> list[float]:
    path = _file(bench, amount)
    verify = bench.settings.verify
    file = os.open(path, os.O_RDONLY)

    def check(index: int, payload: memoryview) -> None:
        expected = os.pread(file, _BLOCK, index * _BLOCK) if verify else b""
        _check_data(base64_field(payload, b"chunk"), _BLOCK, expected)

    def params(index: int) -> bytes:
        return b'{"handleId":"h","offset":%d,"len":%d}' % (index * _BLOCK, _BLOCK)

    try:
        async with bench.connected() as client:
            begin = time.perf_counter()
            await client.call("fs/open", {"handleId": "h", "path": bench.uri(path), "mode": "read"})
            await pipelined(client, b"fs/readBlock", params, amount, _BLOCKS_IN_FLIGHT, check)
            await client.call("fs/close", {"handleId": "h"})
            return [amount * _BLOCK / (time.perf_counter() - begin) / 1e6]
    finally:
        os.close(file)


async def write_blocks(bench: Bench, amount: int) -> list[float]:
    path = bench.folder / "written"
    block = _PATTERN[:_BLOCK]
    chunk = pybase64.b64encode(block)

    def params(index: int) -> bytes:
        return b'{"handleId":"h","offset":%d,"chunk":"%b"}' % (index * _BLOCK, chunk)

    async with bench.connected() as client:
        begin = time.perf_counter()
        await client.call("fs/open", {"handleId": "h", "path": bench.uri(path), "mode": "replace"})
        await pipelined(client, b"fs/writeBlock", params, amount, _BLOCKS_IN_FLIGHT)
        await client.call("fs/close", {"handleId": "h"})
        took = time.perf_counter() - begin
    try:
        if path.stat().st_size != amount * _BLOCK:
            raise ValueError(f"wrote {amount * _BLOCK} bytes, the file has {path.stat().st_size}")
        if bench.settings.verify:
            with path.open("rb") as file:
                if any(file.read(_BLOCK) != block for _ in range(amount)):
                    raise ValueError("the file has other bytes than were written")
    finally:
        path.unlink()
    return [amount * _BLOCK / took / 1e6]


async def _terminate(bench: Bench, amount: int) -> list[float]:
    result = []
    async with bench.connected() as client:
        for number in range(amount):
            process = client.start(f"p{number}", bench.system.sleeper)
            await process.started
            begin = time.perf_counter()
            await client.terminate(process)
            result.append((time.perf_counter() - begin) * 1e3)
    return result


async def _idle(bench: Bench, amount: int) -> list[float]:
    async with _fresh(bench) as (executor, _):
        return [_known(executor.memory("VmRSS"))]


async def _idle_proportional(bench: Bench, amount: int) -> list[float]:
    async with _fresh(bench) as (executor, _):
        return [_known(executor.proportional())]


async def _after_processes(bench: Bench, amount: int) -> list[float]:
    async with _fresh(bench) as (executor, client):
        await _run_processes(client, bench.system.nothing, amount)
        return [_known(executor.memory("VmRSS"))]


async def _stalled_reader(bench: Bench, amount: int) -> list[float]:
    async with _fresh(bench) as (executor, client):
        # The first megabytes warm up what any output needs.
        await client.start("warm", ["head", "-c", str(16 * MIB), "/dev/zero"]).closed
        executor.reset_peak()
        before = _known(executor.memory("VmRSS"))
        process = client.start("p", ["sh", "-c", f"echo $$; exec head -c {amount * MIB} /dev/zero"])
        pid = int((await process.some_output).partition(b"\n")[0])
        client.pause_reading()
        await _until_blocked(pid)
        client.resume_reading()
        await client.terminate(process)
        return [max(0.0, _known(executor.memory("VmHWM")) - before)]


async def _until_blocked(pid: int) -> None:
    """Returns once process *pid* has not written for a while, or has ended."""
    last, same = -1, 0
    while same < _STALL_POLLS:
        written = characters_written(pid)
        if written is None:
            return
        same = same + 1 if written == last else 0
        last = written
        # Nothing tells that a pipe stays full: the kernel's count has to be asked.
        await asyncio.sleep(_STALL_POLL_SECONDS)


async def pipelined(
    client: Client,
    method: bytes,
    params: Callable[[int], bytes],
    count: int,
    window: int,
    check: Callable[[int, memoryview], None] | None = None,
) -> None:
    """Makes *count* calls, *window* of them in flight.

    :param check: gets the index and the message of each reply.
    """
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sent = answered = 0

    def send() -> None:
        nonlocal sent
        index = sent
        sent += 1
        client.request(method, params(index), lambda payload: reply(index, payload), done)

    def reply(index: int, payload: memoryview) -> None:
        nonlocal answered
        if done.done():
            return
        answered += 1
        if check is not None:
            check(index, payload)
        if sent < count:
            send()
        elif answered == count:
            done.set_result(None)

    for _ in range(min(window, count)):
        send()
    await done


def _check_data(base64: memoryview, size: int, expected: bytes) -> None:
    """
    :param expected: empty if only the size is to be checked.
    :raises ValueError: the data is another.
    """
    found = decoded_size(base64)
    if found != size:
        raise ValueError(f"expected {size} bytes, found {found}")
    if expected and pybase64.b64decode(base64, validate=True) != expected:
        raise ValueError("the data is not that of the file")


def _file(bench: Bench, mebibytes: int) -> Path:
    """Returns a file of that size, made when it is first asked for."""
    path = bench.folder / f"{mebibytes}-mib"
    if not path.exists():
        with path.open("wb") as file:
            for index in range(mebibytes):
                file.write(_PATTERN[index % 251 :][:_BLOCK].ljust(_BLOCK, b"\0"))
    return path


def _known(value: float | None) -> float:
    if value is None:
        raise Unmeasurable("not launched here, or its /proc may not be read")
    return value


@asynccontextmanager
async def _fresh(bench: Bench) -> AsyncIterator[tuple[Executor, Client]]:
    """An executor launched for one measure of memory, and a connection to it."""
    if not bench.target.command:
        raise Unmeasurable("not launched here")
    async with (
        running(bench.target) as executor,
        initialized(lambda: open_client(executor.url, system=bench.system)) as client,
    ):
        yield executor, client


MEASURES = [
    Measure("start", "launch to listening", "ms", "lower", 150, "launch", 3, _start),
    Measure("connect", "connect and initialize", "ms", "lower", None, "connection", 40, _connect),
    Measure("process", "/bin/true, start to exited", "ms", "lower", 2, "process", 150, _process),
    Measure("processes", "/bin/true, 16 in flight", "1/s", "higher", 400, "process", 500, _processes),
    Measure("terminate", "terminate to closed", "ms", "lower", None, "process", 40, _terminate),
    Measure("metadata", "getMetadata", "us", "lower", 100, "call", 2000, metadata),
    Measure(
        "metadata-pipelined",
        "getMetadata, 64 in flight",
        "1/s",
        "higher",
        30_000,
        "call",
        20_000,
        _metadata_pipelined,
    ),
    Measure("output", "output of one process", "MB/s", "higher", 500, "MiB", 256, output),
    Measure("read-file", "readFile, the whole file", "MB/s", "higher", None, "MiB", 64, read_file),
    Measure("read-blocks", "readBlock of 1 MiB, 4 in flight", "MB/s", "higher", 500, "MiB", 256, read_blocks),
    Measure(
        "write-blocks", "writeBlock of 1 MiB, 4 in flight", "MB/s", "higher", None, "MiB", 256, write_blocks
    ),
    Measure("idle-rss", "resident, idle", "MiB", "lower", 45, "", 1, _idle, fresh=True),
    Measure("idle-pss", "proportional, idle", "MiB", "lower", None, "", 1, _idle_proportional, fresh=True),
    Measure(
        "processes-rss",
        "resident after 1,000 processes",
        "MiB",
        "lower",
        None,
        "",
        1000,
        _after_processes,
        fresh=True,
    ),
    Measure(
        "stalled-reader",
        "peak growth, 1 GiB of output unread",
        "MiB",
        "lower",
        32,
        "",
        1024,
        _stalled_reader,
        fresh=True,
    ),
]
