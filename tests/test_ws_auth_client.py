"""The token that a client shows: to whom, by whom it is seen, and what a person is told."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from executors.auth.bearer import BearerGuard, CapabilityToken, sha256
from executors.transport import websocket
from executors.transport.base import Receiver, Transport
from fixtures.wire import Wire
from harness.bearer import BearerHeaders, InFile, refuse_login
from harness.client import Bearer, BearerAuth, ConnectFailed, RecoveryOptions, connect
from harness.client.links import LinkOptions, open_websocket
from harness.environments import make_environment, read_settings
from harness.environments.manager import EnvironmentManager
from harness.environments.url import UrlEnvironment
from harness.matrix.definition import Definition
from harness.matrix.selection import SelectionError, Wanted, select
from harness.url_options import TOKEN_VARIABLE, UrlOptions, url_options
from tests.support.bearer import BY_DIGEST, TOKEN, private_file
from tests.support.both import speed_ups  # noqa: F401
from tests.support.launch import ROOT, Executor
from tests.support.watch import SECONDS

pytestmark = pytest.mark.anyio

RIGHT = BearerAuth(Bearer(TOKEN))
WRONG = BearerAuth(Bearer("another-token"))
ELSEWHERE = "ws://192.0.2.1:7"
LOAD = [] if entry_points(group="pytest11", name="crossexec") else ["-p", "fixtures.plugin"]
LOGIN = "ws://user:pass-word@127.0.0.1:9"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TOKEN_VARIABLE, "CROSSEXEC_URL_TOKEN_FILE", "CROSSEXEC_URL_ALLOW_PLAIN", "CROSSEXEC_ENV"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def capability(speed_ups: str) -> Iterator[Executor]:  # noqa: F811
    with Executor(*BY_DIGEST) as executor:
        yield executor
        if executor.errors():
            executor.expect_errors("a connection was refused")


class Answering:
    """A server of HTTP that gives every request the same answer, and keeps what it was asked."""

    def __init__(self, answer: str) -> None:
        self.url = ""
        self.asked: list[str] = []
        self._answer = answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self._answer}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@asynccontextmanager
async def answering(answer: str) -> AsyncIterator[Answering]:
    made = Answering(answer)
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    async with server:
        made.url = "ws://{}:{}".format(*server.sockets[0].getsockname())
        yield made


class Silent:
    """A receiver to which nothing happens."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def message_received(self, message: bytes) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self) -> None:
        self.lost.set()


async def refused(url: str, bearer: BearerAuth | None) -> str:
    with pytest.raises(ConnectFailed) as raised:
        async with connect(url, bearer=bearer):
            pass
    assert TOKEN not in "".join(traceback.format_exception(raised.value))
    return str(raised.value)


async def test_the_token_lets_in(capability: Executor) -> None:
    async with connect(capability.url, bearer=RIGHT) as client:
        assert client.info.cwd


async def test_a_connection_that_comes_back_shows_it_again(capability: Executor) -> None:
    async with connect(capability.url, bearer=RIGHT, recovery=RecoveryOptions(retry_seconds=0.02)) as client:
        process = await client.start(["cat"], stdin=True)
        client.connection.abort()
        assert (await process.communicate(b"x")).stdout == b"x"
        assert client.generation == 2


async def test_who_shows_none_is_told_how(capability: Executor) -> None:
    said = await refused(capability.url, None)
    assert "asks for a token: give --url-token-file PATH or set CROSSEXEC_URL_TOKEN" in said
    assert "unauthorized: there is no Authorization header" in said


async def test_who_shows_another_is_told_why(capability: Executor) -> None:
    said = await refused(capability.url, WRONG)
    assert "refuses the token" in said and "unauthorized: the token is not valid" in said
    assert "another-token" not in said


async def test_a_wire_shows_it(capability: Executor) -> None:
    def talk() -> object:
        with Wire(capability.url, bearer=RIGHT) as wire:
            return wire.handshake()["sessionId"]

    assert await asyncio.to_thread(talk)


