"""64 MiB stream while the line is cut at one boundary of frames after another: no byte is lost or doubled.

Which boundaries: after each of the first frames of a connection, the handshake's among them, and then further
and further in. ``CROSSEXEC_RELAY_CUTS=all`` cuts after every single one, as far as the stream goes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Final

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.remote import backoff
from fixtures.faults_plan import How
from fixtures.meddler import Cut, Line, Passing, Step, Way
from harness.client import Client, ConnectFailed, RecoveryOptions
from suites.relay.scene import Scene
from suites.relay.talk import FLOWS

pytestmark = pytest.mark.anyio

BLOCKS: Final = 64 * 1024 * 1024 // 65536
FIRST: Final = 24
RECOVERY: Final = RecoveryOptions(retry_seconds=0.02)
FLOW: Final = {Way.UP: "up", Way.DOWN: "down"}


def boundaries(seed: int) -> Iterator[int]:
    """After which frame of its connection a cut comes, for one connection after another."""
    first = 3
    if os.environ.get("CROSSEXEC_RELAY_CUTS") == "all":
        yield from range(first, 2000)
    yield from range(first, FIRST)
    # Over many seeds all others, too.
    at = FIRST + seed % 7
    while True:
        yield at
        at += 17


class Cuts:
    """Cuts each connection of one client after a number of frames, those of both ways counted alone."""

    def __init__(self, scene: Scene, way: Way, seed: int, role: str) -> None:
        self._scene = scene
        self._way = way
        self._role = role
        self._due = boundaries(seed)
        self._plans: dict[object, int] = {}
        self._known = list(scene.meddler.lines)
        self._counts: dict[object, int] = {}
        self.done: list[int] = []

    def tamper(self, passing: Passing) -> list[Step]:
        line, message = passing.line, passing.message
        if line.role != self._role or passing.way is not self._way or not self._is_concerned(line):
            return [message]
        if line not in self._plans:
            self._plans[line] = next(self._due)
        self._counts[line] = self._counts.get(line, 0) + 1
        if self._counts[line] != self._plans[line]:
            return [message]
        self.done.append(self._plans[line])
        return [message, Cut(How.FIN if len(self.done) % 2 else How.RST)]

    def _is_concerned(self, line: Line) -> bool:
        return line not in self._known


@pytest.mark.parametrize("way", Way, ids=lambda way: FLOW[way])
async def test_a_harness_s_line_is_cut_at_one_boundary_after_another(
    scene: Scene, way: Way, fault_seed: int
) -> None:
    scene.meddler.keeps_tape = False
    async with scene.connect(recovery=RECOVERY) as client:
        cuts = Cuts(scene, way, fault_seed, "harness")
        process = asyncio.create_task(FLOWS[FLOW[way]](scene, client, BLOCKS, fault_seed))
        # What is started is not started twice: the first connection is left alone until then.
        await scene.meddler.until(lambda: scene.meddler.open_lines("harness")[-1].passed[way] > 6)
        scene.meddler.tamper = cuts.tamper
        await scene.newest_line.cut()
        await process
        assert client.generation > len(cuts.done) > FIRST
        assert cuts.done[: FIRST - 3] == list(range(3, FIRST))


@pytest.mark.parametrize("way", Way, ids=lambda way: FLOW[way])
async def test_an_executor_s_line_is_cut_at_one_boundary_after_another(
    scene: Scene, way: Way, fault_seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "MOST_SECONDS", 0.01)
    scene.meddler.keeps_tape = False
    async with (
        scene.own_executor() as (own, _),
        scene.connect(scene.clients(own), recovery=RECOVERY) as client,
    ):
        # Towards the executor what goes up from the harness comes down.
        towards = Way.DOWN if way is Way.UP else Way.UP
        cuts = Cuts(scene, towards, fault_seed, "executor")
        line = scene.line_of(own)
        process = asyncio.create_task(FLOWS[FLOW[way]](scene, client, BLOCKS // 2, fault_seed))
        await scene.meddler.until(lambda: line.passed[towards] > 6)
        scene.meddler.tamper = cuts.tamper
        await line.cut()
        await process
        assert len(cuts.done) > FIRST
        assert cuts.done[: FIRST - 3] == list(range(3, FIRST))


@pytest.mark.parametrize("role", ["harness", "executor"])
@pytest.mark.parametrize("way", Way, ids=lambda way: way.name)
@pytest.mark.parametrize("frames", [1, 2])
async def test_a_line_is_cut_within_the_handshake(
    scene: Scene, role: str, way: Way, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    async with scene.own_executor() as (own, _):
        clients = scene.clients(own)
        known = [line for line in scene.meddler.lines if line.role == "harness"]
        cut = 0

        def tamper(passing: Passing) -> list[Step]:
            nonlocal cut
            line = passing.line
            is_first = line not in known and line.role == role and passing.way is way and cut == 0
            if not is_first or passing.number != frames:
                return [passing.message]
            cut += 1
            return [passing.message, Cut(How.RST)]

        scene.meddler.tamper = tamper
        while True:
            try:
                async with scene.connect(clients) as client:
                    await _run(scene, client)
                break
            except ConnectFailed as error:
                scene.said.append(str(error))
                await asyncio.sleep(0.05)
        assert cut == 1


async def _run(scene: Scene, client: Client) -> None:
    try:
        done = await client.run(scene.argv("print('here')"), check=True)
    except ConnectionError:
        done = await client.run(scene.argv("print('here')"), check=True)
    assert done.stdout.split() == [b"here"]
