"""Many requests, large messages, many connections."""

import base64
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fixtures.programs import BoundPython, BoundShell
from fixtures.target import RunningEnvironment
from fixtures.wire import Wire
from fixtures.workspace import Workspace
from harness.client.sync import SyncClient
from suites.process.conversation import Conversation
from suites.protocol.raw_socket import CONTINUATION, TEXT, RawSocket

MEBIBYTE = 1024 * 1024
COUNT = 10_000


def make_status(workspace: Workspace) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "environment/status", {}, {"status": "ready"}


def make_metadata(workspace: Workspace) -> tuple[str, dict[str, Any], dict[str, Any]]:
    path = workspace.write("f", b"1234567")
    return "fs/getMetadata", {"path": str(path)}, {"isFile": True, "size": 7}


def make_read_file(workspace: Workspace) -> tuple[str, dict[str, Any], dict[str, Any]]:
    path = workspace.write("f", b"1234567")
    return "fs/readFile", {"path": str(path)}, {"dataBase64": base64.b64encode(b"1234567").decode()}


def make_terminate(workspace: Workspace) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "process/terminate", {"processId": "nobody"}, {"running": False}


KINDS = {
    "environment/status": make_status,
    "fs/getMetadata": make_metadata,
    "fs/readFile": make_read_file,
    "process/terminate": make_terminate,
}


@pytest.fixture(params=KINDS)
def calls(request: pytest.FixtureRequest, workspace: Workspace, env: RunningEnvironment) -> Any:
    """Method, parameters and expected result of a kind of call, and how many to make."""
    # A call on a file takes Windows longer by far.
    count = COUNT // 5 if env.platform == "windows" and request.param.startswith("fs/") else COUNT
    return *KINDS[request.param](workspace), count


def collect(wire: Wire, count: int, expected: dict[str, Any]) -> None:
    """Receives *count* replies with the ids from 0 on, in any order."""
    ids = set()
    for _ in range(count):
        reply = wire.receive()
        assert expected.items() <= reply["result"].items()
        ids.add(reply["id"])
    assert ids == set(range(count))


def test_thousands_of_requests_are_answered_though_no_reply_is_read_before_all_are_sent(
    wire: Wire, calls: Any
) -> None:
    method, params, expected, count = calls
    for number in range(count):
        wire.send({"id": number, "method": method, "params": params})
    collect(wire, count, expected)


def test_thousands_of_requests_are_answered_while_they_are_sent(wire: Wire, calls: Any) -> None:
    method, params, expected, count = calls

    def send_all() -> None:
        for number in range(count):
            wire.send({"id": number, "method": method, "params": params})

    sender = threading.Thread(target=send_all)
    sender.start()
    try:
        collect(wire, count, expected)
    finally:
        sender.join()


def test_many_large_replies_wait_for_their_reader(wire: Wire, workspace: Workspace) -> None:
    # The replies are more than any system holds in between; the requests must not be, and a Unix socket
    # of Linux holds 277 small ones.
    count = 200
    data = random.Random(1).randbytes(64 * 1024)
    path = workspace.write("f", data)
    for number in range(count):
        wire.send({"id": number, "method": "fs/readFile", "params": {"path": str(path)}})
    collect(wire, count, {"dataBase64": base64.b64encode(data).decode()})


@pytest.mark.parametrize("mebibytes", [1, 15])
def test_a_large_message_in_one_frame_is_taken(wire: Wire, mebibytes: int) -> None:
    padding = "x" * (mebibytes * MEBIBYTE)
    wire.send({"id": 1, "method": "environment/status", "ignored": padding})
    assert wire.receive() == {"id": 1, "result": {"status": "ready"}}


@pytest.mark.parametrize("mebibytes", [20, 60])
def test_a_larger_message_is_taken_in_several_frames(wire: Wire, mebibytes: int) -> None:
    padding = ["x" * MEBIBYTE] * mebibytes
    wire.send_fragments('{"id":1,"method":"environment/status","ignored":"', *padding, '"}')
    assert wire.receive() == {"id": 1, "result": {"status": "ready"}}


# The limits that the protocol names; an executor may be told other ones.
FRAME_LIMIT = 16 * MEBIBYTE
MESSAGE_LIMIT = 64 * MEBIBYTE