async def test_it_is_read_anew_for_each_connection(speed_ups: str, tmp_path: Path) -> None:  # noqa: F811
    path = private_file(tmp_path, "first-token\n")
    bearer = BearerAuth(InFile(path))
    async with answering("401 Unauthorized") as server:
        await refused(server.url, bearer)
        path.write_text("second-token\n")
        await refused(server.url, bearer)
        path.unlink()
        assert "cannot read" in await refused(server.url, bearer)
    shown = [line for head in server.asked for line in head.split("\r\n") if line.startswith("Authorization")]
    assert shown == ["Authorization: Bearer first-token", "Authorization: Bearer second-token"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_no_redirect_is_followed(speed_ups: str, status: str) -> None:  # noqa: F811
    async with (
        answering("401 Unauthorized") as other,
        answering(f"{status}\r\nLocation: {other.url}") as server,
    ):
        await refused(server.url, RIGHT)
        assert len(server.asked) == 1 and other.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:1",
        "ws://[::1]:1",
        "ws://localhost:1",
        "ws://127.9.9.9:1/x",
        "wss://192.0.2.1:1",
        "wss://example.com",
        "unix:///tmp/s",
    ],
)
def test_where_it_may_be_sent(url: str) -> None:
    assert RIGHT.headers(url) == {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    "url",
    [
        ELSEWHERE,
        "ws://example.com",
        "ws://localhost.example:1",
        "ws://0.0.0.0:1",
        "ws://[::ffff:192.0.2.1]:1",
        "ws://127.0.0.1.example:1",
        "http://x",
        "ws://",
    ],
)
def test_where_it_may_not(url: str) -> None:
    with pytest.raises(Exception, match="could read the token"):
        RIGHT.headers(url)
    assert BearerAuth(Bearer(TOKEN), allow_plain=True).headers(url)


async def test_where_it_may_not_be_sent_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected(*_: object) -> None:
        raise AssertionError("it has connected")

    monkeypatch.setattr("harness.client.links._connect_tcp", connected)
    said = await refused(ELSEWHERE, RIGHT)
    assert "192.0.2.1 could read the token" in said and "--url-allow-plain=yes" in said
    environment = UrlEnvironment(ELSEWHERE, UrlOptions())
    assert environment.available()
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert "could read the token" in environment.available().reason
    assert UrlEnvironment(ELSEWHERE, UrlOptions(allow_plain=True)).available()


