"""An executor whose client is at the other end of its standard streams."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from typing import IO

import pytest

from tests.support.launch import ROOT, Executor
from tests.support.trouble import clog, start_stubborn
from tests.support.watch import SECONDS, Watched, forget_peak, peak_resident_bytes, resident_bytes, until

MIB = 1024 * 1024
INITIALIZE = b'{"id":1,"method":"initialize","params":{"clientName":"x"}}\n'


@pytest.fixture
def stdio() -> Iterator[Executor]:
    with Executor(listen="stdio") as executor:
        yield executor


def send(executor: Executor, data: bytes) -> None:
    executor.stdin.write(data)
    executor.stdin.flush()


def reply(executor: Executor) -> dict[str, object]:
    line = executor.stdout.readline()
    assert line.endswith(b"\n")
    found: dict[str, object] = json.loads(line)
    return found


@pytest.mark.parametrize("listen", ["stdio", "stdio://"])
def test_one_message_a_line_and_nothing_else_on_stdout(listen: str) -> None:
    with Executor(listen=listen) as executor:
        send(executor, INITIALIZE)
        assert reply(executor)["id"] == 1
        send(executor, b'{"method":"initialized"}\n{"id":2,"method":"environment/status"}\n')
        assert reply(executor) == {"id": 2, "result": {"status": "ready"}}


def test_framing(stdio: Executor) -> None:
    send(stdio, b"\n \r\n\t\n" + INITIALIZE.replace(b"\n", b"\r\n") + b'{"method":"initialized"}\r\n')
    assert reply(stdio)["id"] == 1
    for byte in b'  {"id":2,"method":"environment/status"}  \r\n':
        send(stdio, bytes([byte]))
    assert reply(stdio)["id"] == 2
    send(stdio, b"".join(b'{"id":%d,"method":"environment/status"}\n' % number for number in range(3, 1000)))
    assert [reply(stdio)["id"] for _ in range(3, 1000)] == list(range(3, 1000))


def test_garbage_is_answered_line_by_line(stdio: Executor) -> None:
    with stdio.new_client() as client:
        client.handshake()
        for garbage in (
            b"{bad",
            b"\xff\xfe",
            b"Content-Length: 5",
            b'{"id":1}{"id":2}',
            b"\0" * 100,
            b"[" * 100_000,
        ):
            found = client.answer(garbage)
            assert (found["id"], found["error"]["code"]) == (-1, -32600)
        assert client.answer({"method": "nope"})["id"] == -1
        assert client.run("p", "echo", "hi") == (0, b"hi\n", b"")


def test_processes_and_big_lines(stdio: Executor) -> None:
    with stdio.new_client() as client:
        client.handshake()
        client.start("p", "sh", "-c", "wc -c", pipeStdin=True)
        assert client.write("p", b"x" * 20 * MIB) == "accepted"
        client.call("process/closeStdin", processId="p")
        client.wait_for("process/closed", "p")
        assert int(client.output("p", "stdout")) == 20 * MIB
        assert client.run("q", "sh", "-c", "head -c 5000000 /dev/zero")[1] == bytes(5_000_000)


@pytest.mark.parametrize("ended", [True, False])
def test_a_line_over_the_limit_ends_it_with_a_reason(ended: bool) -> None:
    with Executor("--max-message-bytes", "1000", listen="stdio") as executor:
        send(executor, INITIALIZE)
        reply(executor)
        send(executor, b'{"x":"' + b"y" * 1000 + (b'"}\n' if ended else b""))
        assert executor.stdout.read() == b""
        assert executor.process.wait(SECONDS) == 0
        executor.expect_errors("line of more than 1000 bytes")


def test_a_line_at_the_limit_is_taken() -> None:
    with Executor("--max-message-bytes", "1000", listen="stdio") as executor:
        send(executor, INITIALIZE[:-2].ljust(999, b" ") + b"}\n")
        assert reply(executor)["id"] == 1


def run_to_the_end(text: bytes) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-m", "executors", "--listen", "stdio"],
        input=text,
        capture_output=True,
        cwd=ROOT,
        timeout=SECONDS,
        check=True,
    )
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("round_", range(5))
def test_what_was_answered_before_the_end_of_input_is_written(round_: int) -> None:
    text = INITIALIZE + b'{"method":"initialized"}\n' + b'{"id":2,"method":"environment/status"}\n' * 500
    found = run_to_the_end(text + b'{"id":3,"method":"environment/status"}')
    # The last line has no end: it is no message.
    assert [one["id"] for one in found] == [1] + [2] * 500


def test_the_end_of_input_calls_off_what_waits_and_kills() -> None:
    calls = [
        {"method": "initialized"},
        {
            "id": 2,
            "method": "process/start",
            "params": {
                "processId": "p",
                "argv": ["/bin/sh", "-c", "trap '' HUP TERM; sleep 1000 & wait"],
                "cwd": "file:///",
                "env": {},
                "tty": False,
            },
        },
        *(
            {"id": number, "method": "process/read", "params": {"processId": "p", "waitMs": 600_000}}
            for number in range(3, 50)
        ),
    ]
    found = run_to_the_end(INITIALIZE + b"".join(json.dumps(call).encode() + b"\n" for call in calls))
    assert [one["id"] for one in found] == [1, 2]


def unread(pipe: IO[bytes]) -> int:
    """Returns how many bytes wait in *pipe*."""
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("end", ["eof", "SIGTERM", "SIGINT", "reader gone"])
@pytest.mark.parametrize("deaf", [False, True])
def test_every_end_leaves_nothing(end: str, deaf: bool) -> None:
    with Executor(listen="stdio") as executor:
        client = executor.new_client()
        client.handshake()
        watched = start_stubborn(client)
        before = resident_bytes(executor.pid)
        if deaf:
            clog(client)
            # With 16 MiB of replies unread it takes no more calls; their end must be seen all the same.
            until(lambda: resident_bytes(executor.pid) - before > 16 * MIB, lambda: "replies pile up")
            for _ in range(3):
                send(executor, b"{}\n")
                until(lambda: unread(executor.stdin) == 0, lambda: "what was sent is read")
        if end == "eof":
            executor.stdin.close()
        elif end == "reader gone":
            executor.stdout.close()
            executor.stdin.write(b"{}\n")
            executor.stdin.flush()
        else:
            executor.process.send_signal(signal.Signals[end])
        # The descriptors stay open meanwhile, and nobody reads.
        assert executor.process.wait(SECONDS) == 0
        assert all(one.has_ended() for one in watched)
        for one in watched:
            one.close()
        if end.startswith("SIG"):
            executor.expect_errors("the executor is shutting down")


def test_reading_does_not_run_ahead_of_answering(stdio: Executor) -> None:
    client = stdio.new_client()
    client.handshake()
    forget_peak(stdio.pid)
    before = resident_bytes(stdio.pid)
    sizes: list[int] = []
    reader = threading.Thread(
        target=lambda: sizes.append(sum(map(len, iter(lambda: stdio.stdout.read(MIB), b""))))
    )
    reader.start()
    for _ in range(100):
        send(stdio, b'{"id":1,"method":"nope"}\n' * 10_000)
    peak = peak_resident_bytes(stdio.pid)
    stdio.stdin.close()
    reader.join()
    assert peak - before < 48 * MIB
    assert sizes[0] > 0


def test_output_that_nobody_reads_waits_in_the_process(stdio: Executor) -> None:
    client = stdio.new_client()
    client.handshake()
    forget_peak(stdio.pid)
    before = resident_bytes(stdio.pid)
    client.start("p", "sh", "-c", "echo $$; head -c 1000000000 /dev/zero")
    writer = Watched(int(client.wait_for_output("p", b"\n").split(b"\n")[0]))
    assert not writer.has_ended(within=1.0)
    assert peak_resident_bytes(stdio.pid) - before < 64 * MIB
    writer.close()
    stdio.stdin.close()


def test_what_is_printed_by_chance_does_not_get_between_messages() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['x', '--listen', 'stdio']\n"
        "from executors import command as program\n"
        "from executors.server.connection import Connection\n"
        "real = Connection.message_received\n"
        "def chatty(self, data):\n"
        "    print('by chance')\n"
        "    real(self, data)\n"
        "Connection.message_received = chatty\n"
        "sys.exit(program.main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=INITIALIZE,
        capture_output=True,
        cwd=ROOT,
        timeout=SECONDS,
        check=True,
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1]
    assert b"by chance" in done.stderr
