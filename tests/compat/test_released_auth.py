"""Tokens: the same options, and the same answers of both executors but for what is documented."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest

from harness.bearer import Bearer, BearerAuth
from harness.client import ConnectFailed
from harness.client.sync import connect_sync
from tests.compat.peer import Peer
from tests.support.bearer import BY_DIGEST, GOOD, TOKEN, private_file
from tests.support.launch import Executor
from tests.support.wire import websocket

SECRET = "s" * 40


@contextmanager
def both(peer: Peer, *options: str) -> Iterator[tuple[str, str]]:
    """URLs of the released executor and of ours, started alike."""
    with peer.serve(*options) as released, Executor(*options) as ours:
        yield released, ours.url
        if ours.errors():
            ours.expect_errors("a connection was refused")


def status(url: str, *headers: str) -> int:
    with websocket(url, *headers) as opened:
        return opened.status


def test_capability_tokens(peer: Peer) -> None:
    with both(peer, *BY_DIGEST) as (released, ours):
        for headers, same in (
            ([], 401),
            ([GOOD], 101),
            ([f"authorization: bearer   {TOKEN}"], 101),
            ([f"Authorization: Bearer {TOKEN}x"], 401),
            ([f"Authorization: Basic {TOKEN}"], 401),
            (["Authorization: Bearer x", GOOD], 401),
            ([GOOD, "Origin: http://127.0.0.1"], 403),
        ):
            assert (status(released, *headers), status(ours, *headers)) == (same, same), headers
        twice = [GOOD, "Authorization: Bearer x"]
        assert (status(released, *twice), status(ours, *twice)) == (101, 401)


def test_signed_tokens(peer: Peer, tmp_path: Path) -> None:
    path = str(private_file(tmp_path, f" {SECRET}\n"))
    now = int(time.time())
    signed = ("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", path)

    def answers(urls: tuple[str, str], claims: dict[str, Any], **headers: Any) -> tuple[int, int]:
        header = f"Authorization: Bearer {pyjwt.encode(claims, SECRET, 'HS256', headers=headers)}"
        return status(urls[0], header), status(urls[1], header)

    with both(peer, *signed) as urls:
        for claims, same in (
            ({"exp": now + 600}, 101),
            ({"exp": now - 5, "nbf": now + 5}, 101),
            ({"exp": now - 120}, 401),
            ({"exp": now + 600, "nbf": now + 300}, 401),
            ({}, 401),
            ({"exp": now + 600.5}, 401),
            ({"exp": now + 600, "iss": "anybody"}, 101),
        ):
            assert answers(urls, claims) == (same, same), claims
        assert answers(urls, {"exp": now + 600, "iat": now + 300}) == (101, 401)
        assert answers(urls, {"exp": now + 600, "aud": "x"}) == (101, 401)
        assert answers(urls, {"exp": now + 600}, typ="at+jwt") == (101, 401)
        assert answers(urls, {"exp": now + 600}, crit=["exp"]) == (101, 401)
    with both(peer, *signed, "--ws-issuer", "me", "--ws-audience", "you") as urls:
        right = {"exp": now + 600, "iss": "me", "aud": ["you", "x"]}
        assert answers(urls, right) == (101, 101)
        for name, value in (("iss", "x"), ("iss", None), ("aud", "x"), ("aud", None)):
            wrong = {key: of for key, of in {**right, name: value}.items() if of is not None}
            assert answers(urls, wrong) == (401, 401), wrong


def test_our_client_shows_its_token_to_the_released_executor(peer: Peer) -> None:
    with peer.serve(*BY_DIGEST) as url:
        with connect_sync(url, bearer=BearerAuth(Bearer(TOKEN))) as client:
            assert client.run(["echo", "here"]).stdout == b"here\n"
        with pytest.raises(ConnectFailed, match="it asks for a token"), connect_sync(url):
            pass
        another = BearerAuth(Bearer("another"))
        said = r"refuses the token \(it said: invalid websocket bearer token\)"
        with pytest.raises(ConnectFailed, match=said), connect_sync(url, bearer=another):
            pass