async def test_no_log_tells_it(speed_ups: str, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    """Of neither side, at any level."""

    def receive(transport: Transport) -> Receiver:
        return Silent()

    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    guard = BearerGuard(CapabilityToken(sha256(TOKEN)), told.append, lambda: 0.0)
    server, url = await websocket.serve("ws://127.0.0.1:0", websocket.Limits(), receive, guard)
    async with server:
        link = await open_websocket(url, receive, LinkOptions(), RIGHT)
        await refused(url, WRONG)
        await asyncio.to_thread(lambda: Wire(url, bearer=RIGHT).drop())
        link.abort()
    assert told == ["a connection was refused: the token is not valid"]
    assert TOKEN not in caplog.text and "another-token" not in caplog.text


def test_nothing_shows_it() -> None:
    for held in (RIGHT, RIGHT.headers("unix:///s"), [RIGHT.headers("unix:///s")], Bearer(TOKEN)):
        assert TOKEN not in f"{held!r} {held}"
    assert isinstance(RIGHT.headers("unix:///s"), BearerHeaders)


# URLs


def test_a_url_with_a_login_is_refused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = Definition(environments={}, suites={"path": "x"})
    with pytest.raises(ValueError, match="--url-token-file") as raised:
        refuse_login(LOGIN)
    said = [str(raised.value), str(make_environment(LOGIN).available())]
    for wanted in (Wanted(environments=(LOGIN,)), Wanted(executors=(LOGIN,))):
        with pytest.raises(SelectionError, match="--url-token-file") as selection:
            select(definition, wanted, "3.11")
        said.append(str(selection.value))
    for text in said:
        assert "user" not in text.replace("a user", "") and "pass-word" not in text
    for malformed in ("ws://user:pass-word@h\u2100", "ws://user:pass-word@[", "ws://user:pass-word@"):
        with pytest.raises(ValueError, match="--url-token-file"):
            refuse_login(malformed)
    for url in ("ws://host:1", "ws://host:1/a@b", "unix:///a@b", "remote:a@b", "local", ""):
        refuse_login(url)


async def test_a_malformed_url_gets_no_token() -> None:
    for url in ("ws://[", "ws://h\u2100", "nonsense", ""):
        assert "cannot connect" in await refused(url, RIGHT)


async def test_a_client_does_not_connect_with_a_login() -> None:
    assert "pass-word" not in await refused(LOGIN, None)
    async with EnvironmentManager() as manager:
        with pytest.raises(ValueError, match="--url-token-file"):
            manager.register("x", LOGIN)


# Options


def test_the_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = private_file(tmp_path, TOKEN)
    assert url_options() == UrlOptions() and url_options().bearer() is None
    assert url_options({"token-file": str(path), "allow-plain": "yes"}) == UrlOptions(path, True)
    monkeypatch.setenv("CROSSEXEC_URL_TOKEN_FILE", str(path))
    monkeypatch.setenv("CROSSEXEC_URL_ALLOW_PLAIN", "1")
    assert read_settings().url == UrlOptions(path, True)
    monkeypatch.setenv(TOKEN_VARIABLE, "of-the-variable")
    bearer = UrlOptions().bearer()
    assert bearer is not None and bearer.token() == "of-the-variable"
    bearer = url_options().bearer()
    assert bearer is not None and bearer.token() == TOKEN, "a file counts more"
    with pytest.raises(ValueError, match="--url-allow-plain perhaps: give yes or no"):
        url_options({"allow-plain": "perhaps"})
    for content in ("", "two words"):
        path.write_text(content)
        reason = UrlEnvironment("ws://127.0.0.1:1", url_options()).available().reason
        assert reason.startswith("the executor's token is")


# Commands


def ran(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_the_command(capability: Executor, tmp_path: Path) -> None:
    path = str(private_file(tmp_path, TOKEN))
    url = ("harness.cli", "info", "--url", capability.url)
    for done in (ran(*url, "--url-token-file", path), ran(*url, **{TOKEN_VARIABLE: TOKEN})):
        assert (done.returncode, done.stderr) == (0, "") and "capabilities" in done.stdout
    done = ran("harness.cli", "info", f"--env={capability.url}", f"--url-token-file={path}")
    assert (done.returncode, done.stderr) == (0, "")
    done = ran(*url)
    assert done.returncode == 1 and "--url-token-file" in done.stderr and "Traceback" not in done.stderr
    done = ran("harness.cli", "info", "--url", LOGIN)
    assert done.returncode == 2 and "pass-word" not in done.stderr and "--url-token-file" in done.stderr
    done = ran("harness.cli", "info", "--url", capability.url, "--url-token-file", path + "x")
    assert done.returncode == 2 and "cannot read the executor's token" in done.stderr


def test_tests_of_an_executor_that_asks_for_it(capability: Executor, tmp_path: Path) -> None:
    """The fixtures show it, also through the proxy of faults; a failure does not, whatever pytest shows."""
    path = str(private_file(tmp_path, TOKEN))
    module = tmp_path / "test_it.py"
    module.write_text(
        """
from harness.client.recovery import RecoveryOptions

def test_client_and_wire(client, wire, env):
    assert client.info.platform_os == env.platform and wire.request("environment/status")["result"]

def test_faults(faults, workspace):
    client = faults.connect(recovery=RecoveryOptions(retry_seconds=0.02))
    faults.open_wire().handshake()
    process = client.start(["cat"], stdin=True, cwd=workspace.uri)
    faults.cut()
    assert process.communicate(b"x").stdout == b"x"
    assert client.generation == 2

def test_failing(client, env, faults):
    assert env.bearer is None
"""
    )
    arguments = ["pytest", *LOAD, "-p", "no:cacheprovider", "-l", "-o", "log_level=DEBUG"]
    done = ran(*arguments, f"--env={capability.url}", f"--url-token-file={path}", str(module))
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "BearerAuth(…)" in done.stdout, "what pytest shows of the fixture"
    done = ran(*arguments, f"--env={capability.url}", str(module))
    assert done.returncode == 3 and "--url-token-file" in done.stdout + done.stderr
    done = ran(*arguments, f"--env={LOGIN}", str(module))
    assert done.returncode == 4 and "pass-word" not in done.stdout + done.stderr


def test_a_refusal_in_a_test_shows_no_token(capability: Executor, tmp_path: Path) -> None:
    module = tmp_path / "test_it.py"
    module.write_text(
        """
import os
from harness.client import Bearer, BearerAuth
from harness.client.sync import connect_sync
from fixtures.wire import Wire

BEARER = BearerAuth(Bearer(os.environ["A_TOKEN"]))

def test_client():
    with connect_sync(os.environ["AT"], bearer=BEARER):
        pass

def test_wire():
    Wire(os.environ["AT"], bearer=BEARER)
"""
    )
    done = ran(
        *("pytest", *LOAD, "-p", "no:cacheprovider", "-l", "--full-trace"),
        *("-o", "log_level=DEBUG", str(module)),
        AT=capability.url,
        A_TOKEN="another-token",
    )
    assert "2 failed" in done.stdout and "another-token" not in done.stdout + done.stderr
