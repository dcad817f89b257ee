"""The service with real sockets: who may do what, and what goes where."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import WSCloseCode, WSMsgType, WSServerHandshakeError
from aiohttp.client_ws import ClientWebSocketResponse

from executors.transport.relay_pb2 import RelayMessageFrame
from harness.rendezvous.limits import Rate, Rates
from harness.rendezvous.registry import PROFILE, Lifetimes
from harness.rendezvous.service import Options
from tests.rendezvous.conftest import SECONDS, Running, data, new_key

pytestmark = pytest.mark.anyio


class Pair:
    """An executor that is connected, and harnesses of it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.executor_token = running.token("executor")
        self.harness_token = running.token("harness")

    async def start(self, key: dict[str, str] | None = None) -> None:
        self.registered = await self.running.register(self.executor_token, key=key)
        self.executor = await self.running.dial(self.registered["url"])

    async def harness(self) -> tuple[ClientWebSocketResponse, Any, dict[str, str]]:
        key = new_key()
        bundle = await self.running.connect(self.harness_token, key)
        return await self.running.dial(bundle["url"]), bundle, key


@pytest.fixture
async def pair(running: Running) -> Pair:
    made = Pair(running)
    await made.start()
    return made


async def ending(socket: ClientWebSocketResponse) -> int:
    """Returns the close code that a connection ends with."""
    async with asyncio.timeout(SECONDS):
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            pass
    assert message.type is WSMsgType.CLOSE, message
    return int(message.data)


async def refused(running: Running, url: str) -> int:
    with pytest.raises(WSServerHandshakeError) as caught:
        await running.dial(url)
    return caught.value.status


