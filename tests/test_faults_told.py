"""What the chaos proxy tells of what it has done, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fixtures.faults import (
    DOWN,
    UP,
    Chaos,
    ChaosProxy,
    How,
    Plan,
    Reach,
    after,
    cut,
    script,
)
from tests.support.faults_scene import REQUEST, frame, scene

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    before = set(asyncio.all_tasks())
    yield
    left = {task for task in asyncio.all_tasks() - before if "fixtures/faults" in repr(task)}
    assert not left


async def test_what_was_done_is_told_with_the_seed() -> None:
    with pytest.raises(KeyError) as caught:
        async with scene() as made:
            made.proxy.script(Chaos(4711, cuts=1))
            raise KeyError
    note = "".join(caught.value.__notes__)
    assert "Chaos(seed=4711" in note
    async with scene(cut(after(UP, 1), How.RST), Plan(reach=Reach.BLACKHOLE)) as made:
        ends = await made.pair()
        await ends[UP].send(frame())
        await ends[DOWN].until_ended()
        await made.proxy.until(lambda counts: counts.open == 0)
        text = made.proxy.text()
    assert "#1 cut (rst) after frame 1 up; 1 frames (" in text
    assert repr(made.proxy) == f"<ChaosProxy to {made.proxy.target}, scripted>"


async def test_a_long_log_keeps_its_ends() -> None:
    async with scene() as made:
        for _ in range(1000):
            made.proxy.release()
        made.proxy.hold()
        made.proxy.script(Chaos(1))
        lines = made.proxy.text().splitlines()
    assert len(lines) < 500
    assert "scripted" in lines[1] and "Chaos(seed=1" in lines[-1]
    assert "lines]" in made.proxy.text()


async def test_who_waits_in_vain_is_told_of_what_was_done() -> None:
    async with scene() as made:
        await made.pair()
        with pytest.raises(TimeoutError, match="1 connections, 1 of them open, 0 cut") as caught:
            await made.proxy.until(lambda counts: counts.cuts > 0, 0.01)
        assert "#1 accepted" in str(caught.value)


async def test_the_proxy_s_end_ends_its_connections() -> None:
    async with scene() as made:
        pairs = [await made.pair() for _ in range(2)]
        async with ChaosProxy(made.proxy.target, script(then=Plan(reach=Reach.BLACKHOLE))) as second:
            lost = made.made(*await asyncio.open_connection("127.0.0.1", int(second.url.rpartition(":")[2])))
            await lost.send(REQUEST)
            await second.until(lambda counts: counts.accepted == 1)
        assert await lost.until_ended() in ("fin", "rst")
        await pairs[0][UP].send(frame())
        await pairs[0][DOWN].until_received(frame())
        assert second.counts.open == 0


async def test_a_fault_of_the_proxy_is_not_kept_quiet() -> None:
    def broken(number: int) -> Plan:
        raise ZeroDivisionError("in the script")

    with pytest.raises(ExceptionGroup) as caught:
        async with scene() as made:
            made.proxy.script(broken)
            client = await made.client()
            await client.until_ended()
            await asyncio.Event().wait()
    assert caught.group_contains(ZeroDivisionError, match="in the script")
