"""Two executors of one environment: whose place it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSServerHandshakeError

from executors.remote.credentials import Bearer, Fixed
from executors.remote.executor import RemoteSettings, serve_remote
from harness.rendezvous.links import DISPLACED
from harness.rendezvous.registry import PROFILE, Lifetimes
from harness.rendezvous.service import Options
from tests.rendezvous.conftest import BOX, SECONDS, UNLIMITED, Running, data, new_key
from tests.rendezvous.test_service import Pair, ending, refused

pytestmark = pytest.mark.anyio

_SHORT = Options(lifetimes=Lifetimes(hold=0.2), rates=UNLIMITED, review_seconds=0.02)


@pytest.fixture
async def pair(running: Running) -> Pair:
    made = Pair(running)
    await made.start()
    return made


async def refusal(running: Running, url: str) -> tuple[int, str | None]:
    with pytest.raises(WSServerHandshakeError) as caught:
        await running.dial(url)
    assert caught.value.headers is not None
    return caught.value.status, caught.value.headers.get("Retry-After")


async def test_who_is_started_last_takes_the_place_of_the_one_before(pair: Pair) -> None:
    harness, bundle, key = await pair.harness()
    earlier, first = pair.executor, pair.registered
    await pair.start()
    assert await ending(earlier) == DISPLACED
    await ending(harness)
    # 409 would have it register anew at once, and take the place again.
    assert await refusal(pair.running, first["url"]) == (503, "30")
    status, told = await pair.running.validate(
        pair.executor_token, "one", first, key, bundle["harness_key_authorization"]
    )
    assert (status, told["error"]["code"]) == (409, "conflict")
    harness, _, _ = await pair.harness()
    await harness.send_bytes(data("one", b"x"))
    assert await pair.executor.receive_bytes() == data("one", b"x")


async def test_who_was_displaced_cannot_register_while_the_other_is_there(pair: Pair) -> None:
    mine, other = new_key(), new_key()
    await pair.start(mine)
    await pair.start(other)
    body = {"security_profile": PROFILE, "executor_public_key": mine}
    status, told = await pair.running.post("register", pair.executor_token, body)
    assert (status, told["error"]["code"]) == (503, "displaced")
    # Whoever has the place may, and anybody new.
    await pair.start(other)
    await pair.start(new_key())


async def test_an_executor_that_registers_again_displaces_nobody(running: Running) -> None:
    pair, key = Pair(running), new_key()
    await pair.start(key)
    earlier = pair.registered["url"]
    await pair.executor.close()
    await pair.start(key)
    assert '"another' not in running.log.getvalue() and '"in another' not in running.log.getvalue()
    assert (await refusal(running, earlier))[0] == 503


@pytest.mark.parametrize("options", [_SHORT], ids=["short"])
async def test_a_place_that_is_free_is_for_who_was_displaced(pair: Pair) -> None:
    mine = new_key()
    await pair.start(mine)
    first = pair.registered["url"]
    await pair.start(new_key())
    await pair.executor.close()
    clock = asyncio.get_running_loop().time
    until = clock() + SECONDS
    while (status := await refused(pair.running, first)) == 503:
        assert clock() < until
    assert status == 409
    await pair.start(mine)
    assert pair.running.service._exchange.has_executor(BOX, pair.registered["executor_registration_id"])


@asynccontextmanager
async def executor(running: Running, said: Callable[[], None]) -> AsyncIterator[None]:
    """One of ours; *said* is called once it is connected."""
    settings = RemoteSettings(running.url, BOX, Fixed(Bearer(running.token("executor"))))
    stop, connected = asyncio.Event(), asyncio.Event()

    def announce() -> None:
        said()
        connected.set()

    task = asyncio.create_task(serve_remote(settings, stop, announce))
    try:
        async with asyncio.timeout(SECONDS):
            await connected.wait()
        yield
    finally:
        stop.set()
        await task


@pytest.mark.parametrize("options", [_SHORT], ids=["short"])
async def test_two_executors_of_ours_do_not_drive_each_other_out(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    log = running.log
    started: list[str] = []
    async with executor(running, lambda: started.append("first")):
        (first,) = running.service.links
        async with executor(running, lambda: started.append("second")):
            (second,) = running.service.links
            # It has asked for its place, again and again, and was told that it is taken.
            await log.until(lambda: [e["outcome"] for e in log.events("dial")].count("displaced") >= 3)
            assert running.service.links == [second]
            assert len(log.events("register")) == 2
        # The second has gone: the first registers anew, by itself.
        await log.until(lambda: len(log.events("register")) == 3)
        await log.until(lambda: bool(running.service.links))
        (again,) = running.service.links
        assert again not in (first, second)
    assert started == ["first", "second"]
    told = [record.getMessage() for record in caplog.records if record.name == "executors.remote.executor"]
    assert any("code 4409: another executor has been registered" in each for each in told)
    assert any("status 503: another executor has been registered" in each for each in told)
    text = caplog.text
    assert "signature" not in text