@pytest.mark.skip_if_relayed("frames of a WebSocket go no further than the rendezvous")
def test_a_frame_over_the_limit_ends_the_connection_with_a_reason(
    env: RunningEnvironment, open_wire: Callable[[], Wire]
) -> None:
    with RawSocket(env.url, env.bearer) as raw:
        raw.send_head(TEXT, FRAME_LIMIT + 1)
        code, reason = raw.close_frame()
    assert code == 1009
    assert reason
    open_wire().handshake()


@pytest.mark.skip_if_relayed("frames of a WebSocket go no further than the rendezvous")
def test_a_message_over_the_limit_ends_the_connection_with_a_reason(
    env: RunningEnvironment, open_wire: Callable[[], Wire]
) -> None:
    with RawSocket(env.url, env.bearer) as raw:
        pieces = MESSAGE_LIMIT // FRAME_LIMIT
        for number in range(pieces):
            raw.send(CONTINUATION if number else TEXT, b"x" * FRAME_LIMIT, final=False)
        raw.send(CONTINUATION, b"x", final=False)
        code, reason = raw.close_frame()
    assert code == 1009
    assert reason
    open_wire().handshake()


def test_a_large_reply_comes_whole(wire: Wire, workspace: Workspace) -> None:
    data = random.Random(2).randbytes(24 * MEBIBYTE)
    path = workspace.write("f", data)
    reply = wire.request("fs/readFile", {"path": str(path)})
    assert base64.b64decode(reply["result"]["dataBase64"]) == data


def test_fifty_connections_work_side_by_side(
    open_wire: Callable[[], Wire], shell: BoundShell, workspace: Workspace
) -> None:
    talks = []
    for _ in range(50):
        opened = open_wire()
        opened.handshake()
        talks.append(Conversation(opened, workspace.uri))
    for number, talk in enumerate(talks):
        talk.post_start("p", shell.argv(shell.sequence(shell.echo(f"{number}"), shell.exit(number))))
    for number, talk in enumerate(talks):
        talk.finish("p")
        assert talk.output("p").split() == [b"%d" % number]
        assert talk.until("exited", "p").exit_code == number


def test_connections_come_and_go(open_wire: Callable[[], Wire]) -> None:
    for _ in range(200):
        opened = open_wire()
        opened.handshake()
        opened.close()
    last = open_wire()
    last.handshake()
    assert last.request("environment/status")["result"] == {"status": "ready"}


def test_a_connection_that_stays_silent_holds_up_no_other(
    open_wire: Callable[[], Wire], client: SyncClient, python: BoundPython
) -> None:
    silent = [open_wire() for _ in range(20)]
    assert python.run("print('served')").text == "served\n"
    assert all("result" in wire.request("initialize", {"clientName": "late"}) for wire in silent)


@pytest.mark.parametrize("closing", ["in the middle", "before the replies"])
def test_a_connection_that_goes_away_with_calls_under_way_harms_no_other(
    open_wire: Callable[[], Wire], wire: Wire, workspace: Workspace, closing: str
) -> None:
    path = workspace.write("f", bytes(MEBIBYTE))
    for _ in range(10):
        leaving = open_wire()
        leaving.handshake()
        # No more than the library on this side takes without a reader, or its own close would wait.
        for number in range(12):
            leaving.send({"id": number, "method": "fs/readFile", "params": {"path": str(path)}})
        for _ in range(6 if closing == "in the middle" else 0):
            leaving.receive()
        leaving.close()
    assert len(wire.request("fs/readFile", {"path": str(path)})["result"]["dataBase64"]) > MEBIBYTE


@pytest.mark.skip_if_relayed("a ping of a WebSocket goes no further than the rendezvous")
def test_a_ping_is_answered(wire: Wire) -> None:
    assert wire.ping()


@pytest.mark.skip_if_relayed("the end of a stream is answered by a reset, which has no code")
def test_a_close_is_answered(wire: Wire) -> None:
    wire.send({"id": 1, "method": "environment/status"})
    wire.receive()
    wire.close(30)
    code, _ = wire.closed()
    assert code == 1000
