"""Many calls at once, and clients that read late or never."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from pathlib import Path

import pytest

from tests.support.launch import Executor
from tests.support.recorder import fifo
from tests.support.watch import SECONDS, Watched, forget_peak, holdings, peak_resident_bytes, resident_bytes
from tests.support.wire import TEXT, Client, WebSocket, frame

MIB = 1024 * 1024


def socket_of(client: Client) -> socket.socket:
    assert isinstance(client.channel, WebSocket)
    return client.channel.socket


def test_a_waiting_call_delays_no_other(client: Client, tmp_path: Path) -> None:
    gate = fifo(f"{tmp_path}/gate")
    client.start("p", "sh", "-c", f"read x < {gate}; echo done")
    waiting = [client.post("process/read", processId="p", waitMs=600_000) for _ in range(1000)]
    for _ in range(100):
        assert client.call("environment/status") == {"status": "ready"}
    assert client.run("q", "echo", "hi") == (0, b"hi\n", b"")
    assert client.call("fs/getMetadata", path=tmp_path.as_uri())["isDirectory"]
    Path(gate).write_text("\n")
    assert all(client.result(request_id)["chunks"] for request_id in waiting)


@pytest.mark.parametrize("late", [False, True])
def test_ten_thousand_requests_before_the_first_reply_is_read(executor: Executor, late: bool) -> None:
    with executor.client(receive_buffer=4096 if late else None) as client:
        client.start("p", "true")
        client.wait_for("process/closed", "p")
        calls = [
            {"id": number, "method": "process/read", "params": {"processId": "p"}}
            if number % 3
            else {"id": number, "method": f"unknown/{number}"}
            for number in range(10_000)
        ]
        socket_of(client).sendall(b"".join(frame(TEXT, json.dumps(call).encode()) for call in calls))
        replies = [client.receive() for _ in calls]
        assert [reply["id"] for reply in replies] == list(range(10_000))
        assert all(("error" in reply) == (reply["id"] % 3 == 0) for reply in replies)


def test_big_and_small_replies_to_a_late_reader_are_whole(executor: Executor, tmp_path: Path) -> None:
    data = os.urandom(MIB)
    (tmp_path / "big").write_bytes(data)
    with executor.client(receive_buffer=4096) as client:
        client.start("p", "sh", "-c", "yes abcdefgh | head -c 9000000")
        big, small = [], []
        for _ in range(20):
            big.append(client.post("fs/readFile", path=(tmp_path / "big").as_uri()))
            small += [client.post("environment/status") for _ in range(20)]
        for request_id in small:
            assert client.result(request_id) == {"status": "ready"}
        assert len({client.result(request_id)["dataBase64"] for request_id in big}) == 1
        client.wait_for("process/closed", "p")
        assert client.output("p", "stdout") == b"abcdefgh\n" * 1_000_000


def fill(connection: socket.socket, data: bytes, rounds: int) -> int:
    """Sends as long as the other side takes it within a second; returns how often."""
    for count in range(rounds):
        at = 0
        while at < len(data):
            if not select.select([], [connection], [], 1.0)[1]:
                return count
            at += connection.send(data[at : at + 65536], socket.MSG_DONTWAIT)
    return rounds


def test_a_client_that_never_reads_is_held_back_and_costs_no_other(
    executor: Executor, client: Client
) -> None:
    with executor.client(receive_buffer=4096) as deaf:
        deaf.start("p", "sh", "-c", "head -c 1000000 /dev/zero")
        deaf.wait_for("process/closed", "p")
        forget_peak(executor.pid)
        before = resident_bytes(executor.pid)
        # Each request is answered with 1.3 MB.
        requests = frame(TEXT, b'{"id":1,"method":"process/read","params":{"processId":"p"}}') * 1000
        took = fill(socket_of(deaf), requests, 200)
        assert took < 200, "it was never held back"
        assert client.call("environment/status") == {"status": "ready"}
        assert peak_resident_bytes(executor.pid) - before < 96 * MIB


def test_output_for_a_client_that_never_reads_waits_in_the_process(
    executor: Executor, client: Client
) -> None:
    with executor.client(receive_buffer=4096) as deaf:
        forget_peak(executor.pid)
        before = resident_bytes(executor.pid)
        deaf.start("p", "sh", "-c", "echo $$; head -c 1000000000 /dev/zero")
        deaf.start("later", "sh", "-c", "head -c 500000000 /dev/zero")
        pid = int(deaf.wait_for_output("p", b"\n").split(b"\n")[0])
        writer = Watched(pid)
        # This one pushes as much through the executor meanwhile.
        assert len(client.run("q", "sh", "-c", "head -c 50000000 /dev/zero")[1]) == 50_000_000
        assert not writer.has_ended()
        writer.close()
        assert peak_resident_bytes(executor.pid) - before < 96 * MIB


@pytest.mark.parametrize("what", ["ping", "error", "notification"])
def test_a_flood_that_is_answered_is_bounded(executor: Executor, client: Client, what: str) -> None:
    floods = {
        "ping": frame(9, b"x" * 125),
        "error": frame(TEXT, b"{bad"),
        "notification": frame(TEXT, b'{"method":"nope"}'),
    }
    with executor.client(receive_buffer=4096) as deaf:
        forget_peak(executor.pid)
        before = resident_bytes(executor.pid)
        block = floods[what] * 2000
        fill(socket_of(deaf), block, 100_000_000 // len(block))
        assert client.call("environment/status") == {"status": "ready"}
        assert peak_resident_bytes(executor.pid) - before < 96 * MIB


def test_a_ping_is_answered_even_to_a_client_that_reads_late(executor: Executor) -> None:
    with executor.client(receive_buffer=4096) as late:
        assert isinstance(late.channel, WebSocket)
        late.start("p", "sh", "-c", "head -c 3000000 /dev/zero")
        block = frame(9, b"x" * 125) * 2000
        fill(late.channel.socket, block, 20)
        late.channel.send_frame(9, b"the last")
        while True:
            found = late.channel.receive_frame()
            assert found is not None
            if (found.opcode, found.payload) == (10, b"the last"):
                break


def test_a_client_that_leaves_before_its_replies_is_not_worth_a_word(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MIB))
    with Executor() as executor:
        for _ in range(5):
            client = executor.new_client(receive_buffer=4096)
            client.handshake()
            client.start("p", "cat", "/dev/zero")
            client.wait_for("process/output", "p")
            for _ in range(100):
                client.post("fs/readFile", path=(tmp_path / "file").as_uri())
            # Gone with a reset, not with a word.
            socket_of(client).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.channel.close()
        # The block's end finds stderr empty.


def test_a_hundred_connections_come_and_go(executor: Executor) -> None:
    before = holdings(executor.pid)
    clients = [executor.new_client() for _ in range(100)]
    for number, client in enumerate(clients):
        client.handshake()
        client.start("p", "sh", "-c", "sleep 1000 & echo $$; wait")
        if number % 2:
            client.wait_for_output("p", b"\n")
    for client in clients:
        client.channel.close()
    executor.until_holds(before)


def test_connections_that_say_nothing_are_dropped(executor: Executor) -> None:
    host, port = executor.url.removeprefix("ws://").split(":")
    with socket.create_connection((host, int(port)), SECONDS) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert silent.recv(1000) == b""


def test_a_request_head_without_end_is_dropped(executor: Executor, client: Client) -> None:
    host, port = executor.url.removeprefix("ws://").split(":")
    before = resident_bytes(executor.pid)
    forget_peak(executor.pid)
    with socket.create_connection((host, int(port)), SECONDS) as endless:
        try:
            endless.sendall(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000_000)
        except ConnectionError:
            pass
        else:
            assert endless.recv(1000) == b""
    assert peak_resident_bytes(executor.pid) - before < 16 * MIB
    assert client.call("environment/status") == {"status": "ready"}
