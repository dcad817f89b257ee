"""The registry's word, and what goes to it, is altered on the way: nobody is taken for somebody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_INFO
from executors.transport.noise_keys import KeyPair
from fixtures.meddler import Asked, Forward, Passing, Registry, Reply, Step, Way
from fixtures.meddler_frames import kind_of
from harness.client import ExecutorKeyChanged, RecoveryOptions, SessionLost
from harness.environments import EnvironmentFailed
from harness.environments.place import DialOut
from suites.relay.scene import Scene
from suites.relay.talk import bystander

pytestmark = pytest.mark.anyio

Alter = Callable[[dict[str, Any]], object]
HOUR: Final = 3600.0


def answering(action: str, alter: Alter) -> Registry:
    """Alters the fields of the answers to requests of a kind."""

    async def registry(asked: Asked, forward: Forward) -> Reply | None:
        reply = await forward(asked)
        if asked.action != action or reply.status != 200:
            return reply
        fields = json.loads(reply.body)
        alter(fields)
        return replace(reply, body=json.dumps(fields).encode())

    return registry


def instead(action: str, status: int, body: bytes, **headers: str) -> Registry:
    """Answers requests of a kind without asking anybody."""

    async def registry(asked: Asked, forward: Forward) -> Reply | None:
        return Reply(status, headers, body) if asked.action == action else await forward(asked)

    return registry


def _key() -> dict[str, str]:
    found: dict[str, str] = msgspec.to_builtins(KeyPair.generate().public.to_wire())
    return found


def _unsigned(fields: dict[str, Any]) -> None:
    url = fields["url"]
    fields["url"] = url[:-1] + ("A" if url[-1] != "A" else "B")


BUNDLES: Final[dict[str, tuple[Alter, str, int]]] = {
    "key": (lambda f: f.update(executor_public_key=_key()), "noise_relay_protocol_error", 1),
    "no key": (lambda f: f.pop("executor_public_key"), "another form", 0),
    "half a key": (lambda f: f["executor_public_key"].update(mlkem768_public_key="AAAA"), "of no use", 0),
    "key of low order": (
        lambda f: f["executor_public_key"].update(x25519_public_key="A" * 43 + "="),
        "low order",
        0,
    ),
    "suite": (lambda f: f["executor_public_key"].update(suite="Noise_IK_25519_AESGCM_SHA256"), "suite", 0),
    "environment": (lambda f: f.update(environment_id="other"), "answered for the environment 'other'", 0),
    "registration": (lambda f: f.update(executor_registration_id="reg_x"), "noise_relay_protocol_error", 1),
    "no registration": (lambda f: f.update(executor_registration_id=""), "no usable registration", 0),
    "profile": (lambda f: f.update(security_profile="none"), "security profile 'none'", 0),
    "url elsewhere": (lambda f: f.update(url="ws://192.0.2.1/x"), "neither wss nor on this machine", 0),
    "url of a file": (lambda f: f.update(url="file:///etc/passwd"), "neither wss nor on this machine", 0),
    "signature": (_unsigned, "status 403", 0),
    "authorization": (
        lambda f: f.update(harness_key_authorization="x" * 43),
        "noise_relay_protocol_error",
        1,
    ),
    "no authorization": (lambda f: f.update(harness_key_authorization=""), "noise_relay_protocol_error", 1),
    "over-long authorization": (
        lambda f: f.update(harness_key_authorization="x" * 4097),
        "4097",
        0,
    ),
}
"""What of a bundle is another: how, what a person is told, and how many handshakes fail at the executor."""


@pytest.mark.parametrize("what", BUNDLES)
async def test_a_bundle_with_another(scene: Scene, what: str) -> None:
    alter, expected, failures = BUNDLES[what]
    await scene.spend(failures)
    async with bystander(scene):
        scene.meddler.registry = answering("connect", alter)
        assert expected in await scene.refusal()
        scene.meddler.registry = None
        async with scene.connect():
            pass


ANSWERS: Final = {
    "nonsense": (instead("connect", 200, b"\xff{"), "another form"),
    "endless": (instead("connect", 200, b" " * 300_000), ""),
    "an error": (
        instead("connect", 500, b'{"error": {"code": "c\\u001b[31m", "message": "m\\n"}}'),
        "status 500, c?",
    ),
    "a redirect": (instead("connect", 307, b"", Location="http://192.0.2.1/"), "status 307"),
    "not known": (instead("connect", 404, b"{}"), "status 404"),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_is(scene: Scene, what: str) -> None:
    registry, expected = ANSWERS[what]
    async with bystander(scene):
        scene.meddler.registry = registry
        text = await scene.refusal()
        assert expected in text and text.isprintable()


async def test_another_key_than_before_ends_the_session(scene: Scene) -> None:
    async with bystander(scene):
        clients = scene.clients()
        async with scene.connect(clients) as client:
            scene.meddler.registry = answering("connect", lambda f: f.update(executor_public_key=_key()))
            await scene.newest_line.cut()
            lost = await client.wait_lost()
            assert "has the key" in str(lost) and "--remote-accept-new-key" in str(lost)
            with pytest.raises(SessionLost):
                await client.call(ENVIRONMENT_INFO, Empty())
        with pytest.raises(ExecutorKeyChanged):
            async with scene.connect(clients):
                pass


async def test_an_authorization_is_for_its_own_connection(scene: Scene) -> None:
    kept: list[str] = []

    def swap(fields: dict[str, Any]) -> None:
        kept.append(fields["harness_key_authorization"])
        fields["harness_key_authorization"] = kept[0]

    def unsigned(fields: dict[str, Any]) -> None:
        swap(fields)
        _unsigned(fields)

    await scene.spend(2)
    async with bystander(scene):
        scene.meddler.registry = answering("connect", swap)
        async with scene.connect():
            # One that has been used, by its owner and by nobody else.
            assert "noise_relay_protocol_error" in await scene.refusal()
        # One that has not.
        kept.clear()
        scene.meddler.registry = answering("connect", unsigned)
        assert "status 403" in await scene.refusal()
        scene.meddler.registry = answering("connect", swap)
        assert "noise_relay_protocol_error" in await scene.refusal()


async def test_a_url_opens_one_connection(scene: Scene) -> None:
    kept: list[str] = []

    def swap(fields: dict[str, Any]) -> None:
        kept.append(fields["url"])
        fields["url"] = kept[0]

    async with bystander(scene):
        scene.meddler.registry = answering("connect", swap)
        async with scene.connect() as client:
            assert "status 403" in await scene.refusal()
            await client.call(ENVIRONMENT_INFO, Empty())
            assert client.generation == 1


async def test_an_authorization_that_has_expired_on_its_way(scene: Scene) -> None:
    await scene.spend(1)
    async with bystander(scene):

        def tamper(passing: Passing) -> list[Step]:
            if passing.line.role == "harness" and kind_of(passing.message) == "handshake":
                scene.clock.ahead = HOUR
            return [passing.message]

        scene.meddler.tamper = tamper
        assert "noise_relay_protocol_error" in await scene.refusal()
        scene.meddler.tamper = None
        async with scene.connect():
            pass


async def test_a_url_that_has_expired_on_its_way(scene: Scene) -> None:
    async with bystander(scene):

        def later(fields: dict[str, Any]) -> None:
            scene.clock.ahead = HOUR

        scene.meddler.registry = answering("connect", later)
        assert "status 403" in await scene.refusal()
        scene.meddler.registry = None
        async with scene.connect():
            pass


VERDICTS: Final = {
    "no": (instead("validate", 200, b'{"valid": false}'), "noise_relay_protocol_error", 1, 1),
    # The executor says in the handshake that the registry would not have it: once more, with a fresh bundle.
    "401": (instead("validate", 401, b"{}"), "does not accept this harness's authorization", 2, 0),
    # Executors tell the rest by different reasons: this project's by one that is no fault of the harness.
    "an error": (instead("validate", 500, b"{}"), "reset by the other side", 1, 0),
    "nonsense": (instead("validate", 200, b'{"valid": "yes"}'), "reset by the other side", 1, 0),
    "a redirect": (
        instead("validate", 302, b"", Location="http://192.0.2.1/"),
        "reset by the other side",
        1,
        0,
    ),
}


@pytest.mark.parametrize("what", VERDICTS)
async def test_whether_a_harness_may_connect_is_answered_by(scene: Scene, what: str) -> None:
    registry, expected, attempts, failures = VERDICTS[what]
    await scene.spend(failures)
    async with bystander(scene):
        before = len(scene.meddler.answers("connect"))
        scene.meddler.registry = registry
        assert expected in await scene.refusal()
        assert len(scene.meddler.answers("connect")) == before + attempts


async def test_a_token_of_another_environment_and_of_an_executor(scene: Scene) -> None:
    async with bystander(scene):
        for token in (scene.token("harness", "elsewhere"), scene.token("executor"), "x" * 43):
            scene.token_file.write_text(token)
            assert "status 40" in await scene.refusal()


async def test_a_token_that_is_revoked_ends_its_connections_and_no_others(scene: Scene) -> None:
    revoked, clients = scene.harness_token, scene.clients()
    scene.renew_token()
    soon = RecoveryOptions(give_up_seconds=1.0, retry_seconds=0.2)
    async with bystander(scene), scene.connect(clients, recovery=soon) as client:
        line = scene.newest_line
        scene.revoke(revoked)
        await scene.meddler.until(lambda: not line.is_open)
        lost = await client.wait_lost()
        scene.said.append(str(lost))
        assert "revoked" in str(lost)


REGISTRATIONS: Final = {
    "environment": (lambda f: f.update(environment_id="other"), "answered for the environment 'other'"),
    "profile": (lambda f: f.update(security_profile="none"), "security profile 'none'"),
    "url": (lambda f: f.update(url="ws://192.0.2.1/x"), "neither wss nor on this machine"),
}


@pytest.mark.parametrize("what", REGISTRATIONS)
async def test_an_executor_is_registered_with_another(scene: Scene, what: str) -> None:
    alter, expected = REGISTRATIONS[what]
    async with bystander(scene):
        scene.meddler.registry = answering("register", alter)
        dial_out = DialOut(scene.meddler.url, "never", scene.token("executor", "never"))
        with pytest.raises(EnvironmentFailed) as failed:
            async with asyncio.timeout(60), scene.place.launch(dial_out):
                pass
        scene.said.append(str(failed.value))
        assert expected in str(failed.value)


async def test_a_harness_cannot_speak_on_another_s_stream(scene: Scene) -> None:
    async with bystander(scene), scene.connect() as client:
        line, stream = scene.newest_line, scene.newest_stream
        async with scene.connect():
            theirs = scene.newest_line
            tape = [each.message for each in scene.meddler.tape if each.line is line and each.way is Way.UP]
            await theirs.inject(Way.UP, tape[-1])
            await scene.meddler.until(lambda: not theirs.is_open)
        assert stream
        await client.call(ENVIRONMENT_INFO, Empty())
        assert client.generation == 1
