"""A machine that is small, strange or cut off: errors are clean, and the executor goes on."""

from __future__ import annotations

import pytest

from executors.protocol.errors import RpcError
from executors.protocol.path_uri import PathUri
from tests.docker.conftest import Up

ORPHANS = """
import os, sys, time
for number in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.01)
        os._exit(0)
    os.wait()
"""
ZOMBIES = """
import os
found = []
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        state = open(f"/proc/{name}/stat").read().rpartition(")")[2].split()[0]
    except OSError:
        continue
    if state == "Z":
        found.append(name)
print(len(found))
"""


def test_a_full_tmp_is_told_of(up: Up) -> None:
    with up(tmp="1m") as (running, client):
        path = running.workspace_root.join("large")
        with pytest.raises(RpcError, match="No space left on device"):
            client.files.write_file(path, bytes(2 << 20))
        found = client.run(["sh", "-c", "head -c 2000000 /dev/zero >/tmp/full; echo $?"])
        assert b"No space left" in found.stderr
        # Everything that needs no room still works; a folder does need some.
        assert client.run(["echo", "alive"]).stdout == b"alive\n"
        with pytest.raises(RpcError, match="No space left on device"):
            client.files.write_file(running.workspace_root.join("more"), bytes(4096))
        client.files.remove(PathUri.parse("file:///tmp/full"))
        client.files.write_file(path, b"fits")
        assert client.files.read_file(path) == b"fits"


def test_files_of_another_user_are_refused(up: Up) -> None:
    with up() as (_, client):
        shadow = PathUri.parse("file:///etc/shadow")
        with pytest.raises(RpcError, match="Permission denied"):
            client.files.read_file(shadow)
        with pytest.raises(RpcError, match="Permission denied"):
            list(client.files.read_directory(PathUri.parse("file:///root")))
        assert client.files.metadata(shadow).is_file
        with pytest.raises(RpcError):
            client.files.remove(PathUri.parse("file:///etc/passwd"))


@pytest.mark.parametrize("where", ["etc", "opt/crossexec/executor", "opt/crossexec/packages", ""])
def test_a_read_only_root_is_told_of(where: str, up: Up) -> None:
    # As root, whom no mode of a file would keep out.
    with up(user="0") as (_, client):
        folder = PathUri.parse(f"file:///{where}")
        with pytest.raises(RpcError, match=r"Read-only file system|Permission denied"):
            client.files.write_file(folder.join("new"), b"x")
        with pytest.raises(RpcError, match=r"Read-only file system|Permission denied"):
            client.files.create_directory(folder.join("new-folder"))


def test_there_is_no_network(up: Up) -> None:
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), 20)"
    with up() as (_, client):
        found = client.run(["python3", "-c", connect])
        assert b"Network is unreachable" in found.stderr


@pytest.mark.parametrize("lift", [frozenset(), frozenset({"init"})], ids=["init", "executor is 1"])
def test_orphans_are_reaped(lift: frozenset[str], up: Up) -> None:
    with up(lift=lift) as (_, client):
        assert client.run(["python3", "-c", ORPHANS], check=True).exit_code == 0
        wait = f"import time\nwhile True:\n    {ZOMBIES.strip().replace(chr(10), chr(10) + '    ')}\n"
        wait += "    if not found:\n        break\n    time.sleep(0.01)\n"
        assert client.run(["python3", "-c", wait], timeout=60).stdout.split()[-1:] == [b"0"]
