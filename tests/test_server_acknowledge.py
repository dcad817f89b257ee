"""What is held for a client that has not said that it has it: as much as it takes, and no more."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.launch import Executor
from tests.support.returning import Returning
from tests.support.watch import forget_peak, holdings, peak_resident_bytes, until
from tests.support.wire import Client, ReplyError

MIB = 1024 * 1024
WINDOW = 4 * MIB
# Of what is read at a time, and what fits a pipe.
SLACK = MIB
MUCH = 24 * MIB
TALK = f"import os\nfor n in range({MUCH // 65536}): os.write(1, (b'%015d\\n' % n) * 4096)"
SHA = hashlib.sha256(b"".join((b"%015d\n" % n) * 4096 for n in range(MUCH // 65536))).hexdigest()

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


def talk(client: Client, process_id: str) -> None:
    client.start(process_id, sys.executable, "-c", f"print(__import__('os').getpid(), flush=True)\n{TALK}")


def pid_of(one: Returning, process_id: str) -> int:
    one.until(process_id, b"\n")
    return int(one.output(process_id).split(b"\n")[0])


def written(pid: int) -> int:
    """Returns how many bytes a process has written."""
    return int(Path(f"/proc/{pid}/io").read_text().split("wchar: ")[1].split()[0])


def sha(one: Returning, process_id: str) -> str:
    """Of all that the process has said after its number."""
    return hashlib.sha256(one.output(process_id).partition(b"\n")[2]).hexdigest()


@pytest.fixture
def acknowledging(executor: Executor) -> Iterator[Returning]:
    one = Returning(executor, acknowledges=True)
    yield one
    one.close()


def has_written(pid: int, goal: int) -> bool:
    """Whether it has written so many bytes, or waits until somebody reads them."""
    return written(pid) > goal or is_blocked(pid)


def is_blocked(pid: int) -> bool:
    """Whether it sleeps in the kernel until somebody reads a pipe."""
    return "pipe" in Path(f"/proc/{pid}/wchan").read_text()


@pytest.mark.parametrize("acknowledges", [True, False])
def test_nothing_is_lost_while_nobody_is_there_and_memory_is_bounded(
    acknowledges: bool, tmp_path: Path
) -> None:
    with Executor() as executor:
        check_detached(executor, acknowledges, tmp_path)


def check_detached(executor: Executor, acknowledges: bool, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    one = Returning(executor, acknowledges=acknowledges)
    forget_peak(executor.pid)
    before = peak_resident_bytes(executor.pid)
    one.client.start(
        "p",
        sys.executable,
        "-c",
        f"import os; os.write(1, b'%d\\n' % os.getpid()); open({str(go)!r}).close()\n{TALK}",
    )
    pid = pid_of(one, "p")
    if acknowledges:
        one.acknowledge("p")
    connected = holdings(executor.pid).fds
    one.cut()
    until(lambda: holdings(executor.pid).fds < connected, lambda: "the cut is not noticed")
    go.write_bytes(b"")
    # It writes until nobody takes any more.
    until(lambda: written(pid) > WINDOW and is_blocked(pid), lambda: f"it has written {written(pid)} bytes")
    assert written(pid) < WINDOW + 2 * SLACK
    assert peak_resident_bytes(executor.pid) - before < 4 * WINDOW
    one.resume()
    one.catch_up("p", max_bytes=MIB)
    if acknowledges:
        one.acknowledge("p")
        one.finish_with_acknowledgements("p")
    one.finish("p")
    assert sha(one, "p") == SHA
    one.close()


def test_a_process_waits_for_a_client_that_acknowledges_nothing(acknowledging: Returning) -> None:
    one = acknowledging
    one.client.start("quiet", "sh", "-c", "while read x; do echo $x; done", pipeStdin=True)
    talk(one.client, "p")
    pid = pid_of(one, "p")
    while len(one.output("p")) < WINDOW - SLACK:
        one.client.step()
    until(lambda: is_blocked(pid), lambda: "it goes on")
    for _ in range(200):
        one.client.call("environment/status")
    assert WINDOW - SLACK < len(one.output("p")) < WINDOW + SLACK
    # Others go on.
    assert one.write("quiet", b"still here\n") == "accepted"
    one.until("quiet", b"still here\n")
    one.finish_with_acknowledgements("p")
    assert sha(one, "p") == SHA


def test_what_was_on_its_way_when_the_connection_was_cut_is_not_lost(acknowledging: Returning) -> None:
    one = acknowledging
    talk(one.client, "p")
    pid = pid_of(one, "p")
    for number in range(3):
        # All that was sent and not read is gone with the connection.
        goal = len(one.output("p")) + MIB
        until(partial(has_written, pid, goal), lambda: "it neither writes nor waits")
        one.cut(reset=bool(number % 2))
        one.resume()
        one.catch_up("p", max_bytes=MIB)
        one.acknowledge("p")
    one.finish_with_acknowledgements("p")
    assert sha(one, "p") == SHA


@pytest.mark.parametrize(
    "params",
    [
        {"processId": "p", "seq": 10**18},
        {"processId": "p", "seq": -1},
        {"processId": "p", "seq": -(10**18)},
        {"processId": "p", "seq": 0},
        {"processId": "nobody", "seq": 1},
        {"processId": "", "seq": 1},
    ],
)
def test_an_acknowledgement_that_says_nothing_new_changes_nothing(
    executor: Executor, params: dict[str, Any]
) -> None:
    one = Returning(executor, acknowledges=True)
    one.client.notify("process/acknowledge", **params)
    one.client.start("p", "sh", "-c", "echo one; read x; head -c 3000000 /dev/zero; read x", pipeStdin=True)
    one.client.notify("process/acknowledge", **params)
    one.until("p", b"one\n")
    one.client.notify("process/acknowledge", **params)
    one.write("p", b"\n")
    one.cut()
    one.resume()
    until(
        lambda: one.catch_up("p")["nextSeq"] > 0 and len(one.output("p")) == 3_000_004,
        lambda: f"{len(one.output('p'))} bytes have come",
    )
    # What was not acknowledged by a number that had been given can still be read from the start.
    first = one.client.call("process/read", processId="p")["chunks"][0]["seq"]
    assert first == 1 or params["seq"] == 10**18
    one.close()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"processId": "p"},
        {"processId": 1, "seq": 1},
        {"processId": "p", "seq": "1"},
        {"processId": "p", "seq": 1.5},
    ],
)
def test_a_malformed_acknowledgement_is_answered_and_the_connection_stays(
    client: Client, params: dict[str, Any]
) -> None:
    error = client.answer({"method": "process/acknowledge", "params": params})
    assert (error["id"], error["error"]["code"]) == (-1, -32602)
    assert client.call("environment/status") == {"status": "ready"}


def test_nothing_is_acknowledged_before_the_handshake(executor: Executor) -> None:
    with executor.new_client() as client:
        error = client.answer({"method": "process/acknowledge", "params": {"processId": "p", "seq": 1}})
        assert (error["id"], error["error"]["code"]) == (-1, -32600)
        client.handshake()
    with executor.client() as client:
        error = client.answer(
            {"id": 7, "method": "process/acknowledge", "params": {"processId": "p", "seq": 1}}
        )
        assert (error["id"], error["error"]["code"]) == (7, -32601)


def test_one_that_does_not_acknowledge_may_send_acknowledgements(executor: Executor) -> None:
    one = Returning(executor)
    talk(one.client, "p")
    one.until("p", b"\n")
    one.acknowledge("p")
    assert one.finish("p")
    assert sha(one, "p") == SHA
    one.close()


def test_the_end_of_many_processes_waits_for_the_client(executor: Executor) -> None:
    count = 1200
    one = Returning(executor, acknowledges=True)
    script = "read x; echo $x"
    for number in range(count):
        one.client.start(f"p{number}", "sh", "-c", script, pipeStdin=True)
    for number in range(count):
        one.write(f"p{number}", b"%d\n" % number)
    one.cut()
    one.resume()
    for number in range(count):
        assert one.finish(f"p{number}") == b"%d\n" % number
        one.acknowledge(f"p{number}")
    # Once the client knows, the oldest are forgotten.
    with pytest.raises(ReplyError, match="unknown process"):
        one.client.call("process/read", processId="p0")
    one.client.call("process/read", processId=f"p{count - 1}")
    one.close()
