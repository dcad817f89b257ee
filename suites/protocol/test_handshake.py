"""``initialize`` and ``initialized`` come first, once, and in this order."""

import re
from collections.abc import Callable

import pytest

from executors.protocol.errors import ErrorCode
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from suites.protocol.requests import FIELDS, known_at_once, params_of

Usable = Callable[[Wire], None]

METHODS = [name for name in FIELDS if name != "initialize"]
HELLO = {"clientName": "suite"}


@pytest.mark.parametrize("method", METHODS)
def test_before_initialize_every_call_is_refused(fresh: Wire, workspace: Workspace, method: str) -> None:
    workspace.write("f", b"kept")
    error = fresh.request(method, params_of(method, workspace.uri))["error"]
    assert error["code"] == ErrorCode.INVALID_REQUEST
    assert "initialize" in error["message"]
    assert workspace.read("f") == b"kept"
    fresh.handshake()


@pytest.mark.parametrize("method", METHODS)
def test_before_initialized_every_call_is_refused(fresh: Wire, workspace: Workspace, method: str) -> None:
    workspace.write("f", b"kept")
    assert "result" in fresh.request("initialize", HELLO)
    error = fresh.request(method, params_of(method, workspace.uri))["error"]
    assert error["code"] == ErrorCode.INVALID_REQUEST
    assert "initialized" in error["message"]
    assert workspace.read("f") == b"kept"
    fresh.notify("initialized")
    assert "result" in fresh.request("environment/status")


def test_an_unknown_method_is_unknown_before_the_handshake_too(fresh: Wire) -> None:
    assert fresh.request("no/such")["error"]["code"] == ErrorCode.METHOD_NOT_FOUND
    fresh.handshake()


def test_a_malformed_message_does_not_end_the_handshake(fresh: Wire, usable: Usable) -> None:
    fresh.send("{bad")
    assert fresh.receive()["id"] == -1
    assert "result" in fresh.request("initialize", HELLO)
    fresh.send("[]")
    assert fresh.receive()["id"] == -1
    fresh.notify("initialized")
    usable(fresh)


@pytest.mark.parametrize("complete", [False, True], ids=["before initialized", "after initialized"])
def test_initialize_is_called_once(fresh: Wire, complete: bool) -> None:
    first = fresh.request("initialize", HELLO)["result"]
    if complete:
        fresh.notify("initialized")
    assert fresh.request("initialize", HELLO)["error"]["code"] == ErrorCode.INVALID_REQUEST
    fresh.notify("initialized")
    info = fresh.request("environment/info")["result"]
    assert known_at_once(info) == known_at_once(first["environmentInfo"])


def test_a_refused_initialize_does_not_count(fresh: Wire, usable: Usable) -> None:
    assert fresh.request("initialize", {})["error"]["code"] == ErrorCode.INVALID_PARAMS
    unknown = fresh.request("initialize", HELLO | {"resumeSessionId": "no such session"})
    assert unknown["error"]["code"] == ErrorCode.INVALID_REQUEST
    assert "no such session" in unknown["error"]["message"]
    fresh.handshake()
    usable(fresh)


def test_initialized_before_initialize_is_refused(fresh: Wire, usable: Usable) -> None:
    fresh.notify("initialized")
    reply = fresh.receive()
    assert (reply["id"], reply["error"]["code"]) == (-1, ErrorCode.INVALID_REQUEST)
    fresh.handshake()
    usable(fresh)


@pytest.mark.parametrize("params", [{}, None, [], {"later": 1}, "x"], ids=repr)
def test_initialized_may_have_any_params(fresh: Wire, usable: Usable, params: object) -> None:
    fresh.request("initialize", HELLO)
    fresh.send({"method": "initialized", "params": params})
    usable(fresh)


def test_initialized_may_be_repeated(wire: Wire, usable: Usable) -> None:
    wire.notify("initialized")
    wire.notify("initialized", {})
    usable(wire)


@pytest.mark.parametrize(
    "name", ["", "suite", "grüße 😀", "x" * 10_000], ids=["empty", "plain", "unicode", "long"]
)
def test_a_client_may_have_any_name(fresh: Wire, usable: Usable, name: str) -> None:
    assert "result" in fresh.request("initialize", {"clientName": name, "resumeSessionId": None, "later": {}})
    fresh.notify("initialized")
    usable(fresh)


def test_the_whole_handshake_may_be_sent_at_once(fresh: Wire) -> None:
    fresh.send({"id": 1, "method": "initialize", "params": HELLO})
    fresh.notify("initialized")
    fresh.send({"id": 2, "method": "environment/status"})
    assert [fresh.receive()["id"], fresh.receive()["id"]] == [1, 2]


def test_every_connection_has_a_session_of_its_own(open_wire: Callable[[], Wire]) -> None:
    ids = [open_wire().handshake()["sessionId"] for _ in range(10)]
    assert len(set(ids)) == 10
    uuid4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(uuid4.fullmatch(session) for session in ids)
