"""Frames of an open stream are altered, lost, doubled, moved, forged: it goes on, or ends and is replaced.

What is attacked is a stream whose bytes are counted and hashed; beside it another client must notice nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.transport import relay_endpoint
from fixtures.meddler import Line, Passing, Step, Way
from fixtures.meddler_frames import (
    BROKEN,
    MISSING,
    UNPROTECTED,
    altered,
    forged,
    kind_of,
    random_flip,
    seq_of,
    stream_of,
    to_stream,
    with_seq,
)
from harness.client import Client
from suites.relay.scene import Scene
from suites.relay.talk import FLOWS, again, bystander, temporary_file

pytestmark = pytest.mark.anyio

NTH: Final = 9
BLOCKS: Final = 12
# More than 64 records follow one that is attacked: that it is missing shows by then.
MANY: Final = 60
# Where a frame arrives, and what makes frames arrive there; and so that none of them waits for an answer.
ENDS: Final = {"harness": "down", "executor": "up"}
AT_ONCE: Final = {"harness": "down", "executor": "file"}

Attack = Callable[[Passing, int], list[Step]]
at_each_end = pytest.mark.parametrize("end", ENDS)


async def attacked(scene: Scene, end: str, attack: Attack, flows: Mapping[str, str] = ENDS) -> Client:
    """Streams towards an *end* while its frames are attacked, just before they arrive; returns the client.

    :param attack: gets each frame of data of the stream, and its number, from 1.
    """
    async with bystander(scene), scene.connect() as client:
        line: Line = scene.newest_line if end == "harness" else scene.executor_line
        stream = scene.newest_stream
        count = 0

        def tamper(passing: Passing) -> list[Step]:
            nonlocal count
            message = passing.message
            if passing.line is not line or passing.way is not Way.DOWN or stream_of(message) != stream:
                return [message]
            if kind_of(message) != "data":
                return [message]
            count += 1
            return attack(passing, count)

        scene.meddler.tamper = tamper
        async with asyncio.timeout(60):
            await FLOWS[flows[end]](scene, client, BLOCKS if flows is ENDS else MANY)
        assert count >= NTH, "nothing was attacked"
    return client


def instead(make: Callable[[bytes], list[Step]], nth: int = NTH) -> Attack:
    """An attack on one frame."""
    return lambda passing, number: make(passing.message) if number == nth else [passing.message]


@at_each_end
@pytest.mark.parametrize("field", BROKEN)
async def test_an_altered_field_ends_the_stream_and_no_more(scene: Scene, end: str, field: str) -> None:
    client = await attacked(scene, end, instead(lambda frame: [altered(frame, BROKEN[field])]))
    assert client.generation == 2


@at_each_end
@pytest.mark.parametrize("field", MISSING)
async def test_an_altered_field_makes_a_frame_missed(scene: Scene, end: str, field: str) -> None:
    client = await attacked(scene, end, instead(lambda frame: [altered(frame, MISSING[field])]), AT_ONCE)
    assert client.generation == 2


@at_each_end
@pytest.mark.parametrize("field", UNPROTECTED)
async def test_what_no_key_protects_means_nothing(scene: Scene, end: str, field: str) -> None:
    client = await attacked(scene, end, lambda passing, _: [altered(passing.message, UNPROTECTED[field])])
    assert client.generation == 1


@at_each_end
@pytest.mark.parametrize("number", range(4))
async def test_a_flipped_bit_anywhere_changes_no_byte(
    scene: Scene, end: str, number: int, fault_seed: int
) -> None:
    flip = instead(lambda frame: [random_flip(frame, 100 * fault_seed + number)])
    client = await attacked(scene, end, flip, AT_ONCE)
    # Next to all bits are the payload's; a few are hints, which mean nothing.
    assert client.generation <= 2


@at_each_end
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda frame: [], id="lost"),
        pytest.param(lambda frame: [frame[:-1]], id="cut short"),
        pytest.param(lambda frame: [frame[: len(frame) // 2]], id="halved"),
        pytest.param(lambda frame: [b"\xff" * 20], id="garbage"),
        pytest.param(lambda frame: [b""], id="empty"),
    ],
)
async def test_a_frame_that_does_not_come_is_missed(
    scene: Scene, end: str, make: Callable[[bytes], list[Step]]
) -> None:
    client = await attacked(scene, end, instead(make), AT_ONCE)
    assert client.generation == 2


@at_each_end
async def test_a_frame_that_few_come_after_is_missed_as_well(
    scene: Scene, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_endpoint, "GAP_SECONDS", 0.2)
    async with scene.own_executor() as (own, _), scene.connect(scene.clients(own)) as client:
        line = scene.newest_line if end == "harness" else scene.line_of(own)
        lost = 0

        def tamper(passing: Passing) -> list[Step]:
            nonlocal lost
            is_due = passing.line is line and passing.way is Way.DOWN and kind_of(passing.message) == "data"
            if not is_due or lost:
                return [passing.message]
            lost += 1
            return []

        scene.meddler.tamper = tamper
        # Two messages towards each end: the first is lost.
        calls = [client.call(ENVIRONMENT_INFO, Empty()) for _ in range(2)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert lost
        assert all(isinstance(each, ConnectionError) for each in found), found
        await again(lambda: client.call(ENVIRONMENT_INFO, Empty()))
        assert client.generation == 2


@at_each_end
async def test_each_frame_twice_is_as_once(scene: Scene, end: str) -> None:
    client = await attacked(scene, end, lambda passing, _: [passing.message, passing.message])
    assert client.generation == 1


@at_each_end
async def test_an_old_frame_comes_again(scene: Scene, end: str) -> None:
    old: list[bytes] = []

    def attack(passing: Passing, number: int) -> list[Step]:
        old.append(passing.message)
        return [passing.message, old[number // 2]]

    client = await attacked(scene, end, attack)
    assert client.generation == 1


@at_each_end
@pytest.mark.parametrize(("late", "generation"), [(1, 1), (64, 1), (65, 2)])
async def test_a_frame_comes_late(scene: Scene, end: str, late: int, generation: int) -> None:
    kept: list[bytes] = []

    def attack(passing: Passing, number: int) -> list[Step]:
        if number == NTH:
            kept.append(passing.message)
            return []
        return [passing.message, *kept] if number == NTH + late else [passing.message]

    client = await attacked(scene, end, attack, AT_ONCE)
    assert client.generation == generation


@at_each_end
async def test_neighbours_change_places(scene: Scene, end: str) -> None:
    kept: list[bytes] = []

    def attack(passing: Passing, number: int) -> list[Step]:
        if not 2 * NTH <= number < 4 * NTH:
            return [passing.message]
        if number % 2:
            return [passing.message, kept.pop()]
        kept.append(passing.message)
        return []

    client = await attacked(scene, end, attack, AT_ONCE)
    assert client.generation == 1


@at_each_end
async def test_a_frame_is_sent_back_to_its_sender(scene: Scene, end: str) -> None:
    async with bystander(scene), scene.connect() as client:
        line = scene.newest_line if end == "harness" else scene.executor_line
        stream = scene.newest_stream
        back: list[bytes] = []
        count = 0

        def tamper(passing: Passing) -> list[Step]:
            nonlocal count
            message = passing.message
            if passing.line is not line or stream_of(message) != stream or kind_of(message) != "data":
                return [message]
            if passing.way is Way.UP:
                back.append(message)
                return [message]
            count += 1
            # With the number that is due, so that nothing but the key tells.
            return [with_seq(back[-1], seq_of(message))] if count == NTH else [message]

        scene.meddler.tamper = tamper
        await FLOWS[ENDS[end]](scene, client, BLOCKS)
        assert count >= NTH
        assert client.generation == 2


@at_each_end
@pytest.mark.parametrize("body", ["ack", "late ack", "resume", "heartbeat"])
async def test_forged_hints_do_no_harm(scene: Scene, end: str, body: str) -> None:
    def attack(passing: Passing, number: int) -> list[Step]:
        return [forged(stream_of(passing.message), body), passing.message]

    client = await attacked(scene, end, attack)
    assert client.generation == 1


@at_each_end
@pytest.mark.parametrize("body", ["reset", "handshake"])
async def test_a_forged_end_costs_a_connection(scene: Scene, end: str, body: str) -> None:
    client = await attacked(scene, end, instead(lambda frame: [forged(stream_of(frame), body), frame]))
    assert client.generation == 2


@at_each_end
@pytest.mark.parametrize("count", [1, 200])
async def test_frames_of_streams_that_nobody_has(scene: Scene, end: str, count: int) -> None:
    def attack(passing: Passing, number: int) -> list[Step]:
        if number != NTH:
            return [passing.message]
        others = [to_stream(passing.message, f"nobody's {number}") for number in range(count)]
        return [*others, b"\x08\x01", passing.message]

    client = await attacked(scene, end, attack)
    assert client.generation == 1


async def test_text_costs_a_connection(scene: Scene) -> None:
    client = await attacked(scene, "harness", instead(lambda frame: ["text", frame]))
    assert client.generation == 2


@at_each_end
async def test_an_oversize_frame_costs_a_connection_and_all_come_back(scene: Scene, end: str) -> None:
    line = scene.executor_line
    async with scene.connect() as other, scene.connect() as client:
        oversize = bytes(256 * 1024 + 1)
        await (scene.newest_line if end == "harness" else line).inject(Way.DOWN, oversize)
        # Both ways, so that neither can have missed it.
        for each in (client, other):
            await again(lambda each=each: FLOWS["down"](scene, each, 2))  # type: ignore[misc]
            await FLOWS["up"](scene, each, 2)
        assert client.generation == 2
        assert other.generation == (2 if end == "executor" else 1)


@at_each_end
async def test_a_frame_of_one_stream_is_put_into_another(scene: Scene, end: str) -> None:
    async with bystander(scene), scene.connect() as first:
        one = scene.newest_stream
        lines = [scene.newest_line]
        async with scene.connect() as second:
            other = scene.newest_stream
            lines.append(scene.newest_line)
            if end == "executor":
                lines = [scene.executor_line]
            kept: dict[int, bytes] = {}
            counts = {one: 0, other: 0}

            def tamper(passing: Passing) -> list[Step]:
                stream = stream_of(passing.message)
                is_theirs = passing.line in lines and passing.way is Way.DOWN and stream in counts
                if not is_theirs or kind_of(passing.message) != "data":
                    return [passing.message]
                counts[stream] += 1
                if stream == one:
                    kept[counts[one]] = passing.message
                elif counts[other] == NTH and kept:
                    # With the number that is due, so that nothing but the key tells.
                    return [with_seq(to_stream(kept[max(kept)], other), seq_of(passing.message))]
                return [passing.message]

            scene.meddler.tamper = tamper
            flow = FLOWS[ENDS[end]]
            await flow(scene, first, BLOCKS)
            await flow(scene, second, BLOCKS)
            assert counts[other] >= NTH
            assert second.generation == 2
            await flow(scene, first, 2)
            assert first.generation == 1


async def test_what_was_said_once_is_not_done_twice(scene: Scene) -> None:
    append = "import sys; open(sys.argv[1], 'a').write('once\\n')"
    async with bystander(scene), scene.connect() as client:
        file, _ = await temporary_file(scene, client)
        stream = scene.newest_stream
        await client.run(scene.argv(append, file), check=True)
        line = scene.executor_line
        said = [each.message for each in scene.meddler.tape if each.line is line and each.way is Way.DOWN]
        recorded = [message for message in said if stream_of(message) == stream]
        assert len(recorded) > 4
        for message in recorded[1:]:
            await line.inject(Way.DOWN, message)
        await FLOWS["up"](scene, client, 1)
        assert client.generation == 1
        # And all of it, from the handshake on, once its stream is over.
        await scene.newest_line.cut()
        await again(lambda: client.call(ENVIRONMENT_INFO, Empty()))
        for message in recorded:
            await line.inject(Way.DOWN, message)
        read = "import os, sys; print(open(sys.argv[1]).read().count('once')); os.remove(sys.argv[1])"
        found = await client.run(scene.argv(read, file), check=True)
        assert found.stdout.decode().strip() == "1"
