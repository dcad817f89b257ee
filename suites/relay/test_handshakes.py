"""Handshakes are altered, replayed, rerouted and sent in floods: they fail, and open streams go on."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.remote import backoff
from fixtures.meddler import Asked, Forward, Passing, Reply, Step, Way
from fixtures.meddler_frames import (
    PAYLOAD,
    Alter,
    altered,
    flipped_part,
    forged,
    kind_of,
    stream_of,
    to_stream,
)
from harness.client import ConnectFailed, LinkOptions
from suites.relay.scene import Scene
from suites.relay.talk import FLOWS, again, bystander

pytestmark = pytest.mark.anyio

# What is not answered is given up sooner than usual.
SOON: Final = LinkOptions(open_seconds=1.0)
# The parts of both messages, by where they begin: see noise.py.
FIRST: Final = {"skem": 0, "e": 1088, "e's kem": 1120, "s": 2304, "s's kem": 2352, "authorization": 3552}
SECOND: Final = {"ekem": 0, "skem": 1088, "e": 2192, "e's kem": 2224, "tag": 3408}
ALTERED: Final[dict[tuple[Way, str], Alter]] = {
    **{(Way.UP, name): flipped_part(place + 5) for name, place in FIRST.items()},
    **{(Way.DOWN, name): flipped_part(place + 5) for name, place in SECOND.items()},
    **{(way, name): alter for way in Way for name, alter in PAYLOAD.items()},
}


@pytest.mark.parametrize(("way", "what"), ALTERED, ids=lambda value: getattr(value, "name", value))
async def test_an_altered_handshake_fails(scene: Scene, way: Way, what: str) -> None:
    await scene.spend(1)
    async with bystander(scene):
        handshakes = 0

        def tamper(passing: Passing) -> list[Step]:
            nonlocal handshakes
            message = passing.message
            if passing.line.role != "harness" or passing.way is not way or kind_of(message) != "handshake":
                return [message]
            handshakes += 1
            return [altered(message, ALTERED[way, what])]

        scene.meddler.tamper = tamper
        text = await scene.refusal()
        assert handshakes == 1
        # It was no lack of an answer.
        assert "did not all answer" not in text
        scene.meddler.tamper = None
        async with scene.connect():
            pass


@pytest.mark.parametrize("way", Way, ids=lambda way: way.name)
async def test_a_handshake_that_does_not_come_is_waited_for_no_longer_than_told(
    scene: Scene, way: Way
) -> None:
    async with bystander(scene):
        scene.meddler.tamper = lambda passing: (
            []
            if passing.way is way
            and passing.line.role == "harness"
            and kind_of(passing.message) == "handshake"
            else [passing.message]
        )
        text = await scene.refusal(scene.clients(link_options=SOON))
        assert "did not all answer within 1 s" in text


async def test_a_stream_by_another_name_does_not_open(scene: Scene) -> None:
    await scene.spend(1)
    async with bystander(scene):
        own, other = "", "00000000-0000-4000-8000-000000000000"
        known = list(scene.meddler.lines)

        def tamper(passing: Passing) -> list[Step]:
            nonlocal own
            # Consistently, both ways: only who knows the prologue can tell.
            if passing.line in known:
                return [passing.message]
            if passing.way is Way.UP:
                own = own or stream_of(passing.message)
                return [to_stream(passing.message, other)]
            return [to_stream(passing.message, own)]

        scene.meddler.tamper = tamper
        text = await scene.refusal()
        assert "noise_relay_protocol_error" in text


async def test_a_first_message_is_taken_once(scene: Scene) -> None:
    async with bystander(scene):
        async with scene.connect() as client:
            line, stream = scene.executor_line, scene.newest_stream
            tape = [each.message for each in scene.meddler.tape if each.line is line and each.way is Way.DOWN]
            (first,) = (each for each in tape if stream_of(each) == stream and kind_of(each) == "handshake")
            # While its stream is open.
            await line.inject(Way.DOWN, first)
            await again(lambda: FLOWS["up"](scene, client, 1))
            assert client.generation == 2
        validated = len(scene.meddler.answers("validate"))
        await scene.spend(2)
        answers = len(_answers(scene, stream))
        # And when it is over: by the same name, and by another one.
        for name in (stream, "another"):
            await line.inject(Way.DOWN, to_stream(first, name))
            await scene.meddler.until(lambda name=name: _answers(scene, name)[-1:] == ["reset"])  # type: ignore[misc]
        assert "handshake" not in _answers(scene, stream)[answers:]
        assert len(scene.meddler.answers("validate")) == validated


def _answers(scene: Scene, stream: str) -> list[str]:
    """What the executor has sent on a stream."""
    tape = [each for each in scene.meddler.tape if each.line.role == "executor" and each.way is Way.UP]
    return [kind_of(each.message) for each in tape if stream_of(each.message) == stream]


async def test_a_first_message_is_not_taken_on_a_later_connection_either(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    async with bystander(scene), scene.own_executor() as (own, _):
        line = scene.line_of(own)
        async with scene.connect(scene.clients(own)):
            stream = scene.newest_stream
        tape = [each.message for each in scene.meddler.tape if each.line is line and each.way is Way.DOWN]
        (first,) = (each for each in tape if stream_of(each) == stream and kind_of(each) == "handshake")
        await line.cut()
        next_line = await scene.next_line_of(own, line)
        validated = len(scene.meddler.answers("validate"))
        answers = len(_answers(scene, stream))
        await next_line.inject(Way.DOWN, first)
        await scene.meddler.until(lambda: len(_answers(scene, stream)) > answers)
        assert _answers(scene, stream)[answers:] == ["reset"]
        assert len(scene.meddler.answers("validate")) == validated


async def test_data_before_a_handshake_opens_nothing(scene: Scene) -> None:
    async with bystander(scene), scene.connect() as client:
        await FLOWS["up"](scene, client, 1)
        line = scene.executor_line
        tape = [each.message for each in scene.meddler.tape if each.line is line and each.way is Way.DOWN]
        data = next(each for each in tape if kind_of(each) == "data")
        await line.inject(Way.DOWN, to_stream(data, "early"))
        await scene.meddler.until(lambda: _answers(scene, "early") == ["reset"])
        await FLOWS["up"](scene, client, 1)
        assert client.generation == 1


async def test_a_flood_of_garbage_closes_the_door_for_a_while_and_no_stream(scene: Scene) -> None:
    async with scene.own_executor() as (own, _):
        clients = scene.clients(own)
        async with scene.connect(clients) as client:
            line = scene.line_of(own)
            validated = len(scene.meddler.answers("validate"))
            for number in range(300):
                await line.inject(Way.DOWN, forged(f"flood {number}", "handshake"))
            await scene.meddler.until(lambda: _answers(scene, "flood 299") == ["reset"])
            assert {kind for each in range(300) for kind in _answers(scene, f"flood {each}")} == {"reset"}
            # A flood like that is nobody's who asks the registry.
            assert len(scene.meddler.answers("validate")) == validated
            # Whoever comes now has to come again.
            assert "noise_relay_protocol_error" in await scene.refusal(clients)
            await client.run(scene.argv("pass"), check=True)
            assert client.generation == 1
            await _until_connected(scene, clients)


async def _until_connected(scene: Scene, clients: object) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with scene.connect(clients):  # type: ignore[arg-type]
                    return
            except ConnectFailed:
                # Each attempt that is refused counts against its token at the service.
                await asyncio.sleep(2.5)


async def test_more_handshakes_at_a_time_than_are_borne(scene: Scene) -> None:
    go_on = asyncio.Event()
    asked = 0

    async def registry(request: Asked, forward: Forward) -> Reply | None:
        nonlocal asked
        if request.action == "validate":
            asked += 1
            await go_on.wait()
        return await forward(request)

    async with scene.own_executor() as (own, _):
        clients = scene.clients(own)
        async with scene.connect(clients) as before:
            scene.meddler.registry = registry

            async def connect() -> bool:
                try:
                    async with scene.connect(clients):
                        return True
                except ConnectFailed as error:
                    assert "too_many_streams" in str(error)
                    return False

            tasks = [asyncio.create_task(connect()) for _ in range(40)]
            await scene.meddler.until(lambda: asked == 32 and sum(task.done() for task in tasks) == 8)
            # The door is full; inside all goes on.
            await before.run(scene.argv("pass"), check=True)
            assert before.generation == 1
            go_on.set()
            assert sorted(await asyncio.gather(*tasks)) == [False] * 8 + [True] * 32
