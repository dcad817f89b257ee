"""``python -m bench.rendezvous``: how many executors and streams one instance of the service holds, and how.

The service is the real command in a process of its own, with its usual limits. Executors and harnesses are
sockets of this process that speak frames and no handshake: what is measured is the service.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.launch import Executor, LaunchError
from executors.transport.relay_pb2 import RelayMessageFrame
from harness.rendezvous.machine import raise_open_files
from harness.rendezvous.registry import PROFILE, SUITE
from harness.rendezvous.store import open_store

_SMALL: Final = 1024
_LARGE: Final = 60 * 1024
_UNREAD_BYTES: Final = 3 * 1024 * 1024
_AT_ONCE: Final = 32
_GOAL_MIB: Final = 300.0
_MIB: Final = 1024 * 1024


@dataclass
class Environment:
    """One executor, and the tokens of both sides."""

    id: str
    executor_token: str
    harness_token: str


class Executing(WSListener):
    """An executor that sends each frame back."""

    transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())


class Harness(WSListener):
    """One stream.

    :ivar seconds: from sending a frame to having it back.
    :ivar received: bytes of frames.
    :ivar again: whether the next frame goes out when one has come back.
    """

    def __init__(self, environment: Environment, stream: str) -> None:
        self.environment = environment
        self.stream = stream
        self.transport: WSTransport
        self.seconds: list[float] = []
        self.frames = 0
        self.received = 0
        self.again = False
        self.lost = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._frame = b""
        self._begun: deque[float] = deque()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.lost = True
        self.idle.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.BINARY:
            return
        now = time.perf_counter()
        self.seconds.append(now - self._begun.popleft())
        self.frames += 1
        self.received += len(frame.get_payload_as_memoryview())
        if self.again:
            self._send(now)
        elif not self._begun:
            self.idle.set()

    def start(self, payload_bytes: int, at_once: int = 1) -> None:
        """Sends so many frames, if it is still connected."""
        if self.lost:
            return
        self._frame = data_frame(self.stream, payload_bytes)
        self.idle.clear()
        for _ in range(at_once):
            self._send(time.perf_counter())

    def _send(self, now: float) -> None:
        self._begun.append(now)
        self.transport.send(WSMsgType.BINARY, self._frame)


@dataclass
class Phase:
    """What was found in one part of a run.

    :ivar cpu: of the service, as a share of one core.
    :ivar frames: that came back in a second; each went through the service twice.
    :ivar median_ms: from sending a frame to having it back.
    :ivar resident: MiB of the service at its end.
    """

    name: str
    seconds: float
    cpu: float
    resident: float
    frames: float = 0.0
    mib: float = 0.0
    median_ms: float = 0.0
    p99_ms: float = 0.0


@dataclass
class Found:
    """:ivar peak: the most that was resident, in MiB.
    :ivar lost: harnesses whose connection ended before it was to.
    """

    phases: list[Phase] = field(default_factory=list)
    start: float = 0.0
    peak: float = 0.0
    lost: int = 0


def data_frame(stream: str, payload_bytes: int) -> bytes:
    frame = RelayMessageFrame(version=1, stream_id=stream)
    frame.data.seq, frame.data.segment_count, frame.data.payload = 0, 1, os.urandom(payload_bytes)
    return bytes(frame.SerializeToString())


def _key() -> dict[str, str]:
    def random_text(length: int) -> str:
        return base64.b64encode(os.urandom(length)).decode()

    return {"suite": SUITE, "x25519_public_key": random_text(32), "mlkem768_public_key": random_text(1184)}


async def _all(what: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of all, of which so many run at a time."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Coroutine[Any, Any, Any]) -> Any:
        async with free:
            return await each

    return await asyncio.gather(*(one(each) for each in what))


class Run:
    """One service with all that connects to it."""

    def __init__(self, service: Executor, http: aiohttp.ClientSession) -> None:
        self.service = service
        self.executors: list[Executing] = []
        self.harnesses: list[Harness] = []
        self.found = Found(start=self._memory("VmRSS"))
        self._http = http

    def _memory(self, name: str) -> float:
        value = self.service.memory(name)
        assert value is not None, "the service has ended"
        return value

    def _cpu(self) -> float:
        value = self.service.cpu_seconds()
        assert value is not None, "the service has ended"
        return value

    async def _post(self, environment: str, action: str, token: str, body: object) -> Any:
        url = f"{self.service.url}/cloud/environment/{environment}/{action}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def add_executor(self, environment: Environment) -> None:
        body = {"security_profile": PROFILE, "executor_public_key": _key()}
        told = await self._post(environment.id, "register", environment.executor_token, body)
        _, listener = await ws_connect(Executing, told["url"], websocket_handshake_timeout=60)
        assert isinstance(listener, Executing)
        self.executors.append(listener)

    async def add_harness(self, environment: Environment, stream: str) -> None:
        body = {"harness_public_key": _key()}
        told = await self._post(environment.id, "connect", environment.harness_token, body)
        harness = Harness(environment, stream)
        await ws_connect(lambda: harness, told["url"], websocket_handshake_timeout=60)
        # The service ends who says nothing.
        harness.start(_SMALL)
        await harness.idle.wait()
        self.harnesses.append(harness)

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        """Measures what is done within."""
        for harness in self.harnesses:
            harness.seconds, harness.frames, harness.received = [], 0, 0
        begun, cpu = time.perf_counter(), self._cpu()
        yield
        seconds = time.perf_counter() - begun
        found = Phase(name, seconds, (self._cpu() - cpu) / seconds, self._memory("VmRSS"))
        taken = sorted(each for harness in self.harnesses for each in harness.seconds)
        if taken:
            found.frames = len(taken) / seconds
            found.mib = sum(harness.received for harness in self.harnesses) / seconds / _MIB
            found.median_ms = statistics.median(taken) * 1000
            found.p99_ms = taken[int(0.99 * (len(taken) - 1))] * 1000
        self.found.phases.append(found)

    async def paced(self, seconds: float) -> None:
        """Each stream has one small frame a second there and back."""

        async def one(harness: Harness) -> None:
            until = time.perf_counter() + seconds
            await asyncio.sleep(random.uniform(0.0, 1.0))
            while time.perf_counter() < until:
                harness.start(_SMALL)
                await harness.idle.wait()
                await asyncio.sleep(1.0)

        await asyncio.gather(*(one(harness) for harness in self.harnesses))

    async def busy(self, harnesses: list[Harness], seconds: float, payload_bytes: int, at_once: int) -> None:
        """Each has so many frames under way, all the time."""
        for harness in harnesses:
            harness.again = True
            harness.start(payload_bytes, at_once)
        await asyncio.sleep(seconds)
        for harness in harnesses:
            harness.again = False
        await asyncio.gather(*(harness.idle.wait() for harness in harnesses))

    async def unread(self, harnesses: list[Harness]) -> None:
        """Much is sent to harnesses that do not read, until each has read it after all."""
        for harness in harnesses:
            harness.transport.underlying_transport.pause_reading()
        for harness in harnesses:
            harness.start(_LARGE, _UNREAD_BYTES // _LARGE)
        await asyncio.sleep(2.0)
        for harness in harnesses:
            harness.transport.underlying_transport.resume_reading()
        await asyncio.gather(*(harness.idle.wait() for harness in harnesses))

    def end(self) -> Found:
        self.found.peak = self._memory("VmHWM")
        self.found.lost = sum(harness.lost for harness in self.harnesses)
        transports = [each.transport for each in self.harnesses]
        transports += [each.transport for each in self.executors]
        for transport in transports:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        return self.found


@asynccontextmanager
async def serving(database: Path) -> AsyncIterator[Executor]:
    """The service at that database."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "harness.cli", "rendezvous", "--listen", "127.0.0.1:0", "--exit-with-parent"),
        *("--database", str(database), "--audit-log", str(database.with_name("audit"))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise LaunchError("the service did not start")
        yield Executor(url, [process.pid])
    finally:
        process.stdin.close()
        await process.wait()


async def measure(
    executors: int, streams: int, seconds: float, say: Callable[[str], None] = lambda text: None
) -> Found:
    """Brings up a service with so many executors and streams, and has them do something for a while.

    :param seconds: that each part takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "rendezvous.sqlite"
        environments = []
        with open_store(database) as store:
            for number in range(executors):
                tokens = [
                    store.add_token(f"lab-{number}", role, 0.0, None)[1] for role in ("executor", "harness")
                ]
                environments.append(Environment(f"lab-{number}", *tokens))
        async with serving(database) as service, aiohttp.ClientSession() as http:
            run = Run(service, http)
            say(f"{executors} executors and {streams} streams connect")
            async with run.phase("connect"):
                await _all([run.add_executor(each) for each in environments])
                await _all(
                    [
                        run.add_harness(environments[number % executors], f"stream-{number}")
                        for number in range(streams)
                    ]
                )
            say("one frame a second on each")
            async with run.phase("paced"):
                await run.paced(seconds)
            say("as many small frames as it can")
            async with run.phase("small frames"):
                await run.busy(run.harnesses, seconds, _SMALL, 1)
            say("large frames on a few")
            async with run.phase("large frames"):
                await run.busy(run.harnesses[:16], seconds, _LARGE, 8)
            say("frames that are not read")
            async with run.phase("unread"):
                await run.unread(run.harnesses[: max(1, streams // 20)])
            return run.end()


def _table(found: Found) -> str:
    lines = [f"{'':14}{'s':>7}{'CPU':>7}{'MiB':>7}{'frames/s':>10}{'MiB/s':>8}{'median ms':>11}{'p99 ms':>9}"]
    for each in found.phases:
        line = f"{each.name:14}{each.seconds:7.1f}{each.cpu:7.0%}{each.resident:7.0f}"
        if each.frames:
            line += f"{each.frames:10.0f}{each.mib:8.0f}{each.median_ms:11.1f}{each.p99_ms:9.1f}"
        lines.append(line)
    lines.append(
        f"resident: {found.start:.0f} MiB at the start, {found.peak:.0f} MiB at most (goal: {_GOAL_MIB:g})"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rendezvous", description=__doc__)
    parser.add_argument("--executors", type=int, default=1000, metavar="N")
    parser.add_argument("--streams", type=int, default=2000, metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="N", help="of each part")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    options = parser.parse_args()
    raise_open_files()
    found = asyncio.run(
        measure(
            options.executors, options.streams, options.seconds, lambda text: print(text, file=sys.stderr)
        )
    )
    print(_table(found))
    if found.lost:
        print(f"{found.lost} streams were lost")
    return 1 if options.check and (found.lost or found.peak > _GOAL_MIB) else 0


if __name__ == "__main__":
    sys.exit(main())
