"""The fixture ``faults`` where the executor is reached through a relay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from fixtures.faults import DOWN, UP, Chaos, ConnectionCounts
from fixtures.faults_fixture import open_faults
from harness.client.errors import ConnectFailed
from harness.client.links import Link, LinkOptions, MakeReceiver
from harness.environments.remote import RemoteEnvironment
from harness.rendezvous.store import open_store
from tests.relay.served import executor, served

pytest_plugins = ["pytester"]

_ROOT = Path(__file__).resolve().parent.parent
_LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]

SOURCE = """
from contextlib import suppress

import pytest

from executors.protocol.environment import Empty
from executors.protocol.methods import ENVIRONMENT_STATUS
from fixtures.faults import DOWN, UP, Chaos, How, before, after, cut, script, within
from harness.client import ConnectFailed, Interrupted, RecoveryOptions

NEVER = RecoveryOptions(enabled=False)

def test_cuts(env, faults, python):
    client = faults.connect(recovery=NEVER)
    assert client.url == faults.url == env.url == "remote:crossexec"
    assert client.run([python.path, "-c", "print(1)"]).exit_code == 0
    (only,) = faults.counts.connections
    assert only.answered and only.up.frames >= faults.opening + 3
    wire = faults.open_wire()
    wire.handshake()
    faults.script(script(cut(after(UP, faults.opening + 1), How.RST)))
    assert faults.cut(How.RST) == 2
    assert wire.closed()[0] == 1006
    late = faults.open_wire()
    late.post("initialize", {"clientName": "x"})
    assert late.closed()[0] == 1006
    faults.until(lambda counts: counts.cuts == 3)
    last = faults.counts.connections[-1]
    assert last.up.frames == faults.opening + 1, "handshake, ack, and the call"

@pytest.mark.parametrize("place", [before(UP, 0), within(UP, 1), before(DOWN, 1)], ids=str)
def test_no_handshake(faults, place):
    faults.script(script(cut(place)))
    with pytest.raises(ConnectFailed, match="cannot connect to remote:crossexec"):
        faults.connect()
    assert faults.counts.cuts == 1
    faults.connect()
    assert faults.counts.accepted == 2

def test_chaos(faults):
    client = faults.connect(recovery=RecoveryOptions(retry_seconds=0.02))
    faults.script(Chaos(1, cuts=20, bytes=3000))
    faults.cut()
    while faults.counts.cuts < 21:
        with suppress(Interrupted):
            client.call(ENVIRONMENT_STATUS, Empty())
    cuts = faults.counts.connections[1:]
    assert {one.up.frames > faults.opening for one in cuts} == {True, False}
"""


def test_connections_to_the_rendezvous_are_cut_by_plan(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CROSSEXEC_ENV", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(_ROOT))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    pytester.makepyfile(SOURCE)
    result = pytester.runpytest_subprocess(*_LOAD, "-p", "no:cacheprovider", "-rA", "--env=remote-local")
    result.assert_outcomes(passed=5)


class Links:
    """Leads nowhere, and tells how it was asked to."""

    def __init__(self, rendezvous: str) -> None:
        self.rendezvous = rendezvous
        self.options: LinkOptions | None = None
        self.redirect: Callable[[str], tuple[str, int]]

    async def __call__(self, make_receiver: MakeReceiver) -> Link:
        raise ConnectFailed("nowhere")

    def through(
        self, redirect: Callable[[str], tuple[str, int]], options: LinkOptions | None = None
    ) -> Links:
        self.redirect, self.options = redirect, options
        return self


def test_the_proxy_leads_to_where_the_rendezvous_is_now() -> None:
    links = Links("ws://127.0.0.1:1")
    with open_faults("remote:x", links=links) as faults:
        assert faults.url == "remote:x"
        assert faults.is_relayed
        assert faults.open_link is links
        address = links.redirect("ws://127.0.0.1:1")
        assert address[0] == "127.0.0.1"
        assert faults.text().splitlines()[0].startswith("chaos proxy to ws://127.0.0.1:1:")
        assert "to ws://127.0.0.1:1\n" not in faults.text(), "nothing has changed"
        assert links.redirect("ws://[::1]:2") == address
        assert faults.text().splitlines()[0].startswith("chaos proxy to ws://[::1]:2:")
        # Of another executor.
        others = Links("ws://127.0.0.1:3")
        faults.retarget("remote:y", others)
        assert (faults.url, faults.open_link) == ("remote:y", others)


def test_options_of_a_client_are_those_of_its_link() -> None:
    links = Links("ws://127.0.0.1:1")
    options = LinkOptions(open_seconds=3.0)
    with open_faults("remote:x", links=links) as faults:
        with pytest.raises(ConnectFailed, match="nowhere"):
            faults.connect(options=options)
        assert links.options is options


def test_a_direct_connection_has_no_opening() -> None:
    with open_faults("ws://127.0.0.1:1") as faults:
        assert (faults.opening, faults.is_relayed, faults.open_link) == (0, False, None)
        faults.script(Chaos(1))
        assert "opening=(0, 0)" in faults.text()
    with open_faults("remote:x", Chaos(1), Links("ws://127.0.0.1:1")) as faults:
        up, down = (int(each) for each in faults.text().rpartition("opening=(")[2].split(")")[0].split(","))
    # Of the handshake: shorter than its messages with the heads of HTTP, longer than they alone.
    assert 3568 < up < 4400
    assert 3424 < down < 3800


def test_half_of_a_seeds_cuts_come_after_the_opening() -> None:
    plain, shifted = Chaos(3, cuts=100), Chaos(3, cuts=100, opening=(1000, 2000))
    added = {UP: set[int](), DOWN: set[int]()}
    for number in range(1, 101):
        (before,), (after,) = plain(number).rules, shifted(number).rules
        assert (before.at.direction, before.action) == (after.at.direction, after.action)
        added[after.at.direction].add(after.at.byte - before.at.byte)
    assert added == {UP: {0, 1000}, DOWN: {0, 2000}}


def test_the_handshake_is_no_answer() -> None:
    counts = ConnectionCounts(1, opening=1)
    counts.down.frames = 1
    assert not counts.answered
    counts.down.frames = 2
    assert counts.answered


def test_only_the_address_is_another_one(tmp_path: Path) -> None:
    """What is dialled there is what would have been dialled at the rendezvous."""
    heads: list[str] = []
    asked: list[str] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    async def body(environment: RemoteEnvironment) -> None:
        async with await asyncio.start_server(record, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]

            def redirect(rendezvous: str) -> tuple[str, int]:
                asked.append(rendezvous)
                return "127.0.0.1", port

            links = environment.clients().open_link.through(redirect)
            with pytest.raises(ConnectFailed, match="rendezvous"):
                await links(lambda link: pytest.fail("there is no link"))
            assert asked == [links.rendezvous]

    async def scene() -> str:
        with open_store(tmp_path / "rendezvous.sqlite") as store:
            async with served(store, tmp_path) as service, executor(service):
                await body(service.environment())
                return service.url.removeprefix("http://")

    place = asyncio.run(scene())
    assert asked == [f"ws://{place}"]
    (head,) = heads
    assert head.startswith("GET /cloud/rendezvous?")
    assert "signature=" in head.splitlines()[0]
    assert f"\r\nHost: {place}\r\n" in head
