"""Recorded handshakes, and how to record them: ``python -m tests.relay.handshakes FOLDER [PEER]``.

A vector holds all that was drawn at random, so that every byte of it can be made again. In those recorded
with the released exec-server (PEER names its binary) what it drew is not known.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from pathlib import Path

import msgspec

from executors.transport.noise import Initiator, Prologue, Refused, Responder
from executors.transport.noise_keys import Encapsulation, KeyPair, PublicKey, Secret, WireKey
from tests.relay.links import get_bundle, open_link
from tests.relay.peer import ENVIRONMENT_ID, open_peer
from tests.support.rendezvous import Call, Reply

FOLDER = Path(__file__).parent / "vectors"


class Private(msgspec.Struct, frozen=True):
    """A key pair."""

    x25519: bytes
    mlkem768_seed: bytes

    def pair(self) -> KeyPair:
        return KeyPair(self.x25519, self.mlkem768_seed)


class Draws(msgspec.Struct):
    """What one side draws in a handshake: ciphertexts with their secrets, and the ephemeral keys."""

    encapsulations: list[tuple[bytes, bytes]]
    ephemeral: Private


class Exchange(msgspec.Struct):
    plaintext: bytes
    ciphertext: bytes


class Vector(msgspec.Struct, omit_defaults=True):
    made_by: str
    prologue: tuple[str, str, str]
    executor: WireKey
    harness_private: Private
    harness_draws: Draws
    authorization: bytes
    offer: bytes
    answer: bytes
    refused: bool = False
    executor_private: Private | None = None
    executor_draws: Draws | None = None
    to_executor: list[Exchange] = []
    to_harness: list[Exchange] = []


class Replayed:
    """Draws what was recorded, in its order."""

    def __init__(self, draws: Draws) -> None:
        self._pairs = iter([draws.ephemeral.pair()])
        self._encapsulations = iter(draws.encapsulations)

    def key_pair(self) -> KeyPair:
        return next(self._pairs)

    def encapsulate(self, key: PublicKey) -> Encapsulation:
        ciphertext, secret = next(self._encapsulations)
        return Encapsulation(ciphertext, Secret(secret))


class Recording:
    """Draws at random and keeps what it has drawn."""

    def __init__(self) -> None:
        self.draws = Draws([], draw_private())

    def key_pair(self) -> KeyPair:
        return self.draws.ephemeral.pair()

    def encapsulate(self, key: PublicKey) -> Encapsulation:
        drawn = key.encapsulate()
        self.draws.encapsulations.append((drawn.ciphertext, drawn.secret.reveal()))
        return drawn


def draw_private() -> Private:
    return Private(os.urandom(32), os.urandom(64))


def load(name: str) -> Vector:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Vector)


def save(path: Path, vector: Vector) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(vector), indent=1) + b"\n")


def record_ours(refused: bool = False) -> Vector:
    prologue = Prologue("environment-ü", "registration-1", "stream-1")
    executor, harness = draw_private(), draw_private()
    on_executor, on_harness = Recording(), Recording()
    authorization = b"an authorization"
    initiator = Initiator(harness.pair(), executor.pair().public, prologue, on_harness)
    responder = Responder(executor.pair(), prologue, on_executor)
    offer = initiator.offer(authorization)
    responder.take_offer(offer)
    vector = Vector(
        "this project",
        prologue,
        executor.pair().public.to_wire(),
        harness,
        on_harness.draws,
        authorization,
        offer,
        b"",
        refused,
        executor,
        on_executor.draws,
    )
    if refused:
        vector.answer = responder.refuse()
        return vector
    vector.answer, channel = responder.accept()
    harness_channel = initiator.finish(vector.answer)
    plaintexts = [b"", b"x", bytes(range(256)), b"the fourth"]
    vector.to_executor = [Exchange(text, harness_channel.encrypt(text)) for text in plaintexts]
    vector.to_harness = [Exchange(text, channel.encrypt(text)) for text in reversed(plaintexts)]
    return vector


async def record_peer(program: str, refused: bool) -> Vector:
    """A handshake with the released exec-server, and its replies to a few calls."""

    async def refuse(call: Call) -> Reply | None:
        return Reply(401, {"error": {"code": "unauthorized", "message": "no"}}) if refused else None

    harness, randomness = draw_private(), Recording()
    async with open_peer(program) as service:
        bundle = await get_bundle(service, ENVIRONMENT_ID, harness.pair().public)
        service.answer = refuse
        prologue = Prologue(bundle.environment_id, bundle.executor_registration_id, "stream-1")
        executor = PublicKey.from_wire(bundle.executor_public_key)
        initiator = Initiator(harness.pair(), executor, prologue, randomness)
        authorization = bundle.harness_key_authorization.encode()
        async with open_link(bundle, prologue.stream_id) as link:
            offer = initiator.offer(authorization)
            await link.handshake(offer)
            vector = Vector(
                "the released exec-server of @openai/codex",
                prologue,
                bundle.executor_public_key,
                harness,
                randomness.draws,
                authorization,
                offer,
                await link.answer(),
                refused,
            )
            try:
                channel = initiator.finish(vector.answer)
            except Refused:
                return vector
            # None whose reply would tell of the machine.
            calls = [b'{"id":1,"method":"unknown"}', b'{"id":2,"method":"environment/status"}']
            for seq, call in enumerate(calls):
                plaintext = struct.pack(">I", len(call)) + call
                vector.to_executor.append(Exchange(plaintext, channel.encrypt(plaintext)))
                await link.data(seq, vector.to_executor[-1].ciphertext)
            for _ in range(2):
                ciphertext = await link.payload()
                vector.to_harness.append(Exchange(channel.decrypt(ciphertext), ciphertext))
            return vector


def main(folder: str, program: str = "") -> None:
    for refused, suffix in ((False, ""), (True, "-refused")):
        save(Path(folder) / f"ours{suffix}.json", record_ours(refused))
        if program:
            save(Path(folder) / f"peer{suffix}.json", asyncio.run(record_peer(program, refused)))


if __name__ == "__main__":
    main(*sys.argv[1:])
