from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from executors.remote.backoff import Backoff
from executors.transport import relay_frames as frames
from executors.transport.noise import Initiator, Prologue
from executors.transport.noise_keys import PublicKey
from executors.transport.relay_stream import WINDOW
from tests.relay.harness import HandshakeFailed, harness, python, until
from tests.relay.links import get_bundle, open_link
from tests.relay.remote import ENVIRONMENT_ID, as_process, in_loop
from tests.relay.scene import HARNESS
from tests.support.rendezvous import Call, Rendezvous, Reply, rendezvous
from tests.support.watch import SECONDS

PROTOCOL_ERROR = "reset by the other side: noise_relay_protocol_error"
UNAVAILABLE = "reset by the other side: registry_unavailable"


def test_a_process_runs_through_the_relay_and_nobody_in_between_can_read_of_it() -> None:
    async def body() -> None:
        async with rendezvous() as service, as_process(service), harness(service, ENVIRONMENT_ID) as client:
            await client.initialize()
            await client.call("process/start", python("print('a' + 'marker')"))
            assert await client.output() == b"amarker\n"
            assert (await client.notified("process/exited"))["exitCode"] == 0
            seen = b"".join(frame for _, frame in service.seen)
            for plain in (b"marker", base64.b64encode(b"amarker\n"), b"process/start", b"initialize"):
                assert plain not in seen
            validations = [call for call in service.calls if call.action == "validate"]
            assert [call.headers["x-codex-noise-stream-id"] for call in validations] == [client.stream_id]
            ((path, headers),) = service.dialled
            assert headers["x-request-id"].startswith("req_")
            assert "authorization" not in headers
            assert path.startswith("/executor/")

    asyncio.run(body())


def test_what_is_registered() -> None:
    async def body() -> None:
        async with rendezvous() as service, as_process(service, "--name", "a machine"):
            (call,) = service.calls
            assert call.body.pop("executor_public_key")["suite"].startswith("Noise_hybridIK_")
            assert call.body == {"security_profile": "noise_hybrid_ik_v1", "name": "a machine"}

    asyncio.run(body())


def test_an_executor_that_ends_tells_its_harnesses_in_order() -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service) as stop:
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
                stop.set()
                async with asyncio.timeout(SECONDS):
                    await client.ended.wait()
                assert client.stream.ended_in_order
            reasons = [frames.decode(frame).body for who, frame in service.seen if who == "executor"]
            assert reasons[-1] == frames.Reset("1001 the executor is shutting down")

    asyncio.run(body())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(200, {"valid": False}), PROTOCOL_ERROR),
        (Reply(200, {"valid": "true"}), UNAVAILABLE),
        (Reply(200, b"{"), UNAVAILABLE),
        (Reply(500, {"error": {"code": "broken", "message": "x"}}), UNAVAILABLE),
        (Reply(429, {}, {"Retry-After": "10"}), UNAVAILABLE),
        (Reply(307, {}, {"Location": "/base/cloud/environment/x/valid"}), UNAVAILABLE),
        (Reply(401, {}), None),
    ],
)
def test_no_harness_connects_that_the_registry_does_not_vouch_for(reply: Reply, reason: str | None) -> None:
    async def answer(call: Call) -> Reply | None:
        return reply if call.action == "validate" else None

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.answer = answer
            with pytest.raises(HandshakeFailed) as raised:
                async with harness(service, ENVIRONMENT_ID):
                    pass
            assert raised.value.refused is (reason is None)
            assert reason is None or str(raised.value) == reason
            service.answer = None
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
            assert len([call for call in service.calls if call.action == "validate"]) == 2

    asyncio.run(body())


def test_a_registry_that_is_asked_too_often_is_asked_again_when_it_says() -> None:
    replies = [Reply(429, {}, {"Retry-After": "1"}), Reply(503, {}, {"Retry-After": "0"})]

    async def answer(call: Call) -> Reply | None:
        return replies.pop(0) if call.action == "validate" and replies else None

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.answer = answer
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
            assert [call.action for call in service.calls].count("validate") == 3

    asyncio.run(body())


def test_a_registry_that_stalls_holds_up_that_handshake_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executors.remote.registry.REQUEST_SECONDS", 1.0)
    stalled = asyncio.Event()

    async def stall(call: Call) -> Reply | None:
        if call.headers.get("x-codex-noise-stream-id") == "stalled":
            stalled.set()
            await asyncio.Event().wait()
        return None

    async def fails(service: Rendezvous) -> None:
        with pytest.raises(HandshakeFailed, match=UNAVAILABLE):
            async with harness(service, ENVIRONMENT_ID, stream_id="stalled"):
                pass

    async def body() -> None:
        async with rendezvous() as service, in_loop(service), asyncio.TaskGroup() as group:
            service.answer = stall
            failing = group.create_task(fails(service))
            await stalled.wait()
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
                assert not failing.done()

    asyncio.run(body())


