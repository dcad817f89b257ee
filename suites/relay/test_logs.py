"""No log holds a secret, at any level, whatever goes wrong; and looking for secrets finds them.

Each other test of this folder looks into the logs, too, once it is over.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random

import pytest

pytest.importorskip("harness.rendezvous.service", exc_type=ImportError)

from executors.remote import backoff
from fixtures.meddler_frames import PAYLOAD, altered, kind_of
from harness.remote.registry import Bundle
from suites.relay.scene import Scene
from suites.relay.secrets import Logged, found_in, told
from suites.relay.talk import FLOWS

pytestmark = pytest.mark.anyio

SECRET = random.Random(4).randbytes(32)


@pytest.mark.parametrize(
    "spelt",
    [
        SECRET,
        SECRET.hex().encode(),
        SECRET.hex().upper().encode(),
        base64.b64encode(SECRET),
        base64.urlsafe_b64encode(SECRET),
        base64.b64encode(b"x" + SECRET + b"y"),
        base64.b64encode(b"xy" + SECRET),
        repr(SECRET).encode(),
    ],
    ids=["raw", "hex", "HEX", "base64", "base64url", "base64 off by 1", "base64 off by 2", "repr"],
)
def test_a_secret_is_found_however_it_is_spelt(spelt: bytes) -> None:
    assert found_in(b"before " + spelt + b" after", [SECRET])
    assert not found_in(b"before " + spelt[:-9] + b" after", [SECRET])


async def test_nothing_secret_is_logged_at_any_level_by_anybody(
    scene: Scene, logged: Logged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    asyncio.get_running_loop().set_debug(True)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:
        # Harness, service and executor are all of this process, whose every line is looked at.
        async with scene.own_executor() as (own, _):
            clients = scene.clients(own)
            async with scene.connect(clients) as client:
                await FLOWS["up"](scene, client, 2)
                line = scene.line_of(own)
                await line.cut()
                await scene.next_line_of(own, line)
                await FLOWS["down"](scene, client, 2)
            for alter in PAYLOAD.values():
                scene.meddler.tamper = lambda passing, alter=alter: [
                    altered(passing.message, alter)
                    if kind_of(passing.message) == "handshake" and passing.line.role == "harness"
                    else passing.message
                ]
                await scene.refusal(clients)
            scene.meddler.tamper = None
            scene.meddler.refuses = frozenset({"registry"})
            await scene.refusal(clients)
            scene.meddler.refuses = frozenset({"rendezvous"})
            await scene.refusal(clients)
    finally:
        asyncio.get_running_loop().set_debug(False)
    told_of = logged.text
    # The handshakes that failed, the executor's connections, and the loop's own debugging.
    assert b"handshake failed" in told_of and b"connected again" in told_of and b"DEBUG asyncio" in told_of
    assert len(logged.private) > 20 and len(told(scene.meddler)) > 10


async def test_nothing_that_holds_a_secret_shows_it(scene: Scene, logged: Logged) -> None:
    async with scene.connect() as client:
        (asked,) = scene.meddler.answers("connect")
        assert asked.reply is not None
        bundle = Bundle(**json.loads(asked.reply.body))
        shown = "\n".join(
            map(repr, (bundle, client, client.connection, scene.clients(), scene.clients()._opener))
        )
    secrets = told(scene.meddler) | logged.private
    assert bundle.harness_key_authorization.encode() in secrets
    assert not found_in(shown.encode(), secrets)
