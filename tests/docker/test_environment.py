"""What a container is by default, what each choice lifts, and the ways into it."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from executors.transport.unix import socket_path
from harness.client import ConnectFailed
from harness.client.sync import SyncClient, connect_sync
from harness.docker.containers import LABEL
from harness.docker.options import DockerOptions
from harness.docker.owner import Owner
from harness.environments import EnvironmentFailed
from harness.environments.docker import DockerEnvironment
from tests.docker.conftest import Up
from tests.support.watch import until

if TYPE_CHECKING:
    from docker import APIClient

MIB = 1024 * 1024
INTERFACES = "import socket; print(sorted(name for _, name in socket.if_nameindex()))"


def status_of(client: SyncClient) -> dict[str, str]:
    text = client.run(["cat", "/proc/self/status"], check=True).stdout.decode()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def python(client: SyncClient, code: str) -> str:
    return client.run(["python3", "-c", code], check=True).stdout.decode().strip()


def gone(api: APIClient, id: str) -> bool:
    return id not in {found["Id"][: len(id)] for found in api.containers(all=True)}


def test_safe_by_default(up: Up, api: APIClient) -> None:
    with up() as (running, client):
        status = status_of(client)
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert "0" not in status["Uid"].split()
        assert python(client, INTERFACES) == "['lo']"
        assert client.run(["touch", "/etc/x"]).exit_code != 0
        assert client.run(["cat", "/proc/1/comm"]).stdout.strip() in (b"docker-init", b"tini", b"catatonit")
        about = api.inspect_container(running.facts["container"])
        limits = about["HostConfig"]
        assert (limits["Memory"], limits["MemorySwap"], limits["PidsLimit"]) == (2048 * MIB, 2048 * MIB, 4096)
        assert [mount["Destination"] for mount in about["Mounts"] if mount["RW"]] == ["/run/crossexec"]
        path = Path(socket_path(running.url))
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
    assert gone(api, running.facts["container"])
    assert not path.parent.parent.exists()


def test_each_protection_can_be_lifted(up: Up, api: APIClient) -> None:
    lift = frozenset({"read-only", "capabilities", "no-new-privileges", "init"})
    with up(lift=lift, user="0", memory="0", pids=0, tmp="3m") as (running, client):
        status = status_of(client)
        assert int(status["CapEff"], 16) != 0
        assert (status["NoNewPrivs"], set(status["Uid"].split())) == ("0", {"0"})
        assert client.run(["touch", "/etc/x"]).exit_code == 0
        assert b"init" not in client.run(["cat", "/proc/1/comm"]).stdout
        limits = api.inspect_container(running.facts["container"])["HostConfig"]
        assert limits["Memory"] == 0
        assert limits["PidsLimit"] in (None, 0, -1)
        size = python(client, "import os; s = os.statvfs('/tmp'); print(s.f_blocks * s.f_frsize)")
        assert int(size) == 3 * MIB


def test_the_limit_of_processes_holds(up: Up) -> None:
    with up(pids=40) as (_, client):
        many = "i=0; while [ $i -lt 60 ]; do sleep 60 >/dev/null 2>&1 & i=$((i+1)); done; echo all"
        # Two make room at the end: the executor may have come to need a thread more meanwhile.
        room = f"sleep 60 & one=$!; sleep 60 & two=$!; sh -c '{many}'; kill $one $two; wait"
        found = client.run(["sh", "-c", room])
        assert b"all" not in found.stdout
        assert b"fork" in found.stderr
        assert client.run(["echo", "alive"]).stdout == b"alive\n"


def test_the_limit_of_memory_holds(up: Up) -> None:
    with up(memory="200m") as (_, client):
        found = client.run(["python3", "-c", "bytearray(400 << 20)"])
        assert found.exit_code != 0
        assert client.run(["echo", "alive"]).stdout == b"alive\n"


@pytest.mark.parametrize("network", ["bridge", "host"])
def test_a_network_is_a_choice(network: str, up: Up) -> None:
    with up(network=network) as (running, client):
        assert running.url.startswith("ws://127.0.0.1:")
        assert running.facts["network"] == network
        names = python(client, INTERFACES)
        ours = str(sorted(name for _, name in socket.if_nameindex()))
        assert (names == ours) == (network == "host")
        assert names != "['lo']"


def test_on_a_network_it_asks_for_a_token(up: Up, api: APIClient) -> None:
    with up(network="bridge") as (running, client):
        about = api.inspect_container(running.facts["container"])
        network = about["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        assert running.bearer is not None
        token = running.bearer.token()
        assert token not in repr(running) + str(running.facts)
        assert token not in str(about) and token not in str(api.top(about["Id"])), (
            "who may look at it sees it"
        )
        assert token not in client.run(["cat", "/proc/1/environ"]).stdout.decode(errors="replace")
        port = urlsplit(running.url).port
        # As this machine, another container and what runs in it reach it.
        for url in (running.url, f"ws://127.0.0.1:{port}", f"ws://{network}:7040"):
            with pytest.raises(ConnectFailed, match="asks for a token"), connect_sync(url):
                pass
        knock = "import socket; s = socket.create_connection(('127.0.0.1', 7040), 60); " + (
            "s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\n"
            "Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
            "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\\r\\n\\r\\n'); print(s.recv(12).decode())"
        )
        assert python(client, knock) == "HTTP/1.1 401"
        with connect_sync(running.url, bearer=running.bearer) as other:
            assert other.run(["true"]).exit_code == 0


def test_two_environments_are_two_containers(up: Up) -> None:
    with up() as (one, first), up() as (two, second):
        first.files.write_file(one.workspace_root.join("x"), b"1")
        assert one.facts["container"] != two.facts["container"]
        assert python(second, "import glob; print(glob.glob('/tmp/*/x'))") == "[]"


def test_the_executor_cannot_change_itself(up: Up) -> None:
    with up(lift=frozenset({"read-only"})) as (_, client):
        found = client.run(["sh", "-c", "echo x >/opt/crossexec/executor/executors/__init__.py"])
        assert b"ead-only" in found.stderr or b"ermission denied" in found.stderr, found


def test_attached_and_left_as_found(up: Up, api: APIClient, container: str) -> None:
    before = api.inspect_container(container)
    with up(container=container[:12]) as (running, client):
        host_name = client.run(["cat", "/proc/sys/kernel/hostname"]).stdout.decode().strip()
        assert host_name == before["Config"]["Hostname"]
        client.files.write_file(running.workspace_root.join("x"), os.urandom(300_000))
        assert len(client.files.read_file(running.workspace_root.join("x"))) == 300_000
    # The daemon hears of the end of what it has started there by an event of its own.
    until(
        lambda: api.inspect_container(container)["ExecIDs"] == before["ExecIDs"],
        lambda: str(api.inspect_container(container)["ExecIDs"]),
    )
    # The init and what it was made to run.
    until(lambda: len(api.top(container)["Processes"]) == 2, lambda: str(api.top(container)))
    assert api.inspect_container(container)["State"]["Pid"] == before["State"]["Pid"]
    changed = {change["Path"] for change in api.diff(container) or ()}
    assert {path for path in changed if path.startswith("/tmp/")} == set()


def test_many_connections_into_a_container_without_a_network(up: Up, container: str) -> None:
    async def talk(connect: Any) -> list[bytes]:
        async def one(number: int) -> bytes:
            async with connect() as client:
                completed = await client.run(["cat"], input=b"%d" % number * 100_000)
                return bytes(completed.stdout)

        return list(await asyncio.gather(*map(one, range(6))))

    with up(container=container) as (running, _):
        found = asyncio.run(talk(running.connect))
    assert found == [b"%d" % number * 100_000 for number in range(6)]


def test_a_container_that_does_not_run_is_told_of(up: Up, api: APIClient, container: str) -> None:
    api.kill(container)
    api.wait(container)
    with (
        pytest.raises(EnvironmentFailed, match=r"does not run \(exited\): start it first"),
        up(container=container),
    ):
        pass


def test_a_container_that_there_is_not_is_told_of(up: Up) -> None:
    with (
        pytest.raises(EnvironmentFailed, match="'no-such-one' cannot be looked up"),
        up(container="no-such-one"),
    ):
        pass


def test_an_image_without_python_is_told_of(up: Up, api: APIClient) -> None:
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("nothing"))
    api.import_image_from_data(empty.getvalue(), "crossexec-test-empty", "1")
    try:
        with (
            pytest.raises(EnvironmentFailed, match="no Python that starts") as failed,
            up(image="crossexec-test-empty:1"),
        ):
            pass
        assert "python3:" in str(failed.value)
        assert "3.11 or newer" in str(failed.value)
    finally:
        api.remove_image("crossexec-test-empty:1")


def test_an_image_that_cannot_be_had_is_told_of(up: Up) -> None:
    name = "localhost:1/no-such-image:1"
    with pytest.raises(EnvironmentFailed, match="cannot be pulled") as failed, up(image=name):
        pass
    assert name in str(failed.value)


def test_a_network_that_there_is_not_is_told_of(up: Up, api: APIClient) -> None:
    with pytest.raises(EnvironmentFailed, match="no-such-network"), up(network="no-such-network"):
        pass
    # Others may come and go meanwhile.
    assert api.containers(all=True, filters={"label": f"{LABEL}={Owner.current()}"}) == []


def test_without_a_daemon_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch, no_daemon: None) -> None:
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/docker.sock")
    found = DockerEnvironment(DockerOptions()).available()
    assert not found
    assert "unix:///no/such/docker.sock" in found.reason
    assert "DOCKER_HOST" in found.remedy
