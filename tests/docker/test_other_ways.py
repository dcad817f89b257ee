"""A daemon that shares no files with this machine: everything goes over its own connection."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from harness.docker.options import DockerOptions
from harness.environments.docker import DockerEnvironment
from tests.docker.conftest import Up

_SOCKET = "/var/run/docker.sock"


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def remote_daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The local daemon, reached over TCP on loopback; the address."""
    if "DOCKER_HOST" in os.environ or not os.path.exists(_SOCKET):
        pytest.skip(f"the daemon is not at {_SOCKET}")
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                opened.extend((near, far))
                far.connect(_SOCKET)
                for pair in ((near, far), (far, near)):
                    threads.append(threading.Thread(target=pump, args=pair))
                    threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        url = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("DOCKER_HOST", url)
        try:
            yield url
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in opened:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for one in opened:
                one.close()


def test_a_daemon_elsewhere(prepared: None, up: Up, remote_daemon: str) -> None:
    data = os.urandom(2_000_000)
    with up() as (running, client):
        assert remote_daemon in running.facts["docker"]
        assert client.run(["cat"], input=data, check=True).stdout == data
        assert client.run(["id", "-u"]).stdout.strip() != b"0"
        assert running.workspace_root.to_native("linux").startswith("/tmp/crossexec-")


def test_many_connections_to_a_daemon_elsewhere(prepared: None, up: Up, remote_daemon: str) -> None:
    with up() as (running, _):

        async def one(number: int) -> bytes:
            async with running.connect() as client:
                completed = await client.run(["cat"], input=b"%d" % number * 100_000)
                return bytes(completed.stdout)

        async def talk() -> list[bytes]:
            return list(await asyncio.gather(*map(one, range(6))))

        assert asyncio.run(talk()) == [b"%d" % number * 100_000 for number in range(6)]


def test_another_user_than_ours_needs_no_shared_folder(up: Up) -> None:
    # Only root can hand a folder to another; who else runs this gets in by the daemon's connection.
    with up(user="12345:54321") as (_, client):
        assert client.run(["id", "-u"]).stdout.strip() == b"12345"
        assert client.run(["id", "-g"]).stdout.strip() == b"54321"


def test_what_has_another_network_reaches_no_rendezvous(remote_daemon: str) -> None:
    environment = DockerEnvironment(DockerOptions())
    assert environment.available()
    told = str(environment.available_to_dial_out())
    assert remote_daemon in told
    assert "use a daemon that runs on this machine" in told
