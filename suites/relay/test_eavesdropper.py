"""Who passes the frames on, and keeps them all, learns nothing of what they say."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.protocol.path_uri import PathUri
from executors.transport.relay_pb2 import RelayMessageFrame
from fixtures.meddler import Way
from fixtures.meddler_frames import kind_of, payload_of
from harness.client import Client
from suites.process.programs import COPY
from suites.relay.scene import Scene
from suites.relay.secrets import found_in

pytestmark = pytest.mark.anyio

_MARK = random.Random(9).randbytes(24).hex()


async def test_nothing_that_was_said_can_be_found(scene: Scene) -> None:
    said = {
        name: f"{name}-{_MARK}" for name in ("output", "input", "argument", "variable", "file", "content")
    }
    program = f"{COPY}\nprint({said['output']!r})"
    async with scene.connect() as client:
        session = client.session_id
        directory = await client.files.canonicalize(_temporary(client))
        file = directory.join(said["file"])
        await client.files.write_file(file, said["content"].encode() * 1000)
        assert await client.files.read_file(file) == said["content"].encode() * 1000
        await client.files.remove(file)
        done = await client.run(
            scene.argv(program, said["argument"]),
            input=said["input"].encode() * 1000,
            env={"SAID": said["variable"]},
        )
        assert done.stdout.decode().strip() == said["input"] * 1000 + said["output"]
    seen = [passing for passing in scene.meddler.tape if passing.line.role == "harness"]
    # Three times content and input at the very least: it is all on the tape.
    assert sum(len(passing.message) for passing in seen) > 4000 * len(said["content"])
    assert {passing.way for passing in seen} == set(Way)
    asked = b"\n".join(each.body + (each.reply.body if each.reply else b"") for each in scene.meddler.asked)
    everything = b"\n".join(passing.message for passing in scene.meddler.tape) + asked
    names = [b"process/start", b"process/output", b"fs/writeFile", b"initialized", b"clientName"]
    assert not found_in(everything, [*map(str.encode, said.values()), session.encode()])
    assert not [name for name in names if name in everything]


async def test_no_secret_of_the_registry_is_in_a_frame(scene: Scene) -> None:
    async with scene.connect() as client:
        await client.run(scene.argv("pass"))
    frames = b"\n".join(passing.message for passing in scene.meddler.tape)
    (bundle,) = scene.meddler.answers("connect")
    assert bundle.reply is not None
    authorization = json.loads(bundle.reply.body)["harness_key_authorization"].encode()
    assert not found_in(frames, [authorization, *(token.encode() for token in scene.tokens)])


async def test_the_same_said_twice_looks_different(scene: Scene) -> None:
    for _ in range(2):
        async with scene.connect() as client:
            for _ in range(3):
                await client.run(scene.argv("pass"), input=bytes(5000))
    frames = [passing.message for passing in scene.meddler.tape if passing.line.role == "harness"]
    payloads = [payload_of(frame) for frame in frames if kind_of(frame) == "data"]
    assert len(payloads) == len(set(payloads)) > 12
    # No block of the cipher is there twice, of so many zeros.
    blocks = [payload[at : at + 16] for payload in payloads for at in range(0, len(payload) - 16, 16)]
    assert len(blocks) == len(set(blocks)) > 2000


async def test_a_frame_tells_a_stream_and_a_number_and_nothing_else(scene: Scene) -> None:
    async with scene.connect() as client:
        await client.run(scene.argv("pass"))
    for passing in scene.meddler.tape:
        frame = RelayMessageFrame.FromString(passing.message)
        assert not frame.traceparent and not frame.tracestate
        if frame.HasField("reset"):
            assert len(frame.reset.reason) < 100


def _temporary(client: Client) -> PathUri:
    directory = client.info.temp_dir or client.info.cwd
    assert directory is not None
    return PathUri.parse(directory)
