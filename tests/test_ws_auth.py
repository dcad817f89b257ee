"""Who may connect to a listening executor: with a token, by either implementation of WebSocket."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from executors.transport.unix import UnixSocket
from tests.support.bearer import BY_DIGEST, GOOD, SHA256, TOKEN, private_file
from tests.support.both import speed_ups  # noqa: F401
from tests.support.launch import Executor, http_get
from tests.support.watch import SECONDS
from tests.support.wire import Client, WebSocket, websocket

SECRET = os.urandom(32).hex()


@pytest.fixture(scope="module")
def capability(speed_ups: str) -> Iterator[Executor]:  # noqa: F811
    with Executor(*BY_DIGEST) as executor:
        yield executor
        executor.expect_errors("a connection was refused")


def upgrade(url: str, *headers: str, key: str = "MTIzNDU2Nzg5MDEyMzQ1Ng==") -> tuple[str, str]:
    """Returns head and body of the response to a request for an upgrade, until the end if it is refused."""
    host, _, port = url.removeprefix("ws://").rpartition(":")
    lines = [
        "GET / HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b""
        while b" 101 " not in answer and (data := connection.recv(65536)):
            answer += data
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head, body


def calls(executor: Executor, *headers: str) -> bool:
    with executor.client(headers=headers) as client:
        return bool(client.call("environment/status") == {"status": "ready"})


@pytest.mark.parametrize(
    "header", [GOOD, f"authorization:bearer   {TOKEN}", f"AUTHORIZATION: BEARER {TOKEN} \t"]
)
def test_the_token_lets_in(capability: Executor, header: str) -> None:
    assert calls(capability, header)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization:"],
        ["Authorization: Bearer"],
        ["Authorization: Bearer x"],
        [f"Authorization: Bearer {TOKEN}x"],
        [f"Authorization: Bearer {TOKEN[:-1]}"],
        [f"Authorization: Bearer {TOKEN.swapcase()}"],
        [f"Authorization: Bearer {SHA256}"],
        [f"Authorization: Bearer\t{TOKEN}"],
        [f"Authorization: Bearer {TOKEN}\xe9"],
        [f"Authorization: Basic {TOKEN}"],
        [f"Authorization: {TOKEN}"],
        [f"Authorization: Bearer {'a' * 5000}"],
        [f"Proxy-Authorization: Bearer {TOKEN}"],
        [f"Cookie: token={TOKEN}"],
        [f"Sec-WebSocket-Protocol: {TOKEN}"],
        [GOOD, GOOD],
        [GOOD, "authorization: Bearer x"],
        ["authorization: Bearer x", GOOD],
    ],
)
def test_nothing_else_does(capability: Executor, headers: list[str]) -> None:
    head, body = upgrade(capability.url, *headers)
    status, *lines = head.split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert status == "HTTP/1.1 401 Unauthorized"
    assert fields["www-authenticate"].startswith('Bearer realm="executor"')
    assert fields["connection"] == "close" and "sec-websocket-accept" not in fields
    assert ('error="invalid_token"' in fields["www-authenticate"]) is any(
        header.lower().startswith("authorization") for header in headers
    )
    assert body.startswith("unauthorized") and TOKEN not in head + body


def test_the_token_is_asked_for_before_all_else_of_the_handshake(capability: Executor) -> None:
    assert upgrade(capability.url, key="x")[0].startswith("HTTP/1.1 401")
    assert upgrade(capability.url, GOOD, key="x")[0].startswith("HTTP/1.1 400")


def test_an_origin_is_refused_with_a_token_too(capability: Executor) -> None:
    assert upgrade(capability.url, GOOD, "Origin: http://127.0.0.1")[0].startswith("HTTP/1.1 403")


def test_what_tells_nothing_needs_no_token(capability: Executor) -> None:
    assert http_get(capability.url, "/readyz") == (200, b"ok\n")
    assert http_get(capability.url, "/")[0] == 404


def test_what_is_sent_behind_a_refused_request_is_not_read(capability: Executor) -> None:
    host, _, port = capability.url.removeprefix("ws://").rpartition(":")
    lines = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==", "Sec-WebSocket-Version: 13"]
    refused = "\r\n".join([*lines, "", ""])
    good = "\r\n".join([*lines, GOOD, "", ""])
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall((refused + good).encode())
        answer = b""
        while True:
            try:
                data = connection.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            answer += data
    # Closed with something unread, a connection is reset, which may cost the answer to the first.
    assert answer.count(b"HTTP/1.1") <= 1 and b" 101 " not in answer


def test_a_token_in_a_file(speed_ups: str, tmp_path: Path) -> None:  # noqa: F811
    path = private_file(tmp_path, f"  {TOKEN}\n")
    with Executor("--ws-auth", "capability-token", "--ws-token-file", str(path)) as executor:
        path.unlink()
        assert calls(executor, GOOD)
        with websocket(executor.url) as refused:
            assert refused.status == 401
        executor.expect_errors("a connection was refused: there is no Authorization header")


def test_a_session_is_taken_up_by_who_has_the_token(capability: Executor) -> None:
    with capability.new_client(headers=(GOOD,)) as client:
        session = client.handshake()["sessionId"]
        client.start("p", "sleep", "60")
        assert isinstance(client.channel, WebSocket)
        client.channel.cut()
    with websocket(capability.url) as refused:
        assert refused.status == 401
    with capability.new_client(headers=(GOOD,)) as client:
        assert client.handshake(resumeSessionId=session)["sessionId"] == session


@pytest.mark.skipif(sys.platform == "win32", reason="CPython has no Unix sockets there")
def test_a_unix_socket_asks_for_it_too(speed_ups: str, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "s"

    def ask(*headers: str) -> bytes:
        with UnixSocket() as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            lines = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", *headers]
            lines += ["Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==", "Sec-WebSocket-Version: 13", "", ""]
            connection.sendall("\r\n".join(lines).encode())
            return connection.recv(65536).split(b" ")[1]

    with Executor(*BY_DIGEST, listen=f"unix://{path}") as executor:
        assert ask() == b"401"
        assert ask(GOOD) == b"101"
        executor.expect_errors("a connection was refused")


# Signed tokens


@pytest.fixture(scope="module")
def signed(speed_ups: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:  # noqa: F811
    path = private_file(tmp_path_factory.mktemp("secret"), f"{SECRET}\n")
    options = ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", str(path)]
    options += ["--ws-issuer", "tests", "--ws-audience", "lab", "--ws-max-clock-skew-seconds", "5"]
    with Executor(*options) as executor:
        yield executor
        executor.expect_errors("a connection was refused")


def bearer(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    usual: dict[str, Any] = {"iss": "tests", "aud": "lab", "exp": int(time.time()) + 600}
    given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return f"Authorization: Bearer {pyjwt.encode(given, secret, algorithm)}"


def test_a_signed_token_lets_in(signed: Executor) -> None:
    assert calls(signed, bearer())
    assert calls(signed, bearer(exp=int(time.time()) - 1))
    assert calls(signed, bearer(aud=["others", "lab"], nbf=0, iat=int(time.time())))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"exp": None}, "exp is missing"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"nbf": 9_000_000_000}, "not count yet"),
        ({"iat": 9_000_000_000}, "in the future"),
        ({"iss": "others"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "others"}, "somebody else"),
        ({"aud": None}, "somebody else"),
        ({"secret": SECRET[::-1]}, "not valid"),
        ({"algorithm": "HS512"}, "not valid"),
        ({"algorithm": "none", "secret": ""}, "not valid"),
    ],
)
def test_a_signed_token_that_does_not_count(signed: Executor, how: dict[str, Any], reason: str) -> None:
    head, _ = upgrade(signed.url, bearer(**how))
    assert head.startswith("HTTP/1.1 401") and reason in head


# Addresses


def reach(url: str) -> str:
    """The loopback address of what listens everywhere."""
    return url.replace("0.0.0.0", "127.0.0.1")


def test_other_addresses_with_it(speed_ups: str) -> None:  # noqa: F811
    with Executor(*BY_DIGEST, listen="ws://0.0.0.0:0") as executor:
        assert executor.url.startswith("ws://0.0.0.0:")
        assert upgrade(reach(executor.url), GOOD)[0].startswith("HTTP/1.1 101")
        assert upgrade(reach(executor.url))[0].startswith("HTTP/1.1 401")
        executor.expect_errors("a connection was refused")


def test_other_addresses_when_told_so(speed_ups: str) -> None:  # noqa: F811
    with (
        Executor("--allow-unauthenticated", listen="ws://0.0.0.0:0") as executor,
        Client(WebSocket(reach(executor.url))) as client,
    ):
        assert client.handshake()


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such mode there")
def test_a_file_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    path = private_file(tmp_path, TOKEN, 0o640)
    with Executor("--ws-auth", "capability-token", "--ws-token-file", str(path)) as executor:
        executor.expect_errors(f"{path} holds a secret, and others may read it: chmod 600")


def test_nothing_tells_the_token(tmp_path: Path) -> None:
    path = private_file(tmp_path, TOKEN)
    with Executor("--ws-auth", "capability-token", "--ws-token-file", str(path)) as executor:
        assert calls(executor, GOOD)
        upgrade(executor.url, f"Authorization: Bearer {TOKEN}", f"Authorization: Basic {TOKEN}")
        executor.expect_errors("a connection was refused")
        assert TOKEN not in executor.errors()
        if sys.platform == "linux":
            for name in ("cmdline", "environ"):
                assert TOKEN.encode() not in Path(f"/proc/{executor.pid}/{name}").read_bytes()
