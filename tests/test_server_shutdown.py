"""The ends of an executor: nothing that it started is left, whatever its clients do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.launch import ROOT, Executor
from tests.support.trouble import clog, start_stubborn
from tests.support.watch import SECONDS, Watched, holdings
from tests.support.wire import CLOSE, TEXT, Client, ReplyError, WebSocket, frame


def expect_end(executor: Executor, watched: list[Watched]) -> None:
    assert executor.process.wait(SECONDS) == 0
    assert all(one.has_ended() for one in watched)
    for one in watched:
        one.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_tells_the_clients(number: signal.Signals) -> None:
    with Executor() as executor, executor.client() as one, executor.client() as two:
        watched = start_stubborn(one) + start_stubborn(two)
        two.post("process/read", processId="p", afterSeq=9, waitMs=600_000)
        executor.process.send_signal(number)
        executor.process.send_signal(number)
        for client in (one, two):
            assert isinstance(client.channel, WebSocket)
            while (found := client.channel.receive_frame()) is not None and found.opcode != CLOSE:
                pass
            assert found is not None
            assert found.close_code == 1001
            assert "shutting down" in found.close_reason
        expect_end(executor, watched)


def never_reads(client: Client, other: Client) -> None:
    clog(client)
    # What is answered to another, twice, comes after the replies that are stuck.
    for _ in range(2):
        other.call("environment/status")


def sends_on(client: Client, other: Client) -> None:
    assert isinstance(client.channel, WebSocket)
    connection = client.channel.socket

    def send() -> None:
        block = frame(TEXT, b'{"id":1,"method":"environment/status"}') * 1000
        try:
            while True:
                connection.sendall(block)
        except OSError:
            return

    threading.Thread(target=send, daemon=True).start()
    client.wait_for("process/output", "p")


def is_half_open(client: Client, other: Client) -> None:
    assert isinstance(client.channel, WebSocket)
    client.channel.socket.sendall(frame(TEXT, b"x" * 1000)[:500])


def breaks_the_protocol(client: Client, other: Client) -> None:
    assert isinstance(client.channel, WebSocket)
    client.channel.socket.sendall(frame(3, b"x"))


@pytest.mark.parametrize("behaviour", [never_reads, sends_on, is_half_open, breaks_the_protocol])
def test_a_signal_ends_all_whatever_a_client_does(behaviour: Callable[[Client, Client], None]) -> None:
    with Executor() as executor, executor.client() as other:
        client = executor.new_client(receive_buffer=4096)
        client.handshake()
        watched = start_stubborn(client)
        behaviour(client, other)
        executor.process.send_signal(signal.SIGTERM)
        expect_end(executor, watched)
        client.channel.close()


def test_a_signal_during_a_handshake() -> None:
    with Executor() as executor:
        host, port = executor.url.removeprefix("ws://").split(":")
        with socket.create_connection((host, int(port))) as connection, executor.client() as client:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            watched = start_stubborn(client)
            executor.process.send_signal(signal.SIGTERM)
            expect_end(executor, watched)
            # Python may note that the half connection was left to the operating system.
            executor.expect_errors()


def test_the_executor_ends_with_its_parent() -> None:
    with Executor("--exit-with-parent") as executor, executor.client() as client:
        watched = start_stubborn(client)
        executor.stdin.write(b"anything\n")
        executor.stdin.flush()
        assert client.call("environment/status") == {"status": "ready"}
        executor.stdin.close()
        expect_end(executor, watched)


def test_without_the_option_stdin_means_nothing() -> None:
    with Executor() as executor:
        executor.stdin.close()
        with executor.client() as client:
            assert client.run("p", "true")[0] == 0


def run(*options: str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-W", "always", "-m", "executors", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=SECONDS,
        **how,
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "ws://localhost:0"], "ws://IP:PORT"),
        (["--listen", "tcp://127.0.0.1:1"], "ws://IP:PORT"),
        (["--listen", "stdio", "--exit-with-parent"], "--exit-with-parent"),
        (["--max-frame-bytes", "0"], "not positive"),
        (["--max-message-bytes", "x"], "--max-message-bytes"),
        (["--nope"], "--nope"),
    ],
)
def test_wrong_usage(options: list[str], says: str) -> None:
    done = run(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_taken(executor: Executor) -> None:
    done = run("--listen", executor.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert executor.url in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become someone else")
def test_a_directory_that_cannot_be_read_is_no_hindrance(tmp_path: Path) -> None:
    script = (
        "import os, asyncio\n"
        "os.mkdir('locked'); os.chdir('locked'); os.chmod('.', 0o111)\n"
        "from executors.process.posix import PosixBackend\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "async def main():\n"
        "    await PosixBackend(asyncio.get_running_loop()).close()\n"
        "    print('fine')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.stdout == "fine\n", done.stderr


def test_started_with_its_standard_streams_closed() -> None:
    script = f'exec "{sys.executable}" -m executors --listen ws://127.0.0.1:0 <&- 2>&-'
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    with process.stdout:
        url = process.stdout.readline().decode().strip()
        with Client(WebSocket(url)) as client:
            client.handshake()
            for number, how in enumerate(({}, {"pipeStdin": True}, {"tty": True})):
                code, out, err = client.run(str(number), "sh", "-c", "echo out; echo err >&2; exit 3", **how)
                assert code == 3
                assert (out.replace(b"\r", b"") + err) == b"out\nerr\n"
    process.terminate()
    assert process.wait(SECONDS) == 0


def test_what_the_executor_was_given_does_not_reach_processes() -> None:
    reader, writer = os.pipe()

    def be_a_bad_parent() -> None:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    with (
        Executor(pass_fds=(reader, writer), preexec_fn=be_a_bad_parent) as executor,
        executor.client() as client,
    ):
        _, out, _ = client.run("p", "sh", "-c", "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status")
        lines = out.decode().split()
        assert lines[:4] == ["0", "1", "2", "3"]
        masks = [int(line, 16) & ~(0b11 << 31) for line in lines if len(line) == 16]
        assert masks == [0, 0]
    os.close(reader)
    os.close(writer)


def test_descriptors_run_out_and_come_back() -> None:
    def few() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    with Executor(preexec_fn=few) as executor, executor.client() as client:
        before = holdings(executor.pid)
        watched: list[Watched] = []
        failed = 0
        for number in range(40):
            request = client.post(
                "process/start",
                processId=str(number),
                argv=["sh", "-c", "echo $$; sleep 1000 & wait"],
                cwd="file:///",
                env={"PATH": "/usr/bin:/bin"},
                tty=number % 2 == 0,
                pipeStdin=True,
            )
            try:
                client.result(request)
            except ReplyError as error:
                assert "Too many open files" in error.message
                failed += 1
            else:
                stream = "stdout" if number % 2 else "pty"
                watched.append(Watched(int(client.wait_for_output(str(number), b"\n", stream))))
        assert failed
        assert len(watched) > 5
        # No start that failed has left anything.
        assert len(holdings(executor.pid).children) == len(watched)
        for number in range(40):
            client.call("process/terminate", processId=str(number))
        assert all(one.has_ended() for one in watched)
        executor.until_holds(before)
        assert client.run("again", "true")[0] == 0
        for one in watched:
            one.close()
