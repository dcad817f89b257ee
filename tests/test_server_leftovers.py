"""What stays behind, comes back late, or comes all at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.launch import Executor
from tests.support.watch import SECONDS, Watched, forget_peak, peak_resident_bytes, resident_bytes
from tests.support.wire import Client

MIB = 1024 * 1024

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX sessions and terminals")


def test_what_a_forgotten_process_left_behind_is_still_ended(executor: Executor, client: Client) -> None:
    daemons = []
    for name in ("old", "older"):
        client.start(name, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!")
        daemons.append(Watched(int(client.wait_for_output(name, b"\n"))))
        client.wait_for("process/closed", name)
    for number in range(1030):
        client.start(f"n{number}", "true")
        client.wait_for("process/closed", f"n{number}")
    assert client.error("process/read", processId="old").code == -32600
    assert client.call("process/terminate", processId="old") == {"running": False}
    assert daemons[0].has_ended()
    assert not daemons[1].has_ended()
    client.channel.close()
    assert daemons[1].has_ended(within=SECONDS)
    for daemon in daemons:
        daemon.close()


def test_a_terminal_that_all_have_closed_can_be_opened_again(client: Client) -> None:
    # The first line is read on its own, so that nothing is left when the terminal is closed.
    client.start(
        "p", "sh", "-c", "echo up; read x; exec </dev/null >/dev/null 2>&1; echo back >/dev/tty", tty=True
    )
    client.wait_for_output("p", b"up", "pty")
    client.write("p", b"go\r")
    client.wait_for("process/closed", "p")
    assert client.output("p", "pty").endswith(b"back\r\n")


def test_files_that_are_asked_for_and_not_taken_wait_on_disk(executor: Executor, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MIB))
    with executor.client(receive_buffer=4096) as client:
        client.call("fs/open", handleId="h", path=path.as_uri())
        forget_peak(executor.pid)
        before = resident_bytes(executor.pid)
        # All are in the executor's receive buffer at once: 560 MB of replies.
        waiting = [client.post("fs/readBlock", handleId="h", offset=0, len=MIB) for _ in range(200)]
        waiting += [client.post("fs/readFile", path=path.as_uri()) for _ in range(200)]
        for request_id in waiting:
            result = client.result(request_id)
            assert len(result.get("chunk") or result["dataBase64"]) == 4 * (MIB // 3 + 1)
        assert peak_resident_bytes(executor.pid) - before < 256 * MIB


def test_very_many_reads_that_wake_at_once_cost_little(executor: Executor) -> None:
    with executor.client() as client:
        client.start("p", "sh", "-c", "read x; head -c 60000 /dev/zero; read x", pipeStdin=True)
        waiting = [client.post("process/read", processId="p", waitMs=600_000) for _ in range(2000)]
        client.call("environment/status")
        forget_peak(executor.pid)
        before = resident_bytes(executor.pid)
        client.write("p", b"go\n")
        for request_id in waiting:
            assert client.result(request_id)["chunks"]
        assert peak_resident_bytes(executor.pid) - before < 64 * 1024 * 1024