def test_nobody_asks_for_a_harness_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executors.remote.registry.REQUEST_SECONDS", 1000.0)
    asked = asyncio.Event()

    async def stall(call: Call) -> Reply | None:
        if call.action == "validate":
            asked.set()
            await asyncio.Event().wait()
        return None

    def asking() -> bool:
        return any("RelayLink._ask" in repr(task.get_coro()) for task in asyncio.all_tasks())

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.answer = stall
            bundle = await get_bundle(service, ENVIRONMENT_ID, HARNESS.public)
            prologue = Prologue(ENVIRONMENT_ID, bundle.executor_registration_id, "s")
            executor = PublicKey.from_wire(bundle.executor_public_key)
            async with open_link(bundle, "s") as link:
                await link.handshake(Initiator(HARNESS, executor, prologue).offer(b"authorization"))
                await asked.wait()
                assert asking()
                await link.reset("changed its mind")
                await until(lambda: not asking())

    asyncio.run(body())


@pytest.mark.parametrize("status", [None, 409], ids=["the same registration", "another with the same id"])
def test_a_first_message_is_refused_on_a_later_connection_too(status: int | None) -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service):

            async def again(call: Call) -> None:
                if call.action == "register":
                    service.upgrade_status = None

            (service.registration_id, _) = service.registration[ENVIRONMENT_ID]
            service.answer = again
            async with harness(service, ENVIRONMENT_ID, stream_id="s") as client:
                await client.initialize()
            first = next(frame for who, frame in service.seen if who == "harness")
            service.upgrade_status = status
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: len(service.dialled) == (3 if status else 2))
            await service.executor_connected(ENVIRONMENT_ID)
            bundle = await get_bundle(service, ENVIRONMENT_ID, HARNESS.public)
            async with open_link(bundle, "s") as link:
                await link.socket.send(first)
                assert await link.reset_reason() == frames.PROTOCOL_ERROR
            assert len([call for call in service.calls if call.action == "validate"]) == 1

    asyncio.run(body())


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_rendezvous_that_is_not_ready_is_dialled_again_at_the_same_url(status: int) -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.upgrade_status = status
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: len(service.dialled) == 2)
            service.upgrade_status = None
            await until(lambda: len(service.dialled) == 3)
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
            assert len({path for path, _ in service.dialled}) == 1
            assert [call.action for call in service.calls].count("register") == 1

    asyncio.run(body())


@pytest.mark.parametrize(("stable", "growth"), [(0.0, 1.0), (1000.0, 2.0)])
def test_gaps_grow_unless_a_connection_lasted(
    stable: float, growth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps: list[float] = []
    draw = Backoff.next

    def next_gap(backoff: Backoff) -> float:
        gaps.append(draw(backoff))
        return 0.0

    monkeypatch.setattr(Backoff, "next", next_gap)
    monkeypatch.setattr("executors.remote.backoff.STABLE_SECONDS", stable)

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            for count in (2, 3, 4):
                await (await service.executor_connected(ENVIRONMENT_ID)).close()
                await until(lambda: len(service.dialled) == count)  # noqa: B023 - awaited at once

    asyncio.run(body())
    assert [later / first for first, later in pairwise(gaps)] == pytest.approx([growth] * 2)


def test_a_redirect_is_not_followed() -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.upgrade_status = 307
            service.upgrade_location = "/executor/elsewhere"
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: len(service.dialled) == 3)
            assert len({path for path, _ in service.dialled}) == 1

    asyncio.run(body())


@pytest.mark.parametrize("status", [401, 403, 409])
def test_a_rendezvous_that_wants_another_registration_gets_it(status: int) -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service):

            async def answer(call: Call) -> None:
                service.upgrade_status = None

            service.upgrade_status = status
            service.answer = answer
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: len(service.dialled) == 3)
            await service.executor_connected(ENVIRONMENT_ID)
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
            first, second, third = (path for path, _ in service.dialled)
            assert first == second != third
            keys = [call.body["executor_public_key"] for call in service.calls if call.action == "register"]
            assert len(keys) == 2
            assert keys[0] == keys[1], "its identity stays"

    asyncio.run(body())


def test_a_registry_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [Reply(500, b"down"), Reply(200, b"nonsense"), None]

    async def answer(call: Call) -> Reply | None:
        reply = replies.pop(0) if call.action == "register" and replies else None
        return reply

    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            service.upgrade_status = 403
            service.answer = answer
            monkeypatch.setattr("executors.remote.backoff.FIRST_SECONDS", 0.01)
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: not replies)
            service.upgrade_status = None
            async with asyncio.timeout(SECONDS):
                await service.executor_connected(ENVIRONMENT_ID)
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()

    asyncio.run(body())