async def test_frames_reach_the_other_side_unchanged_and_in_order(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    sent = [data("one", bytes([n]) * n, n) for n in range(1, 50)]
    for frame in sent:
        await harness.send_bytes(frame)
    assert [await pair.executor.receive_bytes() for _ in sent] == sent
    for frame in sent:
        await pair.executor.send_bytes(frame)
    assert [await harness.receive_bytes() for _ in sent] == sent


async def test_each_harness_gets_its_own_stream(pair: Pair) -> None:
    harnesses = {name: (await pair.harness())[0] for name in ("a", "b", "c")}
    for name, harness in harnesses.items():
        await harness.send_bytes(data(name, b""))
        await pair.executor.receive_bytes()
    for name in ("c", "a", "b"):
        await pair.executor.send_bytes(data(name, name.encode()))
    for name, harness in harnesses.items():
        assert RelayMessageFrame.FromString(await harness.receive_bytes()).data.payload == name.encode()


async def test_a_harness_is_validated_once_on_its_own_stream(pair: Pair) -> None:
    harness, bundle, key = await pair.harness()
    authorization = bundle["harness_key_authorization"]

    async def validate(stream: str, whose: dict[str, str], said: str) -> Any:
        status, told = await pair.running.validate(pair.executor_token, stream, pair.registered, whose, said)
        assert status == 200
        return told["valid"]

    # Nobody has used the stream yet.
    assert not await validate("one", key, authorization)
    await harness.send_bytes(data("one", b""))
    await pair.executor.receive_bytes()
    assert not await validate("two", key, authorization)
    assert not await validate("one", new_key(), authorization)
    assert not await validate("one", key, authorization[:-1])
    assert not await validate("one", key, "")
    assert not await validate("one", key, "x" * 5000)
    assert await validate("one", key, authorization)
    assert not await validate("one", key, authorization)


async def test_a_bundle_has_the_executor_s_key(running: Running) -> None:
    token, key = running.token("executor"), new_key()
    _, registered = await running.post(
        "register", token, {"security_profile": PROFILE, "executor_public_key": key}
    )
    async with await running.dial(registered["url"]):
        bundle = await running.connect(running.token("harness"), new_key())
    assert bundle["executor_public_key"] == key
    assert bundle["executor_registration_id"] == registered["executor_registration_id"]
    assert (bundle["environment_id"], bundle["security_profile"]) == ("box", PROFILE)


async def test_a_stream_that_is_another_s_ends_the_connection_and_not_the_stream(pair: Pair) -> None:
    owner, _, _ = await pair.harness()
    await owner.send_bytes(data("one", b""))
    await pair.executor.receive_bytes()
    thief, _, _ = await pair.harness()
    await thief.send_bytes(data("one", b"forged"))
    assert await ending(thief) == WSCloseCode.POLICY_VIOLATION
    await owner.send_bytes(data("one", b"mine"))
    frame = RelayMessageFrame.FromString(await pair.executor.receive_bytes())
    assert frame.data.payload == b"mine"


async def test_a_connection_carries_one_stream(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    await harness.send_bytes(data("one", b""))
    await harness.send_bytes(data("two", b""))
    assert await ending(harness) == WSCloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("frame", [b"\xff\xff", b"", data("", b"x"), data("x" * 300, b"x")])
async def test_what_is_no_frame_ends_the_harness_that_sent_it(pair: Pair, frame: bytes) -> None:
    harness, _, _ = await pair.harness()
    await harness.send_bytes(frame)
    assert await ending(harness) == WSCloseCode.POLICY_VIOLATION


async def test_what_is_no_frame_ends_no_executor(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    await harness.send_bytes(data("one", b""))
    await pair.executor.receive_bytes()
    await pair.executor.send_bytes(b"\xff\xff")
    await pair.executor.send_bytes(data("unknown", b""))
    await pair.executor.send_bytes(data("one", b"still here"))
    assert b"still here" in await harness.receive_bytes()
    text = pair.running.service.metrics.text().decode()
    assert 'dropped_frames_total{reason="no frame"} 1.0' in text
    assert 'dropped_frames_total{reason="no such stream"} 1.0' in text


async def test_a_harness_that_goes_has_its_stream_reset(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    await harness.send_bytes(data("one", b""))
    await pair.executor.receive_bytes()
    await harness.close()
    frame = RelayMessageFrame.FromString(await pair.executor.receive_bytes())
    assert (frame.stream_id, frame.WhichOneof("body")) == ("one", "reset")


async def test_an_executor_that_goes_ends_its_harnesses(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    await pair.executor.close()
    assert await ending(harness) == WSCloseCode.TRY_AGAIN_LATER


async def test_an_executor_may_dial_the_same_url_again_and_takes_its_place(pair: Pair) -> None:
    harness, _, _ = await pair.harness()
    again = await pair.running.dial(pair.registered["url"])
    assert await ending(pair.executor) == WSCloseCode.SERVICE_RESTART
    assert await ending(harness) == WSCloseCode.SERVICE_RESTART
    pair.executor = again
    other, _, _ = await pair.harness()
    await other.send_bytes(data("one", b"x"))
    assert await again.receive_bytes() == data("one", b"x")


async def test_a_harness_url_opens_one_connection(pair: Pair) -> None:
    bundle = await pair.running.connect(pair.harness_token, new_key())
    await pair.running.dial(bundle["url"])
    assert await refused(pair.running, bundle["url"]) == 403


@pytest.mark.parametrize(
    "change",
    [("environment=box", "environment=bax"), ("role=harness", "role=executor"), ("expires=", "expires=9")],
)
async def test_a_url_that_was_changed_opens_none(pair: Pair, change: tuple[str, str]) -> None:
    bundle = await pair.running.connect(pair.harness_token, new_key())
    assert change[0] in bundle["url"]
    assert await refused(pair.running, bundle["url"].replace(*change)) == 403
    assert await refused(pair.running, bundle["url"].partition("?")[0]) == 403


async def test_without_an_executor_there_is_nothing_to_connect_to(running: Running) -> None:
    body = {"harness_public_key": new_key()}
    token = running.token("harness")
    status, told = await running.post("connect", token, body)
    assert (status, told["error"]["code"]) == (404, "not_found")
    await running.register(running.token("executor"))
    status, told = await running.post("connect", token, body)
    assert (status, told["error"]["code"]) == (503, "executor_offline")


@pytest.mark.parametrize(
    ("role", "environment", "expires", "status"),
    [
        ("harness", "box", None, 403),
        ("executor", "other", None, 403),
        ("executor", "box", 1.0, 401),
    ],
)
async def test_a_token_is_for_one_thing(
    running: Running, role: Any, environment: str, expires: float | None, status: int
) -> None:
    token = running.token(role, environment, expires)
    body = {"security_profile": PROFILE, "executor_public_key": new_key()}
    assert (await running.post("register", token, body))[0] == status


@pytest.mark.parametrize("token", [None, "", "crossexec_unknown"])
async def test_who_says_not_who_it_is_is_refused(running: Running, token: str | None) -> None:
    status, told = await running.post("register", token, {})
    assert (status, told["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{", "JSON"),
        ({}, "security_profile"),
        ({"security_profile": "none", "executor_public_key": new_key()}, "security_profile"),
        ({"security_profile": PROFILE, "executor_public_key": {**new_key(), "more": 1}}, "more"),
        ({"security_profile": PROFILE, "executor_public_key": {**new_key(), "suite": "x"}}, "suite"),
        (
            {"security_profile": PROFILE, "executor_public_key": {**new_key(), "x25519_public_key": "AA=="}},
            "x25519_public_key",
        ),
        (
            {"security_profile": PROFILE, "executor_public_key": {**new_key(), "mlkem768_public_key": "!"}},
            "mlkem768_public_key",
        ),
        (b" " * 70_000, "65536"),
    ],
)
async def test_a_request_that_is_wrong_is_told_what_is(running: Running, body: Any, names: str) -> None:
    status, told = await running.post("register", running.token("executor"), body)
    assert (status, told["error"]["code"]) == (400, "invalid_request")
    assert names in told["error"]["message"]


async def test_a_revoked_token_ends_what_it_was_given(pair: Pair) -> None:
    store = pair.running.store
    harness, bundle, key = await pair.harness()
    await harness.send_bytes(data("one", b""))
    await pair.executor.receive_bytes()
    (token,) = [each for each in store.tokens() if each.role == "harness"]
    unused = await pair.running.connect(pair.harness_token, new_key())
    assert store.revoke_token(token.id, 1.0)
    assert await refused(pair.running, unused["url"]) == 401
    assert (await pair.running.post("connect", pair.harness_token, {}))[0] == 401
    status, _ = await pair.running.validate(
        pair.executor_token, "one", pair.registered, key, bundle["harness_key_authorization"]
    )
    assert status == 401
    assert await ending(harness) == WSCloseCode.POLICY_VIOLATION


@pytest.mark.parametrize(
    "options",
    [Options(lifetimes=Lifetimes(executor=-1.0, harness=-1.0, authorization=-1.0))],
    ids=["expired"],
)
async def test_what_has_expired_opens_nothing(running: Running) -> None:
    registered = await running.register(running.token("executor"))
    assert await refused(running, registered["url"]) == 403


@pytest.mark.parametrize("options", [Options(rates=Rates(failure=Rate(0.001, 2.0)))], ids=["strict"])
async def test_who_guesses_is_held_off(running: Running) -> None:
    told = [(await running.post("register", "guess", {}))[0] for _ in range(4)]
    assert told == [401, 401, 429, 429]
    assert await refused(running, f"{running.url}/cloud/rendezvous?signature=x") == 429


@pytest.mark.parametrize("options", [Options(rates=Rates(register=Rate(0.001, 2.0)))], ids=["strict"])
async def test_who_asks_too_often_is_held_off(running: Running) -> None:
    token = running.token("executor")
    await running.register(token)
    await running.register(token)
    async with running.http.post(
        f"{running.url}/cloud/environment/box/register", headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) >= 1
    await running.register(running.token("executor"))


@pytest.mark.parametrize("options", [Options(stall_seconds=0.2)], ids=["short"])
async def test_a_harness_that_does_not_read_loses_its_stream_alone(pair: Pair) -> None:
    slow, _, _ = await pair.harness()
    quick, _, _ = await pair.harness()
    for name, harness in (("slow", slow), ("quick", quick)):
        await harness.send_bytes(data(name, b""))
        await pair.executor.receive_bytes()

    async def flood() -> None:
        for _ in range(400):
            await pair.executor.send_bytes(data("slow", bytes(200_000)))
        await pair.executor.send_bytes(data("quick", b"still here"))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(flood())
        async with asyncio.timeout(SECONDS):
            assert b"still here" in await quick.receive_bytes()
            frame = RelayMessageFrame.FromString(await pair.executor.receive_bytes())
    assert (frame.stream_id, frame.WhichOneof("body")) == ("slow", "reset")


async def test_the_log_and_the_metrics_hold_no_secret(
    pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    # Each callback is one to be told of, with all that it was called with.
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    monkeypatch.setattr(loop, "slow_callback_duration", 0.0)
    harness, bundle, key = await pair.harness()
    await harness.send_bytes(data("one", b"payload-that-is-secret"))
    await pair.executor.receive_bytes()
    authorization = bundle["harness_key_authorization"]
    await pair.running.validate(pair.executor_token, "one", pair.registered, key, authorization)
    await pair.running.post("connect", "a-guess", {})
    await refused(pair.running, bundle["url"])
    port = bundle["url"].split("/")[2].rpartition(":")[2]
    for broken in ("GET {} HTTP/9", "GET {} HTTP/1.1\r\nHost: x\r\nbroken {}", "GET {} HTTP/1.1\r\nHost: x"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        target = "/" + bundle["url"].split("/", 3)[3]
        writer.write(broken.format(target, target).encode() + b"\r\n\r\n")
        assert b" 40" in await reader.readline()
        writer.close()
    await harness.close()
    await pair.executor.receive_bytes()
    async with pair.running.http.get(f"{pair.running.url}/metrics") as answer:
        metrics = await answer.text()
    loop.set_debug(False)
    log = pair.running.log.getvalue()
    events = ('"register"', '"connect"', '"validate"', '"dial"', '"hang up"')
    assert all(event in log for event in events), log
    assert 'crossexec_rendezvous_requests_total{operation="validate",outcome="done"} 1.0' in metrics
    secrets = [
        pair.executor_token,
        pair.harness_token,
        authorization,
        "a-guess",
        "payload-that-is-secret",
        key["x25519_public_key"],
        bundle["url"].partition("signature=")[2],
        pair.registered["url"].partition("signature=")[2],
    ]
    assert all(secrets)
    for secret in secrets:
        assert secret not in log and secret not in metrics
        # The client's side of these tests says what it does, too.
        told = [record for record in caplog.records if not record.name.startswith("aiohttp.client")]
        assert not [record for record in told if secret in record.getMessage()]
    assert any(record.name == "asyncio" for record in caplog.records)
