"""Registry and rendezvous are away, slow, started anew or wrong about the time: sessions live through it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.remote import backoff
from executors.remote import link as executor_link
from fixtures.faults_plan import How
from fixtures.meddler import Asked, Forward, Reply, Way
from harness.client import Client, LinkOptions, RecoveryOptions
from harness.client.recovery import Backoff
from suites.relay.scene import Scene
from suites.relay.talk import ANSWER, FLOWS, again, bystander, finish

pytestmark = pytest.mark.anyio

DAY: Final = 86_400.0
OUTAGE: Final = 20.0
BOTH: Final = frozenset({"registry", "rendezvous"})


async def alive(client: Client) -> None:
    await again(lambda: client.call(ENVIRONMENT_INFO, Empty()))


async def stalled(asked: Asked, forward: Forward) -> Reply | None:
    """A registry that takes every request and answers none."""
    await asyncio.Event().wait()
    return None


async def test_a_registry_that_does_not_answer_is_given_up_in_time(scene: Scene) -> None:
    async with bystander(scene):
        scene.meddler.registry = stalled
        began = time.monotonic()
        text = await scene.refusal(scene.clients(link_options=LinkOptions(open_seconds=1.0)))
        assert "did not all answer within 1 s" in text
        assert time.monotonic() - began >= 1


async def test_a_registry_that_does_not_say_who_may_connect(scene: Scene) -> None:
    async def of_validate(asked: Asked, forward: Forward) -> Reply | None:
        return await stalled(asked, forward) if asked.action == "validate" else await forward(asked)

    async with bystander(scene):
        scene.meddler.registry = of_validate
        text = await scene.refusal(scene.clients(link_options=LinkOptions(open_seconds=1.0)))
        assert "did not all answer within 1 s" in text


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_registry_that_is_away_while_a_stream_is_cut(scene: Scene, flow: str) -> None:
    async with bystander(scene), scene.connect() as client:
        running = asyncio.create_task(FLOWS[flow](scene, client, 32))
        scene.meddler.refuses = frozenset({"registry"})
        await scene.newest_line.cut(How.RST)
        asked = len(scene.meddler.asked)
        await scene.meddler.until(lambda: len(scene.meddler.asked) > asked + 5)
        scene.meddler.refuses = frozenset()
        try:
            await running
        except ConnectionError:
            # The start's own answer was on its way.
            await FLOWS[flow](scene, client, 32)
        assert client.generation == 2


async def test_a_registry_that_is_away_for_twenty_seconds(scene: Scene) -> None:
    # As a user's client has it, whose factor is drawn; each session has its own.
    factors = (1.0, 1.12, 1.25, 1.43, 1.5)

    async def outlive(factor: float) -> None:
        async with scene.connect(recovery=RecoveryOptions(), retry=Backoff(jitter=factor)) as client:
            process = await client.start(scene.argv(ANSWER), stdin=True)
            ready.release()
            await away.wait()
            await process.write(b"meanwhile\n")
            done = await finish(process)
            assert done.stdout.splitlines() == [b"ready", b"got meanwhile"], factor
            assert client.generation == 2

    ready, away = asyncio.Semaphore(0), asyncio.Event()
    async with bystander(scene):
        known = scene.meddler.open_lines("harness")
        tasks = [asyncio.create_task(outlive(factor)) for factor in factors]
        for _ in factors:
            await ready.acquire()
        scene.meddler.refuses = frozenset({"registry"})
        for line in set(scene.meddler.open_lines("harness")) - set(known):
            await line.cut()
        away.set()
        await asyncio.sleep(OUTAGE)
        scene.meddler.refuses = frozenset()
        await asyncio.gather(*tasks)


async def test_a_service_that_is_started_anew(scene: Scene) -> None:
    async with scene.connect() as one, scene.connect() as other:
        running = asyncio.create_task(FLOWS["up"](scene, one, 64))
        process = await other.start(scene.argv(ANSWER), stdin=True)
        await scene.stop_service()
        await scene.start_service()
        try:
            await running
        except ConnectionError:
            await FLOWS["up"](scene, one, 2)
        await process.write(b"meanwhile\n")
        done = await finish(process)
        assert done.stdout.splitlines() == [b"ready", b"got meanwhile"]
        assert one.generation == other.generation == 2


async def test_a_service_that_is_away_for_a_while(scene: Scene) -> None:
    async with scene.connect() as client:
        process = await client.start(scene.argv(ANSWER), stdin=True)
        scene.meddler.refuses = BOTH
        for line in scene.meddler.open_lines():
            await line.cut(How.RST)
        asked = len(scene.meddler.asked)
        await scene.meddler.until(lambda: len(scene.meddler.asked) > asked + 20)
        scene.meddler.refuses = frozenset()
        await process.write(b"meanwhile\n")
        done = await finish(process)
        assert done.stdout.splitlines() == [b"ready", b"got meanwhile"]


@pytest.mark.parametrize("days", [1, -1, 365])
async def test_a_clock_that_is_wrong(scene: Scene, days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    async with scene.own_executor() as (own, _):
        clients = scene.clients(own)
        async with scene.connect(clients) as client:
            process = await client.start(scene.argv(ANSWER), stdin=True)
            scene.clock.ahead = days * DAY
            # What is open stays open, and who comes now gets in.
            async with scene.connect(clients) as other:
                await alive(other)
            assert client.generation == 1
            # The executor's URL may have expired: then it registers anew, and its sessions with it.
            line = scene.line_of(own)
            await line.cut()
            await scene.next_line_of(own, line)
            await process.write(b"later\n")
            done = await finish(process)
            assert done.stdout.splitlines() == [b"ready", b"got later"]


SOON: Final = LinkOptions(ping_seconds=0.5, pong_seconds=0.5)


@pytest.mark.parametrize("ways", [(Way.UP,), (Way.DOWN,), (Way.UP, Way.DOWN)], ids=["up", "down", "both"])
async def test_a_harness_s_connection_is_half_open(scene: Scene, ways: tuple[Way, ...]) -> None:
    async with bystander(scene):
        clients = scene.clients(link_options=SOON)
        async with scene.connect(clients, recovery=RecoveryOptions(), retry=Backoff()) as client:
            process = await client.start(scene.argv(ANSWER), stdin=True)
            scene.newest_line.swallow(*ways)
            await again(lambda: process.write(b"meanwhile\n"))
            done = await finish(process)
            assert done.stdout.splitlines() == [b"ready", b"got meanwhile"]
            assert client.generation == 2


@pytest.mark.parametrize("ways", [(Way.UP,), (Way.DOWN,), (Way.UP, Way.DOWN)], ids=["up", "down", "both"])
async def test_an_executor_s_connection_is_half_open(
    scene: Scene, ways: tuple[Way, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_link, "PING_SECONDS", 0.5)
    monkeypatch.setattr(executor_link, "PONG_SECONDS", 0.5)
    async with bystander(scene), scene.own_executor() as (own, _):
        clients = scene.clients(own)
        async with scene.connect(clients, recovery=RecoveryOptions(), retry=Backoff()) as client:
            process = await client.start(scene.argv(ANSWER), stdin=True)
            scene.line_of(own).swallow(*ways)
            await again(lambda: process.write(b"meanwhile\n"))
            done = await finish(process)
            assert done.stdout.splitlines() == [b"ready", b"got meanwhile"]
            assert client.generation == 2
