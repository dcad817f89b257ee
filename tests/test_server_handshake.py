"""The order in which a connection may make its calls."""

from __future__ import annotations

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.methods import METHODS
from executors.server.handshake import Handshake, Stage
from tests.support.launch import Executor

OTHERS = sorted(set(METHODS) - {"initialize"})


def refusal(handshake: Handshake, method: str) -> str | None:
    try:
        handshake.check_call(method)
    except RpcError as error:
        assert error.code == ErrorCode.INVALID_REQUEST
        return error.message
    return None


def at(stage: Stage) -> Handshake:
    handshake = Handshake()
    if stage is not Stage.NEW:
        handshake.initialize_answered()
    if stage is Stage.READY:
        handshake.initialized_received()
    assert handshake.stage is stage
    return handshake


@pytest.mark.parametrize("method", OTHERS)
def test_calls_wait_for_the_handshake(method: str) -> None:
    assert refusal(at(Stage.NEW), method) == f"client must call initialize before {method}"
    assert refusal(at(Stage.INITIALIZING), method) == f"client must send initialized before {method}"
    assert refusal(at(Stage.READY), method) is None


def test_initialize_comes_once() -> None:
    assert refusal(at(Stage.NEW), "initialize") is None
    for stage in (Stage.INITIALIZING, Stage.READY):
        assert refusal(at(stage), "initialize") == "initialize may only be sent once per connection"


def test_initialized_needs_initialize_and_may_repeat() -> None:
    with pytest.raises(RpcError):
        at(Stage.NEW).initialized_received()
    handshake = at(Stage.READY)
    handshake.initialized_received()
    assert handshake.stage is Stage.READY


@pytest.mark.parametrize("listen", ["ws://127.0.0.1:0", "stdio"])
def test_order_over_the_wire(listen: str) -> None:
    with Executor(listen=listen) as executor, executor.new_client() as client:

        def code_of(message: object) -> int:
            code: int = client.answer(message)["error"]["code"]
            return code

        assert client.error("environment/status").code == -32600
        assert code_of({"method": "initialized"}) == -32600
        assert client.error("process/start").code == -32600
        # A refused initialize does not count.
        assert client.error("initialize").code == -32602
        unknown = client.error("initialize", clientName="x", resumeSessionId="nope")
        assert (unknown.code, unknown.message) == (
            -32600,
            "unknown or expired session id nope: initialize without resumeSessionId for a new one",
        )
        result = client.call("initialize", clientName="", resumeSessionId=None)
        assert set(result) == {"sessionId", "environmentInfo", "sessionRetentionMs"}
        assert client.error("initialize", clientName="x").code == -32600
        assert "must send initialized" in client.error("environment/status").message
        client.notify("initialized", anything=1)
        client.notify("initialized")
        assert client.call("environment/status") == {"status": "ready"}
        info = client.call("environment/info")
        # Sandboxes are put to the test when they are asked for.
        assert info["capabilities"].pop("sandbox") is not None
        assert result["environmentInfo"]["capabilities"].pop("sandbox") is None
        assert info == result["environmentInfo"]
        assert client.error("initialize", clientName="x").code == -32600


def test_every_connection_has_its_own_handshake_and_session(executor: Executor) -> None:
    with executor.new_client() as first, executor.new_client() as second:
        one = first.handshake()["sessionId"]
        assert second.error("environment/status").code == -32600
        assert second.handshake()["sessionId"] != one
