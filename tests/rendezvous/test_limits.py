"""What one of many may do before it is held off, and that the others go on."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path

import pytest
from aiohttp import WSCloseCode, WSMsgType

from executors.transport.relay_pb2 import RelayMessageFrame
from harness.rendezvous import frames
from harness.rendezvous.limits import Limiter, Rate, Rates
from harness.rendezvous.service import Options
from harness.rendezvous.store import open_store
from tests.rendezvous.conftest import BOX, SECONDS, UNLIMITED, Running, data, new_key
from tests.rendezvous.test_service import Pair, ending, refused

pytestmark = pytest.mark.anyio


def offer(stream: str) -> bytes:
    frame = RelayMessageFrame(version=1, stream_id=stream)
    frame.handshake.payload = b"an offer"
    return frame.SerializeToString()


@pytest.fixture
async def pair(running: Running) -> Pair:
    made = Pair(running)
    await made.start()
    return made


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("5", Rate(5, 50)),
        ("0.01", Rate(0.01, 1)),
        ("5:7", Rate(5, 7)),
        ("unlimited", Rate(math.inf, math.inf)),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate) -> None:
    assert Rates.parse([f"connect={text}"]).connect == rate
    assert Rates.parse([f"connect={text}"]).register == Rates().register


@pytest.mark.parametrize(
    "text", ["", "connect", "connect=", "connect=x", "connect=0", "connect=1:0", "other=1"]
)
def test_what_is_no_rate_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}: "):
        Rates.parse([text])


def test_nothing_is_too_often_where_there_is_no_limit() -> None:
    limiter = Limiter(Rate.parse("unlimited"))
    assert not any(limiter.wait("who", 0.0) for _ in range(10_000))


def test_looking_ahead_counts_for_nothing() -> None:
    limiter = Limiter(Rate(1.0, 1.0))
    assert [limiter.ahead("who", 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert [limiter.wait("who", 0.0), limiter.ahead("who", 0.5)] == [0.0, 0.5]


@pytest.mark.parametrize(
    "options",
    [Options(rates=Rates(register=Rate(0.001, 1.0), connect=Rate(0.001, 2.0), validate=Rate(0.001, 3.0)))],
    ids=["strict"],
)
async def test_each_kind_of_request_is_counted_by_itself(pair: Pair) -> None:
    _, bundle, key = await pair.harness()
    await pair.running.connect(pair.harness_token, new_key())
    assert (await pair.running.post("connect", pair.harness_token, {}))[0] == 429
    assert (await pair.running.post("register", pair.executor_token, {}))[0] == 429

    async def validate() -> int:
        said = bundle["harness_key_authorization"]
        return (await pair.running.validate(pair.executor_token, "x", pair.registered, key, said))[0]

    assert [await validate() for _ in range(4)] == [200, 200, 200, 429]
    # Another harness of the same environment is not held off by what the first one has asked.
    await pair.running.connect(pair.running.token("harness"), new_key())


@pytest.mark.parametrize("options", [Options(rates=Rates(handshake=Rate(0.001, 2.0)))], ids=["strict"])
async def test_a_token_whose_handshakes_are_refused_gets_no_bundle(pair: Pair) -> None:
    harnesses = []

    async def fail(name: str, reason: str) -> None:
        harness, _, _ = await pair.harness()
        harnesses.append(harness)
        await harness.send_bytes(offer(name))
        assert await pair.executor.receive_bytes() == offer(name)
        # The second reset is none of a handshake any more.
        for _ in range(2):
            await pair.executor.send_bytes(frames.reset(name, reason))
            await harness.receive_bytes()

    for number in range(3):
        await fail(f"busy{number}", "too_many_streams")
        await fail(f"unknown{number}", "registry_unavailable")
    await fail("one", "noise_relay_protocol_error")
    await fail("two", "noise_relay_protocol_error")
    status, told = await pair.running.post("connect", pair.harness_token, {"harness_public_key": new_key()})
    assert (status, told["error"]["code"]) == (429, "rate_limited")
    assert "handshakes" in told["error"]["message"]
    await pair.running.connect(pair.running.token("harness"), new_key())
    assert "refused_handshakes_total 2.0" in pair.running.service.metrics.text().decode()


async def test_a_connection_carries_one_handshake(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    await harness.send_bytes(offer("one"))
    await harness.send_bytes(offer("one"))
    assert await ending(harness) == WSCloseCode.POLICY_VIOLATION
    assert await pair.executor.receive_bytes() == offer("one")
    frame = RelayMessageFrame.FromString(await pair.executor.receive_bytes())
    assert frame.WhichOneof("body") == "reset"


@pytest.mark.parametrize("options", [Options(rates=UNLIMITED, most_harnesses=2)], ids=["two"])
async def test_a_token_has_only_so_many_harnesses(pair: Pair) -> None:
    first, _, _ = await pair.harness()
    second, _, _ = await pair.harness()
    bundle = await pair.running.connect(pair.harness_token, new_key())
    assert await refused(pair.running, bundle["url"]) == 429
    other = await pair.running.connect(pair.running.token("harness"), new_key())
    await pair.running.dial(other["url"])
    await first.close()
    await pair.running.log.until(lambda: len(pair.running.log.events("hang up")) == 1)
    # The URL was not used up by the refusal.
    await pair.running.dial(bundle["url"])
    assert not second.closed


@pytest.mark.parametrize("options", [Options(most_connections=1)], ids=["one"])
async def test_a_service_that_is_full_says_so(pair: Pair) -> None:
    bundle = await pair.running.connect(pair.harness_token, new_key())
    assert await refused(pair.running, bundle["url"]) == 503


@pytest.mark.parametrize(
    "options", [Options(rates=UNLIMITED, first_seconds=0.2, ping_seconds=0.1)], ids=["short"]
)
async def test_a_harness_that_says_nothing_is_ended(pair: Pair) -> None:
    async def read_all() -> None:
        # Answers pings.
        while (await pair.executor.receive()).type is WSMsgType.BINARY:
            pass

    silent, _, _ = await pair.harness()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_all())
        assert await ending(silent) == WSCloseCode.POLICY_VIOLATION
        reading.cancel()
    assert "nothing was said" in pair.running.log.events("hang up")[0]["outcome"]


@pytest.mark.parametrize("options", [Options(rates=UNLIMITED, ping_seconds=0.2)], ids=["short"])
async def test_who_answers_no_ping_has_gone(pair: Pair) -> None:
    log, connect = pair.running.log, pair.running.http.ws_connect
    bundle = await pair.running.connect(pair.harness_token, new_key())
    async with connect(bundle["url"], autoping=False) as deaf:
        await deaf.send_bytes(data("one", b""))

        async def executor() -> bytes:
            # Answers pings all the time.
            await pair.executor.receive_bytes()
            return await pair.executor.receive_bytes()

        async with asyncio.timeout(SECONDS):
            frame = RelayMessageFrame.FromString(await executor())
        assert frame.WhichOneof("body") == "reset"
        await log.until(lambda: bool(log.events("hang up")))
        assert log.events("hang up")[0]["outcome"] == "no answer to a ping"
    (link,) = pair.running.service.links
    assert link.ticket.role == "executor"


@pytest.mark.parametrize("options", [Options(rates=UNLIMITED, stall_seconds=0.4)], ids=["short"])
async def test_one_harness_may_leave_much_unread_and_stalls_no_other(pair: Pair) -> None:
    slow, _, _ = await pair.harness()
    quick, _, _ = await pair.harness()
    for name, harness in (("slow", slow), ("quick", quick)):
        await harness.send_bytes(data(name, b""))
        await pair.executor.receive_bytes()
    # As much as an executor sends ahead that heeds acks.
    sent = [data("slow", bytes([number]) * 61_000, number) for number in range(256)]
    for frame in sent:
        await pair.executor.send_bytes(frame)
    await pair.executor.send_bytes(data("quick", b"still here"))
    async with asyncio.timeout(SECONDS):
        assert b"still here" in await quick.receive_bytes()
        assert [await slow.receive_bytes() for _ in sent] == sent


async def test_a_database_that_another_program_locks_is_told_and_waited_for(
    running: Running, tmp_path: Path
) -> None:
    token = running.token("executor")
    running.store._database.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "rendezvous.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        body = {"security_profile": "noise_hybrid_ik_v1", "executor_public_key": new_key()}
        status, told = await running.post("register", token, body)
        assert (status, told["error"]["code"]) == (503, "unavailable")
        await running.log.until(lambda: bool(running.log.events("failure")))
        assert 'failures_total{what="database"}' in running.service.metrics.text().decode()
        other.execute("ROLLBACK")
    finally:
        other.close()
    registered = await running.register(token)
    async with await running.dial(registered["url"]):
        pass


def test_only_so_many_replaced_keys_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.rendezvous.store._MOST_REPLACED", 3)
    with open_store(tmp_path / "db") as store:
        for number in range(10):
            store.register(BOX, f"key{number}", "profile", "tok", float(number))
        known = [number for number in range(10) if store.was_replaced(BOX, f"key{number}")]
    # The last is no replaced one.
    assert known == [6, 7, 8]
