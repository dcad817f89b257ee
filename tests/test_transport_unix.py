"""The Unix socket transport: addresses, who may connect, what becomes of the file, and messages."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from executors.transport.unix import format_url, socket_path
from harness.client import ConnectFailed, ConnectionLost, connect
from tests.support.both import speed_ups  # noqa: F401
from tests.support.launch import Executor
from tests.support.watch import SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="CPython for Windows has no Unix sockets")


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own are too deep for the path of a socket on some systems.
    with tempfile.TemporaryDirectory(prefix="cx-", dir="/tmp") as path:
        yield Path(path)


@contextmanager
def listening(path: Path) -> Iterator[Executor]:
    with Executor(listen=format_url(str(path))) as executor:
        yield executor


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "executors", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def echo(url: str, data: bytes) -> bytes:
    async with connect(url) as client:
        completed = await client.run(["cat"], input=data, check=True)
        return completed.stdout


@pytest.mark.parametrize(
    "path", ["/a", "/two words/s", "/100%/s", "/caf\u00e9", "/a#b?c", "/\udcff", "/" + "x" * 102]
)
def test_listen_urls(path: str) -> None:
    assert socket_path(format_url(path)) == path


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix://", "no absolute path"),
        ("unix:///", "no absolute path"),
        ("unix:///a/", "no absolute path"),
        ("unix:///a%00b", "no absolute path"),
        ("unix://host/a", "no URL"),
        ("unix://a", "no URL"),
        ("unix:/a", "no URL"),
        ("unix:///a?b", "no URL"),
        ("unix:///a#b", "no URL"),
        ("ws://127.0.0.1:0", "no URL"),
        ("/a", "no URL"),
        ("unix:///" + "x" * 103, "104 bytes"),
    ],
)
def test_what_is_no_listen_url(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        socket_path(url)


def test_messages_go_through_whole(folder: Path) -> None:
    data = os.urandom(3_000_000)
    with listening(folder / "two words") as executor:
        assert executor.url == format_url(str(folder / "two words"))
        assert asyncio.run(echo(executor.url, data)) == data


def test_nobody_else_can_connect(folder: Path) -> None:
    path = folder / "s"
    mask = os.umask(0)
    try:
        with listening(path):
            status = path.lstat()
            assert stat.S_ISSOCK(status.st_mode)
            assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, os.getuid())
    finally:
        os.umask(mask)


def test_the_socket_goes_with_the_executor(folder: Path) -> None:
    with listening(folder / "s"):
        assert (folder / "s").exists()
    assert list(folder.iterdir()) == []


def test_what_a_killed_executor_has_left_is_replaced(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    with listening(path) as executor:
        assert asyncio.run(echo(executor.url, b"x")) == b"x"


def test_two_cannot_listen_on_one_path(folder: Path) -> None:
    url = format_url(str(folder / "s"))
    with listening(folder / "s"):
        second = refused("--listen", url)
        assert second.returncode == 1
        assert "another program listens there" in second.stderr
        assert asyncio.run(echo(url, b"x")) == b"x"


def test_a_file_is_not_replaced(folder: Path) -> None:
    path = folder / "s"
    path.write_text("mine")
    found = refused("--listen", format_url(str(path)))
    assert found.returncode == 1
    assert "no socket" in found.stderr
    assert path.read_text() == "mine"


def test_a_socket_of_another_in_its_place_stays(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as other:
        with listening(path):
            path.unlink()
            other.bind(str(path))
        assert path.exists()


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [("unix:///no/such/folder/s", 1, "No such file"), ("unix://s", 2, "no URL of a Unix socket")],
)
def test_what_cannot_be_listened_on(url: str, status: int, reason: str) -> None:
    found = refused("--listen", url)
    assert (found.returncode, reason in found.stderr) == (status, True), found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("made", [False, True])
def test_nobody_listens(made: bool, folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as deaf:
        if made:
            deaf.bind(str(path))
        with pytest.raises(ConnectFailed, match="Does an executor listen there"):
            asyncio.run(echo(format_url(str(path)), b""))


def test_a_url_that_is_none_is_told_of() -> None:
    with pytest.raises(ConnectFailed, match="no absolute path"):
        asyncio.run(echo("unix:///", b""))


def test_the_connections_end_with_the_executor(folder: Path) -> None:
    async def use(executor: Executor) -> None:
        async with connect(executor.url) as client:
            process = await client.start(["cat"], stdin=True)
            executor.process.terminate()
            await process.wait()

    with listening(folder / "s") as executor:
        with pytest.raises(ConnectionLost) as lost:
            asyncio.run(use(executor))
        assert (lost.value.code, lost.value.url) == (1001, executor.url)
        # A second signal would kill it in the middle of its end.
        assert executor.process.wait(SECONDS) == 0
