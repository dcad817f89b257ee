"""The harness's end of the relay, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from executors.remote.credentials import Bearer, Fixed
from executors.transport.noise_keys import PublicKey, WireKey
from executors.transport.relay_frames import MAX_FRAME_BYTES
from executors.transport.relay_pb2 import RelayData, RelayHandshake, RelayMessageFrame, RelayReset
from harness.remote.registry import HarnessRegistry
from tests.relay.served import Served
from tests.support.rendezvous import Call, Rendezvous
from tests.support.watch import SECONDS


class Bundle(msgspec.Struct, frozen=True):
    """What a harness needs to connect."""

    environment_id: str
    url: str
    executor_registration_id: str
    executor_public_key: WireKey
    harness_key_authorization: str


class Link:
    """One stream of one WebSocket."""

    def __init__(self, socket: ClientConnection, stream_id: str) -> None:
        self.socket = socket
        self.stream_id = stream_id

    async def send(self, frame: RelayMessageFrame) -> None:
        frame.version = 1
        frame.stream_id = self.stream_id
        await self.socket.send(frame.SerializeToString())

    async def handshake(self, payload: bytes) -> None:
        await self.send(RelayMessageFrame(handshake=RelayHandshake(payload=payload)))

    async def data(self, seq: int, payload: bytes) -> None:
        await self.send(RelayMessageFrame(data=RelayData(seq=seq, segment_count=1, payload=payload)))

    async def reset(self, reason: str) -> None:
        await self.send(RelayMessageFrame(reset=RelayReset(reason=reason)))

    async def receive(self) -> RelayMessageFrame:
        async with asyncio.timeout(SECONDS):
            message = await self.socket.recv(decode=False)
        return RelayMessageFrame.FromString(message)

    async def answer(self) -> bytes:
        """The second message of the handshake."""
        frame = await self.receive()
        assert frame.WhichOneof("body") == "handshake", frame
        return frame.handshake.payload

    async def payload(self) -> bytes:
        """The next transport message."""
        frame = await self.receive()
        assert frame.WhichOneof("body") == "data", frame
        return frame.data.payload

    async def reset_reason(self) -> str:
        frame = await self.receive()
        assert frame.WhichOneof("body") == "reset", frame
        return frame.reset.reason


async def get_bundle(service: Rendezvous | Served, environment_id: str, key: PublicKey) -> Bundle:
    """Asks the registry as a harness does; that of the tests without HTTP."""
    if isinstance(service, Served):
        registry = HarnessRegistry(service.url, environment_id, Fixed(Bearer(service.token)), None)
        told = await registry.connect(key)
        return Bundle(
            told.environment_id,
            told.url,
            told.executor_registration_id,
            told.executor().to_wire(),
            told.harness_key_authorization,
        )
    headers = {"authorization": f"Bearer {service.token}"}
    body = {"harness_public_key": msgspec.to_builtins(key.to_wire())}
    reply = await service.reply(Call("connect", environment_id, headers, body))
    assert reply.status == 200, reply
    return msgspec.convert(reply.body, Bundle)


@asynccontextmanager
async def open_link(bundle: Bundle, stream_id: str) -> AsyncIterator[Link]:
    async with connect(bundle.url, compression=None, max_size=MAX_FRAME_BYTES) as socket:
        yield Link(socket, stream_id)
