"""Several environments in one client, for blocking callers."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.client import CallTimeout, ConnectionLost
from harness.client.sync import SyncClient, blocking_context
from harness.environments.lifecycle import EnvironmentState
from harness.environments.local import LocalEnvironment
from harness.environments.manager import EnvironmentUnavailable, EnvironmentUnknown
from harness.environments.manager_sync import manage_sync

SECONDS = 60
PYTHON = [sys.executable, "-I", "-c"]
SLEEP = [*PYTHON, "import time; time.sleep(600)"]


def test_many_threads_share_the_clients() -> None:
    local = blocking_context(LocalEnvironment().start())
    with local as up, manage_sync(timeout=SECONDS) as manager, ThreadPoolExecutor(8) as pool:
        manager.register("local", up.url)
        manager.register("other", up.connect)
        manager.register("broken", "ws://127.0.0.1:1")
        manager.register("unused", SLEEP)
        assert manager.names == ["local", "other", "broken", "unused"]
        assert manager.state("unused") is EnvironmentState.IDLE

        def use(name: str) -> SyncClient:
            client = manager.client(name)
            assert client.run([*PYTHON, "print(1)"]).stdout.strip() == b"1"
            return client

        clients = list(pool.map(use, ["local", "other"] * 8))
        assert len({client.session_id for client in clients}) == 2
        with pytest.raises(EnvironmentUnavailable, match="connect to ws://127"):
            manager.client("broken")
        assert manager.state("broken") is EnvironmentState.FAILED
        manager.drop("other")
        with pytest.raises(EnvironmentUnknown):
            manager.client("other")
        with pytest.raises(ConnectionLost):
            clients[1].run(SLEEP)


def test_a_wait_has_the_callers_time_too() -> None:
    with manage_sync(timeout=0.3) as manager:
        manager.register("slow", [*PYTHON, "import sys; sys.stdin.read()"], connect_timeout=SECONDS)
        with pytest.raises(CallTimeout, match=r"client\('slow'\) on <EnvironmentManager of slow>"):
            manager.client("slow")
