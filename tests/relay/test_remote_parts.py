from __future__ import annotations

import asyncio
import logging
import os
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from executors.remote.backoff import Backoff
from executors.remote.credentials import (
    Bearer,
    CredentialError,
    InFile,
    check_registry_url,
    from_descriptor,
    from_environment,
)
from executors.remote.http_post import MAX_RESPONSE_BYTES, HttpError, Response, post_json

# How long to wait.


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_gaps_double_up_to_two_seconds(factor: float) -> None:
    backoff = Backoff(factor)
    gaps = [backoff.next() / factor for _ in range(6)]
    assert gaps == pytest.approx([0.5, 1.0, 2.0, 2.0, 2.0, 2.0])


def test_gaps_begin_anew_only_after_a_connection_that_lasted() -> None:
    backoff = Backoff(1.0)
    assert [backoff.next() for _ in range(2)] == [0.5, 1.0]
    backoff.connected_for(4.9)
    assert backoff.next() == 2.0
    backoff.connected_for(5.0)
    assert backoff.next() == 0.5


def test_the_factor_is_drawn_once_for_each() -> None:
    factors = [Backoff().next() / 0.5 for _ in range(20)]
    assert len(set(factors)) > 10
    assert all(1.0 <= factor <= 1.5 for factor in factors)
    one = Backoff()
    assert one.next() * 2 == pytest.approx(one.next())


# Credentials.


def test_a_bearer_is_not_shown() -> None:
    bearer = Bearer("  a-token\n")
    assert bearer.header() == "Bearer a-token"
    assert "a-token" not in f"{bearer!r} {bearer}"
    assert bearer.redact("it said a-token!") == "it said …!"
    with pytest.raises(TypeError):
        pickle.dumps(bearer)


@pytest.mark.parametrize(
    "token",
    ["", " \n", "two words", "a\r\nX: y", "ü", "x" * 20000],
    ids=["empty", "blank", "two", "lines", "umlaut", "too long"],
)
def test_what_is_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(CredentialError) as raised:
        Bearer(token)
    assert "X: y" not in str(raised.value)
    assert "two" not in str(raised.value)


def test_a_token_in_a_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "token"
    source = InFile(path)
    with pytest.raises(CredentialError, match="cannot read"):
        source.read()
    for token in ("one", "two"):
        path.write_text(token + "\n")
        assert source.read().header() == f"Bearer {token}"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialError):
        source.read()


def test_a_token_in_the_environment_is_taken_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "value")
    assert from_environment("A_TOKEN").read().header() == "Bearer value"
    assert "A_TOKEN" not in os.environ
    with pytest.raises(CredentialError, match="A_TOKEN is not set"):
        from_environment("A_TOKEN")


@pytest.mark.parametrize("content", [b"value\nmore", b"value"])
def test_a_token_on_a_descriptor_is_its_first_line(content: bytes) -> None:
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    assert from_descriptor(read).read().header() == "Bearer value"
    assert os.read(read, 10) == content.partition(b"\n")[2]
    os.close(read)


@pytest.mark.parametrize(
    ("url", "hosts", "expected"),
    [
        ("https://registry.example/api/", {"registry.example"}, "https://registry.example/api"),
        ("https://Registry.Example:8443", {"registry.example"}, "https://Registry.Example:8443"),
        ("https://a.b.example", {".example"}, "https://a.b.example"),
        ("http://127.0.0.1:80/x", set(), "http://127.0.0.1:80/x"),
        ("http://[::1]:80", set(), "http://[::1]:80"),
        ("http://localhost", set(), "http://localhost"),
        ("https://127.0.0.1", set(), "https://127.0.0.1"),
    ],
)
def test_where_a_credential_may_go(url: str, hosts: set[str], expected: str) -> None:
    assert check_registry_url(url, hosts) == expected