def test_a_harness_that_does_not_read_stalls_no_other(tmp_path: Path) -> None:
    written = tmp_path / "written"

    async def body() -> None:
        carried: Counter[str] = Counter()

        def count(who: str, frame: bytes) -> list[bytes]:
            stream_id, data = frames.decode(frame)
            carried[stream_id] += who == "executor" and isinstance(data, frames.Data)
            return [frame]

        async with rendezvous() as service, in_loop(service):
            service.tamper = count
            async with harness(service, ENVIRONMENT_ID) as slow, harness(service, ENVIRONMENT_ID) as quick:
                await slow.initialize()
                await quick.initialize()
                slow.relay.pause_reading(slow.stream)
                code = f"import os\nfile = open({str(written)!r}, 'wb', 0)\n"
                code += "for _ in range(64): os.write(1, b'x' * (1 << 20)), file.write(b'.')"
                slow.queue("process/start", python(code))
                await slow.flush()
                await quick.call("process/start", python("print('quick')"))
                assert await quick.output() == b"quick\n"
                await until(lambda: carried[slow.stream_id] == WINDOW)
                for _ in range(20):
                    assert await quick.call("environment/status") == {"status": "ready"}
                assert carried[slow.stream_id] == WINDOW
                before = -1
                while before < (now := written.stat().st_size):
                    before = now
                    await asyncio.sleep(0.2)
                assert now < 64, "its process is held back"
                slow.relay.resume_reading(slow.stream)
                slow.read()
                await slow.flush()
                assert await slow.output() == b"x" * (64 << 20)

    asyncio.run(body())


def test_a_text_frame_ends_the_connection_and_it_comes_back() -> None:
    async def body() -> None:
        async with rendezvous() as service, in_loop(service):
            await (await service.executor_connected(ENVIRONMENT_ID)).send("text")
            await until(lambda: len(service.dialled) == 2)
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()

    asyncio.run(body())


def test_what_is_wrong_on_a_stream_ends_no_other() -> None:
    async def body() -> None:
        async with (
            rendezvous() as service,
            in_loop(service),
            harness(service, ENVIRONMENT_ID) as victim,
            harness(service, ENVIRONMENT_ID) as other,
        ):
            await victim.initialize()
            await other.initialize()

            def flip(who: str, frame: bytes) -> list[bytes]:
                stream_id, data = frames.decode(frame)
                if who == "harness" and stream_id == victim.stream_id and isinstance(data, frames.Data):
                    changed = data.payload[:-1] + bytes([data.payload[-1] ^ 1])
                    return [frames.encode(stream_id, frames.Data(data.seq, changed))]
                return [frame]

            service.tamper = flip
            await victim.send(b"{}")
            async with asyncio.timeout(SECONDS):
                await victim.ended.wait()
            assert victim.reason == PROTOCOL_ERROR
            assert await other.call("environment/status") == {"status": "ready"}

    asyncio.run(body())


def test_nothing_secret_is_logged_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> list[str]:
        asyncio.get_running_loop().set_debug(True)
        async with rendezvous() as service, in_loop(service):
            async with harness(service, ENVIRONMENT_ID) as client:
                await client.initialize()
                await client.call("process/start", python("print('a secret of a process')"))
                await client.output()
            bundle = await get_bundle(service, ENVIRONMENT_ID, HARNESS.public)
            async with open_link(bundle, "s") as link:
                await link.handshake(b"an offer that is none")
                await link.reset_reason()

            async def refuse(call: Call) -> Reply | None:
                if call.action == "connect":
                    return None
                text = f"no {call.headers['authorization']} {call.body}"
                return Reply(403, {"error": {"code": service.token, "message": text}})

            service.answer = refuse
            with pytest.raises(HandshakeFailed):
                async with harness(service, ENVIRONMENT_ID):
                    pass
            service.upgrade_status = 409
            await (await service.executor_connected(ENVIRONMENT_ID)).close()
            await until(lambda: [call.action for call in service.calls].count("register") == 2)
            service.answer = service.upgrade_status = None
            async with asyncio.timeout(SECONDS):
                await service.executor_connected(ENVIRONMENT_ID)
            secrets = [service.token, "a secret of a process", *service.authorizations]
            return secrets + [path.partition("sig=")[2] for path, _ in service.dialled]

    # As the command has it.
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG):
        patch.setattr(logging.getLogger("picows"), "level", logging.CRITICAL)
        # The rendezvous is of the test, not of the executor.
        patch.setattr(logging.getLogger("websockets.server"), "level", logging.CRITICAL)
        secrets = asyncio.run(body())
    ours = [record for record in caplog.records if record.name.startswith("executors")]
    assert len(ours) >= 5
    assert len(secrets) >= 6
    for secret in secrets:
        assert len(secret) >= 16
        assert secret not in caplog.text
