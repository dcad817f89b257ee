"""Sessions that outlive their connection: a real executor, real sockets, real processes."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.intents import at, intent
from tests.support.launch import ROOT, Executor
from tests.support.returning import Returning
from tests.support.trouble import start_stubborn
from tests.support.watch import SECONDS, Watched, until
from tests.support.wire import CLOSE, Client, ReplyError, WebSocket, frame

MIB = 1024 * 1024
COUNT = "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); sleep 0.001; done; read x; echo got $x; exit 3"
COUNTED = b"".join(b"%d\n" % number for number in range(500))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals")


@pytest.fixture
def returning(executor: Executor) -> Iterator[Returning]:
    one = Returning(executor)
    yield one
    one.close()


def refused(executor: Executor, **params: Any) -> ReplyError:
    """Returns the error of a handshake with these parameters."""
    with executor.new_client() as client:
        return client.error("initialize", clientName="tests", **params)


@pytest.mark.parametrize("acknowledges", [True, False])
@pytest.mark.parametrize("reset", [True, False], ids=["rst", "fin"])
def test_a_process_goes_on_through_many_cuts(executor: Executor, reset: bool, acknowledges: bool) -> None:
    one = Returning(executor, acknowledges=acknowledges)
    one.client.start("p", "sh", "-c", COUNT, pipeStdin=True)
    for number in (20, 100, 180, 260, 340):
        one.until("p", b"\n%d\n" % number)
        one.cut(reset)
        one.resume()
        assert one.resumed["sessionId"] == one.session_id
        one.catch_up("p", max_bytes=100)
        if acknowledges:
            one.acknowledge("p")
    assert one.write("p", b"word\n") == "accepted"
    assert one.finish("p") == COUNTED + b"got word\n"
    assert one.client.call("process/read", processId="p")["exitCode"] == 3
    one.close()


def test_all_that_happened_meanwhile_can_be_read(returning: Returning) -> None:
    returning.client.start("p", "sh", "-c", "read x; echo out; echo err >&2; exit 7", pipeStdin=True)
    returning.write("p", b"\n")
    returning.cut()
    returning.resume()
    returning.client.call("environment/status")
    until(
        lambda: bool(returning.catch_up("p")["closed"]),
        lambda: f"only {returning.output('p')!r} has come",
    )
    read = returning.client.call("process/read", processId="p")
    assert (read["exited"], read["exitCode"], read["closed"]) == (True, 7, True)
    assert sorted(chunk["stream"] for chunk in read["chunks"]) == ["stderr", "stdout"]
    # The id stays taken.
    with pytest.raises(ReplyError, match="already exists"):
        returning.client.start("p", "true")


def test_a_session_belongs_to_one_connection_at_a_time(executor: Executor, returning: Returning) -> None:
    with executor.new_client() as other:
        error = other.error("initialize", clientName="tests", resumeSessionId=returning.session_id)
        assert (error.code, returning.session_id in error.message) == (-32010, True)
        # A refusal is no handshake: the same connection may try again, or take a new session.
        assert other.error("environment/status").code == -32600
        returning.cut()

        def is_resumed() -> bool:
            try:
                other.handshake(resumeSessionId=returning.session_id)
            except ReplyError as error:
                assert error.code == -32010
                return False
            return True

        until(is_resumed, lambda: "the session stays attached to a connection that is cut")
        assert other.call("environment/status") == {"status": "ready"}
        assert refused(executor, resumeSessionId=returning.session_id).code == -32010


def test_of_several_that_come_at_once_one_has_the_session(executor: Executor, returning: Returning) -> None:
    for _ in range(20):
        returning.cut()
        clients = [executor.new_client() for _ in range(3)]
        barrier = threading.Barrier(3)
        winners: list[Client] = []
        codes: list[int] = []

        def come(
            client: Client,
            barrier: threading.Barrier = barrier,
            winners: list[Client] = winners,
            codes: list[int] = codes,
        ) -> None:
            barrier.wait()
            is_decided = False
            while not is_decided:
                is_decided = bool(winners)
                try:
                    client.handshake(resumeSessionId=returning.session_id)
                except ReplyError as error:
                    codes.append(error.code)
                else:
                    winners.append(client)
                    return

        threads = [threading.Thread(target=come, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert len(winners) == 1
        assert set(codes) == {-32010}
        assert winners[0].call("environment/status") == {"status": "ready"}
        for client in clients:
            if client is not winners[0]:
                client.channel.close()
        returning.client = winners[0]


def test_a_client_that_comes_and_goes_a_thousand_times(executor: Executor) -> None:
    one = Returning(executor)
    one.client.start("p", "cat", pipeStdin=True)
    expected = b""
    for number in range(1000):
        one.cut(reset=bool(number % 2))
        one.resume()
        if not number % 100:
            # What a cut called off left nothing behind; each of these waits when the next cut comes.
            one.client.post("process/read", processId="p", afterSeq=10**6, waitMs=600_000)
            line = b"%d\n" % number
            assert one.write("p", line) == "accepted"
            expected += line
            one.catch_up("p")
            one.until("p", line)
    assert one.client.call("process/closeStdin", processId="p") == {"status": "accepted"}
    assert one.finish("p") == expected
    one.close()


def test_a_write_is_delivered_once_however_often_it_is_sent(returning: Returning) -> None:
    returning.client.start("p", "cat", pipeStdin=True)
    for number in range(10):
        data = b"%d\n" % number
        assert returning.client.write("p", data, f"w{number}") == "accepted"
        returning.cut()
        returning.resume()
        for earlier in range(number + 1):
            assert returning.client.write("p", b"%d\n" % earlier, f"w{earlier}") == "accepted"
    returning.client.call("process/closeStdin", processId="p")
    assert returning.finish("p") == b"".join(b"%d\n" % number for number in range(10))


def test_a_read_in_flight_ends_with_its_connection_only(returning: Returning) -> None:
    returning.client.start("p", "sh", "-c", "read x; echo $x; read x; echo $x", pipeStdin=True)
    for _ in range(100):
        returning.client.post("process/read", processId="p", waitMs=600_000)
    returning.cut()
    returning.resume()
    waiting = returning.client.post("process/read", processId="p", waitMs=600_000)
    returning.write("p", b"one\n")
    assert returning.client.result(waiting)["chunks"][0]["seq"] == 1
    returning.cut()
    returning.resume()
    returning.write("p", b"two\n")
    assert returning.finish("p") == b"one\ntwo\n"


def close_with(code: int | None) -> Any:
    def close(client: Client) -> None:
        assert isinstance(client.channel, WebSocket)
        client.channel.send_frame(CLOSE, b"" if code is None else code.to_bytes(2, "big"))
        while client.channel.receive_frame() is not None:
            pass
        client.channel.cut()

    return close


@pytest.mark.parametrize("code", [1001, 1011, 4000, None])
def test_only_code_1000_says_that_the_session_is_not_needed(executor: Executor, code: int | None) -> None:
    one = Returning(executor)
    one.client.start("p", "sh", "-c", "echo $$; read x; echo $x", pipeStdin=True)
    one.until("p", b"\n")
    close_with(code)(one.client)
    one.resume()
    one.write("p", b"on\n")
    assert one.finish("p").endswith(b"\non\n")
    one.client.start("q", "sh", "-c", "echo $$; read x", pipeStdin=True)
    one.until("q", b"\n")
    watched = Watched(int(one.output("q")))
    close_with(1000)(one.client)
    assert refused(executor, resumeSessionId=one.session_id).code == -32600
    assert watched.has_ended(within=SECONDS)
    watched.close()


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(None, 30_000), (0, 0), (1, 1), (30_000, 30_000), (30_001, 30_000), (10**30, 30_000)],
)
def test_a_client_is_told_what_retention_it_gets(executor: Executor, asked: int | None, granted: int) -> None:
    one = Returning(executor, retentionMs=asked)
    assert one.resumed["sessionRetentionMs"] == granted
    one.close()


@pytest.mark.parametrize("bad", [-1, -(10**30), 1.5, "30", True, []])
def test_a_retention_that_is_no_duration_is_refused(executor: Executor, bad: Any) -> None:
    with executor.new_client() as client:
        error = client.error("initialize", clientName="tests", retentionMs=bad)
        assert (error.code, "retentionMs" in error.message) == (-32602, True)
        client.handshake()


@pytest.mark.parametrize("bad", ["", "nope", "\0", "x" * 1_000_000, "00000000-0000-4000-8000-000000000000"])
def test_the_id_of_no_session_is_refused(executor: Executor, bad: str) -> None:
    error = refused(executor, resumeSessionId=bad)
    assert error.code == -32600
    assert len(error.message) < 300


@pytest.mark.parametrize("what", ["asked", "option"])
def test_without_retention_a_cut_ends_all(what: str) -> None:
    options = ("--session-retention-seconds", "0") if what == "option" else ()
    params = {"retentionMs": 0} if what == "asked" else {}
    with Executor(*options) as executor:
        one = Returning(executor, **params)
        assert one.resumed["sessionRetentionMs"] == 0
        watched = start_stubborn(one.client)
        one.cut()
        for each in watched:
            assert each.has_ended(within=SECONDS)
            each.close()
        assert refused(executor, resumeSessionId=one.session_id).code == -32600


@pytest.mark.parametrize("bad", ["-1", "inf", "nan", "x", ""])
def test_an_option_that_is_no_duration_is_wrong_usage(bad: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "executors", f"--session-retention-seconds={bad}"],
        capture_output=True,
        cwd=ROOT,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert b"--session-retention-seconds" in done.stderr


def test_of_an_expired_session_nothing_is_left(executor: Executor, tmp_path: Path) -> None:
    with executor.client() as witness:
        before = executor.usual_holdings(witness)
        one = Returning(executor, retentionMs=300)
        watched = start_stubborn(one.client)
        sandbox = intent(at("file:///", "read"), at(tmp_path.as_uri(), "write"))
        if witness.call("environment/info")["capabilities"]["sandbox"]:
            one.client.start("confined", "sh", "-c", "echo $$; read x", pipeStdin=True, sandbox=sandbox)
            one.until("confined", b"\n")
            watched.append(Watched(int(one.output("confined"))))
        one.client.start("tty", "sh", "-c", "stty -echo; echo $$; cat", tty=True)
        one.client.start("waits", "sh", "-c", "sleep 1000", pipeStdin=True)
        # Not answered: it waits for room.
        chunk = base64.b64encode(bytes(3 * MIB)).decode()
        one.client.post("process/write", processId="waits", chunk=chunk, writeId="w")
        one.client.call("fs/open", handleId="h", path=Path(__file__).as_uri())
        one.cut()
        for each in watched:
            assert each.has_ended(within=SECONDS)
            each.close()
        executor.until_holds(before)
        assert refused(executor, resumeSessionId=one.session_id).code == -32600


def test_files_belong_to_the_connection(returning: Returning) -> None:
    path = Path(__file__).as_uri()
    returning.client.call("fs/open", handleId="h", path=path)
    returning.cut()
    returning.resume()
    assert returning.client.error("fs/readBlock", handleId="h", offset=0, len=1).code == -32004
    returning.client.call("fs/open", handleId="h", path=path)
    assert returning.client.call("fs/readBlock", handleId="h", offset=0, len=1)["chunk"]


def test_a_file_that_was_being_replaced_keeps_its_content(returning: Returning, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    returning.client.call("fs/open", handleId="h", path=path.as_uri(), mode="replace")
    returning.client.call("fs/writeBlock", handleId="h", offset=0, chunk="bmV3")
    returning.cut()
    returning.resume()
    until(lambda: os.listdir(tmp_path) == ["file"], lambda: f"there is {os.listdir(tmp_path)}")
    assert path.read_text() == "old"


def test_the_end_of_the_executor_ends_those_that_wait() -> None:
    with Executor() as executor:
        watched = []
        for _ in range(3):
            one = Returning(executor)
            watched += start_stubborn(one.client)
            one.cut()
        until(
            lambda: refused(executor, resumeSessionId=one.session_id, retentionMs=-1).code == -32602,
            lambda: "it is gone",
        )
        executor.process.send_signal(signal.SIGTERM)
        assert executor.process.wait(SECONDS) == 0
        for each in watched:
            assert each.has_ended()
            each.close()


def test_a_silent_connection_is_given_up_and_its_session_can_be_resumed() -> None:
    # The blocking client that comes back answers none either while it does something else.
    with Executor("--ping-seconds", "2") as executor:
        one = Returning(executor)
        one.client.start("p", "sh", "-c", "read x; echo $x", pipeStdin=True)
        silent = one.client
        # It is not closed and answers no ping.
        one.resume()
        one.write("p", b"on\n")
        assert one.finish("p") == b"on\n"
        # What it says comes too late.
        assert isinstance(silent.channel, WebSocket)
        try:
            silent.notify("process/acknowledge", processId="p", seq=1)
            silent.post("process/terminate", processId="p")
        except OSError:
            pass
        silent.channel.cut()
        assert one.client.call("process/read", processId="p")["exitCode"] == 0
        one.close()


def test_what_was_sent_before_a_cut_is_done_or_not_but_never_half(executor: Executor) -> None:
    one = Returning(executor)
    one.client.start("p", "cat", pipeStdin=True)
    assert isinstance(one.client.channel, WebSocket)
    whole = b'{"id":1,"method":"process/write","params":{"processId":"p","chunk":"YWJj","writeId":"x"}}'
    sent = frame(1, whole)
    for size in range(0, len(sent) + 1, 7):
        one.client.channel.socket.sendall(sent[:size])
        one.cut()
        one.resume()
        assert isinstance(one.client.channel, WebSocket)
    assert one.client.write("p", b"abc", "x") == "accepted"
    one.client.call("process/closeStdin", processId="p")
    assert one.finish("p") == b"abc"
    one.close()