@pytest.mark.parametrize(
    ("url", "hosts", "text"),
    [
        ("https://registry.example", set(), "--allow-registry registry.example"),
        ("https://registry.example.evil", {"registry.example"}, "not sent to registry.example.evil"),
        ("https://xregistry.example", {"registry.example"}, "not sent to"),
        ("https://xexample", {".example"}, "not sent to"),
        ("https://example", {".example"}, "not sent to"),
        ("http://registry.example", {"registry.example"}, "over https only"),
        ("http://127.0.0.1.evil", set(), "over https only"),
        ("http://localhost.evil", set(), "over https only"),
        ("https://registry.example@evil", {"registry.example"}, "no user"),
        ("https://127.0.0.1/?x=1", set(), "no query"),
        ("https://127.0.0.1/#x", set(), "no fragment"),
        ("ws://127.0.0.1", set(), "https://HOST/PATH"),
        ("127.0.0.1:80", set(), "https://HOST/PATH"),
        ("https:///x", set(), "https://HOST/PATH"),
        ("https://127.0.0.1:x", set(), "malformed"),
    ],
)
def test_where_a_credential_may_not_go(url: str, hosts: set[str], text: str) -> None:
    with pytest.raises(CredentialError, match=text):
        check_registry_url(url, hosts)


# HTTP.

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def post(serve: Serve, seconds: float = 20.0, **headers: str) -> Response:
    """Posts to a server that does as *serve*."""

    async def body() -> Response:
        async with served(serve) as port:
            url = f"http://127.0.0.1:{port}/a%20path"
            return await post_json(url, b"{}", headers, tls=None, seconds=seconds)

    return asyncio.run(body())


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[int]:
    """The port of a server whose connections have all been served at the end."""
    serving: list[asyncio.Task[None] | None] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(OSError, EOFError):
            await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            await asyncio.gather(*(task for task in serving if task is not None))


def answers(data: bytes, requests: list[bytes] | None = None, stays: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2)
        if requests is not None:
            requests.append(request)
        writer.write(data)
        if stays:
            await reader.read()

    return serve


def test_what_is_posted() -> None:
    requests: list[bytes] = []
    response = post(answers(b"HTTP/1.1 204 No Content\r\n\r\n", requests), Authorization="Bearer x")
    assert response == Response(204, b"")
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert body == b"{}"
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a%20path HTTP/1.1"
    assert {b"Connection: close", b"Content-Length: 2", b"Authorization: Bearer x"} <= set(lines)


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", True),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", False),
    ],
)
def test_responses_come_in_these_ways(data: bytes, stays: bool) -> None:
    assert post(answers(data, stays=stays)) == Response(200, b"hi")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("2", 2.0), ("0", 0.0), ("-1", None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("\u00b2", None)],
)
def test_a_server_may_say_when_to_ask_again(told: str, seconds: float | None) -> None:
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {told}\r\nContent-Length: 0\r\n\r\n"
    assert post(answers(head.encode("latin-1"))) == Response(429, b"", seconds)


def test_a_redirect_is_a_response_like_any_other() -> None:
    requests: list[bytes] = []
    data = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    assert post(answers(data, requests)).status == 307
    assert len(requests) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_RESPONSE_BYTES),
    ],
    ids=["nothing", "nonsense", "too short", "too long"],
)
def test_what_is_no_response(data: bytes) -> None:
    with pytest.raises(HttpError):
        post(answers(data))


def test_a_response_that_drips_does_not_take_longer() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(HttpError, match=r"no answer from 127\.0\.0\.1 within 0\.2 s"):
        post(drip, seconds=0.2)


def test_no_header_can_be_smuggled_in() -> None:
    with pytest.raises(HttpError, match="characters that none may hold"):
        post(answers(b""), Name="x\r\nMore: y")


def test_nobody_listens() -> None:
    async def body() -> None:
        async with served(answers(b"")) as port:
            pass
        await post_json(f"http://127.0.0.1:{port}/", b"", {}, tls=None, seconds=20)

    with pytest.raises(HttpError, match=r"no answer from 127\.0\.0\.1: Connection"):
        asyncio.run(body())


def test_loggers_have_nothing_to_say_of_a_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(answers(b"HTTP/1.1 204 No Content\r\n\r\n"), Authorization="Bearer hidden")
    assert "hidden" not in caplog.text
