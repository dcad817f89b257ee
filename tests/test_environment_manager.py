"""Several environments in one client: when they connect, what is shared, lost and ended."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.client import Client, ClientError, connect
from harness.environments.base import EnvironmentFailed, Running
from harness.environments.lifecycle import EnvironmentState
from harness.environments.manager import (
    EnvironmentManager,
    EnvironmentRemoved,
    EnvironmentUnavailable,
    EnvironmentUnknown,
)
from tests.support.environments import (
    PYTHON,
    SLEEP,
    USERS,
    anyio_backend,
    ask_many,
    failures,
    managing,
    mute,
    nothing_is_left,
    release,
    server,
    up,
)
from tests.support.fake_executor import HANDSHAKE
from tests.support.watch import Watched

__all__ = ["anyio_backend", "nothing_is_left", "up"]
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]
ROOT = str(Path(__file__).resolve().parent.parent)
TIMEOUT = 2
"""Seconds that tests wait for in vain; a slow machine has to come as far as they say meanwhile."""


# The first connection


async def test_connecting_begins_at_registration() -> None:
    async with server() as far, EnvironmentManager(client_name="me") as manager:
        manager.register("far", far.url)
        assert manager.state("far") is EnvironmentState.CONNECTING
        await far.greeted.wait()
        assert (await manager.client("far")).session_id == HANDSHAKE["sessionId"]
        assert (manager.state("far"), manager.names) == (EnvironmentState.CONNECTED, ["far"])


async def test_all_share_one_client() -> None:
    async with server() as far, managing() as manager:
        manager.register("far", far.url)
        clients = await ask_many(manager, "far")
        assert await manager.client("far") is clients[0]
        assert len(set(clients)) == far.opened == 1


async def test_environments_do_not_wait_for_each_other() -> None:
    async with server() as far, mute() as dead, managing() as manager:
        manager.register("dead", dead.url)
        manager.register("far", far.url)
        await manager.client("far")
        assert manager.state("dead") is EnvironmentState.CONNECTING


async def test_a_failed_first_attempt_is_final() -> None:
    async with server() as far, managing() as manager:
        far.plan = ["refuse"]
        manager.register("far", far.url)
        for error in await failures(manager, "far") + await failures(manager, "far"):
            assert isinstance(error, EnvironmentUnavailable)
            assert (error.name, error.tried, error.is_final) == ("far", f"connect to {far.url}", True)
            assert "not today" in error.found
            assert error.found in str(error)
            assert isinstance(error.__cause__, ClientError)
        assert (far.opened, manager.state("far")) == (1, EnvironmentState.FAILED)
        manager.register("far", far.url)
        await manager.client("far")


async def test_who_asks_gets_an_error_of_its_own() -> None:
    async with server() as far, managing() as manager:
        far.plan = ["refuse"]
        manager.register("far", far.url)
        assert len(set(map(id, await failures(manager, "far")))) == USERS


async def test_who_is_cancelled_takes_nobody_along() -> None:
    async with server() as far, managing() as manager:
        far.plan = ["stall"]
        manager.register("far", far.url)
        asking = [asyncio.ensure_future(manager.client("far")) for _ in range(3)]
        await far.stalled.wait()
        asking[0].cancel()
        await asyncio.wait(asking[:1])
        assert asking[0].cancelled()
        assert manager.state("far") is EnvironmentState.CONNECTING
        await far.go_away()
        for each in asking[1:]:
            with pytest.raises(EnvironmentUnavailable):
                await each


# Time


async def test_a_server_that_never_answers() -> None:
    async with mute() as dead, managing() as manager:
        manager.register("dead", dead.url, connect_timeout=TIMEOUT)
        for error in await failures(manager, "dead"):
            assert isinstance(error, EnvironmentUnavailable)
            assert f"{TIMEOUT} s" in error.found
        assert dead.taken.is_set()
        await dead.dropped.wait()
        assert manager.state("dead") is EnvironmentState.FAILED


async def test_a_handshake_that_stalls() -> None:
    async with server() as far, managing() as manager:
        far.plan = ["stall"]
        manager.register("far", far.url, connect_timeout=TIMEOUT)
        with pytest.raises(EnvironmentUnavailable, match=f"{TIMEOUT} s"):
            await manager.client("far")
        assert far.stalled.is_set()
        await far.until_open(0)


async def test_a_program_that_never_answers_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    argv = [*PYTHON, "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); sys.stdin.read()"]
    async with managing() as manager:
        manager.register("mute", [*argv, str(pid)], connect_timeout=5 * TIMEOUT)
        with pytest.raises(EnvironmentUnavailable, match="no "):
            await manager.client("mute")
        child = Watched(int(pid.read_text()))
        await manager.drop("mute")
    assert child.has_ended()
    child.close()


async def test_the_time_holds_for_a_source_that_cannot_be_cancelled() -> None:
    give_in = asyncio.Event()
    left = asyncio.Event()

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[Client]:
        while not give_in.is_set():
            try:
                await release(give_in)
            except asyncio.CancelledError:
                continue
        async with server() as far, connect(far.url) as client:
            try:
                yield client
            finally:
                left.set()

    async with managing() as manager:
        manager.register("stubborn", stubborn, connect_timeout=0.1)
        with pytest.raises(EnvironmentUnavailable, match=r"stubborn.*no connection within 0\.1 s"):
            await manager.client("stubborn")
        dropping = asyncio.ensure_future(manager.drop("stubborn"))
        await asyncio.sleep(0)
        assert not dropping.done()
        # What it makes too late is nobody's, and closed.
        give_in.set()
        await dropping
        assert left.is_set()


async def test_the_time_counts_from_registration() -> None:
    async with mute() as dead, managing() as manager:
        manager.register("dead", dead.url, connect_timeout=TIMEOUT)
        await dead.dropped.wait()
        assert manager.state("dead") is EnvironmentState.FAILED


# Loss


async def test_one_that_was_lost_is_connected_afresh_when_it_is_used() -> None:
    async with server() as far, managing() as manager:
        manager.register("far", far.url)
        first = await manager.client("far")
        await far.go_away()
        await first.wait_lost()
        await far.until_open(0)
        assert manager.state("far") is EnvironmentState.LOST
        assert far.opened == 1
        again = await ask_many(manager, "far")
        assert len(set(again)) == 1
        assert again[0] is not first
        assert (far.opened, manager.state("far")) == (2, EnvironmentState.CONNECTED)


async def test_a_later_attempt_that_fails_is_not_final() -> None:
    async with server() as far, managing() as manager:
        far.plan = ["serve", "refuse", "stall", "serve"]
        manager.register("far", far.url, connect_timeout=TIMEOUT)
        first = await manager.client("far")
        await far.go_away()
        await first.wait_lost()
        for attempt, text in enumerate(("not today", f"{TIMEOUT} s"), 2):
            for error in await failures(manager, "far"):
                assert isinstance(error, EnvironmentUnavailable)
                assert not error.is_final
                with pytest.raises(EnvironmentUnavailable, match=text):
                    raise error
            assert (far.opened, manager.state("far")) == (attempt, EnvironmentState.LOST)
        assert await manager.client("far") is not first
        assert far.opened == 4


async def test_many_losses_under_many_users() -> None:
    rounds = 20
    async with server() as far, managing() as manager:
        manager.register("far", far.url)
        seen = []
        for _ in range(rounds):
            clients = await ask_many(manager, "far")
            assert len(set(clients)) == 1
            seen.append(clients[0])
            await far.go_away()
            await clients[0].wait_lost()
        assert len(set(seen)) == far.opened == rounds


async def test_a_fresh_connection_waits_until_the_one_before_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closing, may_close, open_now = asyncio.Event(), asyncio.Event(), 0

    async with server() as far:

        @asynccontextmanager
        async def one_at_a_time() -> AsyncIterator[Client]:
            nonlocal open_now
            open_now += 1
            assert open_now == 1
            async with connect(far.url) as client:
                yield client
            closing.set()
            await release(may_close)
            open_now -= 1
            if far.opened == 1:
                raise EnvironmentFailed("something remains")

        async with managing() as manager:
            manager.register("far", one_at_a_time, connect_timeout=TIMEOUT)
            first = await manager.client("far")
            await far.go_away()
            await first.wait_lost()
            await closing.wait()
            with pytest.raises(EnvironmentUnavailable, match=f"within {TIMEOUT} s: the one before is still"):
                await manager.client("far")
            assert far.opened == 1
            asking = asyncio.ensure_future(manager.client("far"))
            await asyncio.sleep(0)
            may_close.set()
            assert await asking is not first
    assert [record.levelno for record in caplog.records if "something remains" in record.message] == [
        logging.WARNING
    ]


@asynccontextmanager
async def killed_afterwards(url: str) -> AsyncIterator[None]:
    """An executor that listens on *url* and ends without a word."""
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "executors", "--listen", url], cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        await child.stdout.readline()
        yield
    finally:
        child.kill()
        await child.wait()


async def test_a_session_that_comes_back_is_not_lost(up: Running) -> None:
    async with managing() as manager:
        manager.register("local", up.url)
        client = await manager.client("local")
        process = await client.start(SLEEP)
        client.connection.abort()
        while client.recovered == 0:
            assert await manager.client("local") is client
            assert manager.state("local") is EnvironmentState.CONNECTED
            await asyncio.sleep(0)
        await process.terminate()


@pytest.mark.skipif(sys.platform == "win32", reason="CPython has no Unix sockets there")
async def test_an_executor_that_was_killed_and_started_again(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/socket"
    async with managing() as manager:
        async with killed_afterwards(url):
            manager.register("box", url)
            first = await manager.client("box")
        async with killed_afterwards(url):
            # It knows nothing of the session.
            assert "session" in str(await first.wait_lost())
            second, *others = await ask_many(manager, "box")
            assert set(others) == {second} != {first}
            assert (await second.run([*PYTHON, "print(1)"])).stdout.strip() == b"1"


# Removal


async def test_replacing_ends_what_is_under_way() -> None:
    async with server() as far, mute() as dead, managing() as manager:
        manager.register("name", dead.url)
        asking = [asyncio.ensure_future(manager.client("name")) for _ in range(USERS)]
        await dead.taken.wait()
        manager.register("name", far.url)
        for each in asking:
            with pytest.raises(EnvironmentRemoved, match=r"'name'.*replaced"):
                await each
        assert (await manager.client("name")).url == far.url
        await dead.dropped.wait()
        assert manager.names == ["name"]


async def test_replacing_before_a_step_was_made() -> None:
    async with server() as far, mute() as dead, managing() as manager:
        manager.register("name", dead.url)
        manager.register("name", far.url)
        assert (await manager.client("name")).url == far.url
        assert not dead.taken.is_set()


async def test_replacing_closes_the_client() -> None:
    async with server() as old, server() as new, managing() as manager:
        manager.register("name", old.url)
        client = await manager.client("name")
        manager.register("name", new.url)
        await client.wait_lost()
        assert (await manager.client("name")).url == new.url
        await old.until_open(0)


async def test_dropping_ends_what_is_under_way() -> None:
    async with mute() as dead, managing() as manager:
        manager.register("dead", dead.url)
        asking = [asyncio.ensure_future(manager.client("dead")) for _ in range(USERS)]
        await dead.taken.wait()
        await manager.drop("dead")
        await dead.dropped.wait()
        for each in asking:
            with pytest.raises(EnvironmentRemoved, match=r"'dead'.*dropped"):
                await each
        assert manager.names == []
        with pytest.raises(EnvironmentUnknown, match=r"no environment 'dead'.*none"):
            await manager.client("dead")


async def test_dropping_waits_for_the_end_and_goes_on_when_it_is_cancelled() -> None:
    leaving, may_leave, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async with server() as far:

        @asynccontextmanager
        async def slow() -> AsyncIterator[Client]:
            async with connect(far.url) as client:
                yield client
            leaving.set()
            await release(may_leave)
            left.set()

        async with managing() as manager:
            manager.register("slow", slow)
            await manager.client("slow")
            dropping = asyncio.ensure_future(manager.drop("slow"))
            await leaving.wait()
            dropping.cancel()
            await asyncio.wait([dropping])
            assert not left.is_set()
            may_leave.set()
        assert left.is_set()


async def test_closing_the_manager_while_it_connects() -> None:
    async with server() as far, mute() as dead:
        far.plan = ["stall"]
        async with managing() as manager:
            manager.register("dead", dead.url)
            manager.register("far", far.url)
            asking = [asyncio.ensure_future(manager.client(name)) for name in manager.names * 3]
            await asyncio.gather(dead.taken.wait(), far.stalled.wait())
        await asyncio.gather(dead.dropped.wait(), far.until_open(0))
        for each in asking:
            with pytest.raises(EnvironmentRemoved, match="manager was closed"):
                await each
        with pytest.raises(EnvironmentRemoved, match="manager was closed"):
            await manager.client("far")
        with pytest.raises(RuntimeError, match="closed"):
            manager.register("more", far.url)


async def test_leaving_the_manager_by_an_error_closes_everything_in_order() -> None:
    left = 0

    async with server() as far:

        @asynccontextmanager
        async def slow() -> AsyncIterator[Client]:
            nonlocal left
            async with connect(far.url) as client:
                yield client
            # A task that was cancelled would not come past this.
            await asyncio.sleep(0)
            left += 1

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit, managing() as manager:
                manager.register("a", slow)
                manager.register("b", slow)
                await asyncio.gather(manager.client("a"), manager.client("b"))
                limit.reschedule(asyncio.get_running_loop().time())
                await asyncio.Event().wait()
        assert left == 2
        with pytest.raises(KeyError):
            async with managing() as manager:
                manager.register("c", slow)
                await manager.client("c")
                raise KeyError
        assert left == 3
        await far.until_open(0)
