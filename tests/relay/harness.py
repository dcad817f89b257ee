"""A harness at the rendezvous: one stream on a WebSocket of its own."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from executors.transport.noise import Prologue
from executors.transport.noise_keys import KeyPair, PublicKey
from executors.transport.relay_endpoint import Ended, Opened, Readable, RelayStream
from executors.transport.relay_frames import MAX_FRAME_BYTES
from executors.transport.relay_harness import HarnessRelay, NotOpened
from tests.relay.links import get_bundle
from tests.relay.served import Served
from tests.support.rendezvous import Rendezvous
from tests.support.watch import SECONDS


class HandshakeFailed(Exception):
    """:ivar refused: the executor says that the registry would not have it."""

    def __init__(self, event: NotOpened) -> None:
        super().__init__(event.reason)
        self.refused = event.refused


class HarnessClient:
    """Calls an executor through the relay.

    :ivar notifications: all that have come.
    :ivar reason: why the stream ended.
    """

    def __init__(self, socket: ClientConnection, relay: HarnessRelay, stream_id: str) -> None:
        self.relay = relay
        self.stream: RelayStream
        self.stream_id = stream_id
        self.notifications: list[dict[str, Any]] = []
        self.reason = ""
        self.ended = asyncio.Event()
        self._came = asyncio.Event()
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[object, asyncio.Future[dict[str, Any]]] = {}

    async def run(self) -> None:
        """Receives until the end of the stream or of the WebSocket."""
        with suppress(ConnectionClosed):
            while not self.reason:
                await self.flush()
                self._receive(await self._socket.recv(decode=False))
            await self.flush()
        self.ended.set()
        for reply in self._replies.values():
            reply.cancel()

    async def open(self) -> None:
        """:raises HandshakeFailed: the executor would not."""
        while True:
            await self.flush()
            async with asyncio.timeout(SECONDS):
                self.relay.receive(await self._socket.recv(decode=False))
            for event in self.relay.take_events():
                match event:
                    case Opened(stream):
                        self.stream = stream
                        return
                    case NotOpened():
                        await self.flush()
                        raise HandshakeFailed(event)

    async def flush(self) -> None:
        while (frame := self.relay.next_frame()) is not None:
            await self._socket.send(frame)

    async def send(self, message: dict[str, Any] | bytes) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.relay.send(self.stream, data)
        await self.flush()

    def queue(self, method: str, params: Any = None) -> asyncio.Future[dict[str, Any]]:
        """The reply to a request that goes out with what is sent next."""
        request_id = next(self._ids)
        reply = self._replies[request_id] = asyncio.get_running_loop().create_future()
        request = {"id": request_id, "method": method, "params": params}
        self.relay.send(self.stream, json.dumps(request).encode())
        return reply

    async def ask(self, method: str, params: Any = None) -> dict[str, Any]:
        """Returns the whole reply."""
        reply = self.queue(method, params)
        await self.flush()
        async with asyncio.timeout(SECONDS):
            return await reply

    async def call(self, method: str, params: Any = None) -> Any:
        reply = await self.ask(method, params)
        assert "result" in reply, reply
        return reply["result"]

    async def initialize(self, **more: Any) -> dict[str, Any]:
        result: dict[str, Any] = await self.call("initialize", {"clientName": "test"} | more)
        await self.send({"method": "initialized"})
        return result

    async def notified(self, method: str, **params: Any) -> dict[str, Any]:
        """Waits for a notification whose params hold *params*; returns them."""
        async with asyncio.timeout(SECONDS):
            while True:
                for each in self.notifications:
                    if each["method"] == method and params.items() <= each["params"].items():
                        found: dict[str, Any] = each["params"]
                        return found
                self._came.clear()
                await self._came.wait()

    async def output(self, process_id: str = "p") -> bytes:
        """All of a process's, once it is closed."""
        await self.notified("process/closed", processId=process_id)
        return b"".join(
            base64.b64decode(each["params"]["chunk"])
            for each in self.notifications
            if each["method"] == "process/output" and each["params"]["processId"] == process_id
        )

    async def reset(self) -> None:
        """Ends the stream without a word that could be trusted."""
        self.relay.reset(self.stream, "reset")
        await self.flush()

    async def close(self) -> None:
        """Says that it is done."""
        self.relay.close(self.stream, "done")
        await self.flush()

    def read(self) -> None:
        """Takes all messages that have come."""
        while (message := self.relay.next_message(self.stream)) is not None:
            self._take(json.loads(message))

    def _receive(self, frame: bytes) -> None:
        self.relay.receive(frame)
        for event in self.relay.take_events():
            match event:
                case Readable():
                    self.read()
                case Ended():
                    self.reason = event.reason
        for event in self.relay.take_events():
            if isinstance(event, Ended):
                self.reason = event.reason

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self.notifications.append(message)
            self._came.set()
        elif message["id"] in self._replies:
            self._replies.pop(message["id"]).set_result(message)


def python(code: str, process_id: str = "p", **more: Any) -> dict[str, Any]:
    """Params that start a Python."""
    argv = [sys.executable, "-c", code]
    return {"processId": process_id, "argv": argv, "cwd": "file:///", "env": {}, "tty": False} | more


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - it is in another's hands
            await asyncio.sleep(0.01)


@asynccontextmanager
async def harness(
    service: Rendezvous | Served, environment_id: str, *, stream_id: str = "", keys: KeyPair | None = None
) -> AsyncIterator[HarnessClient]:
    """A harness whose stream is open.

    :raises HandshakeFailed: the executor would not.
    """
    keys = keys or KeyPair.generate()
    bundle = await get_bundle(service, environment_id, keys.public)
    stream_id = stream_id or str(uuid.uuid4())
    relay = HarnessRelay(
        keys,
        PublicKey.from_wire(bundle.executor_public_key),
        Prologue(environment_id, bundle.executor_registration_id, stream_id),
        bundle.harness_key_authorization.encode(),
    )
    async with connect(bundle.url, compression=None, max_size=MAX_FRAME_BYTES) as socket:
        client = HarnessClient(socket, relay, stream_id)
        await client.open()
        task = asyncio.create_task(client.run())
        try:
            yield client
        finally:
            await socket.close()
            await task
