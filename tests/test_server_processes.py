"""``process/*`` over the wire: events, reading again, writing once, the end of a session."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from tests.support.launch import Executor
from tests.support.recorder import fifo
from tests.support.watch import SECONDS, Watched
from tests.support.wire import Client, Json, ReplyError

MIB = 1024 * 1024


def chunks(result: Json) -> bytes:
    return b"".join(base64.b64decode(chunk["chunk"]) for chunk in result["chunks"])


def test_events_of_a_process(client: Client) -> None:
    started = client.start("p ü\n", "sh", "-c", "echo out; echo err >&2; exit 300")
    assert started == {"processId": "p ü\n", "sandboxType": "none"}
    client.wait_for("process/closed", "p ü\n")
    assert [event["seq"] for event in client.events] == list(range(1, len(client.events) + 1))
    *outputs, exited, closed = sorted(client.events, key=lambda event: event["method"] != "process/output")
    assert {(event["stream"], base64.b64decode(event["chunk"])) for event in outputs} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }
    assert all(set(event) == {"method", "processId", "seq", "stream", "chunk"} for event in outputs)
    assert exited == {
        "method": "process/exited",
        "processId": "p ü\n",
        "seq": exited["seq"],
        "exitCode": 44,
        "sandboxDenied": False,
    }
    assert closed == {"method": "process/closed", "processId": "p ü\n", "seq": len(client.events)}


@pytest.mark.parametrize("process_id", ["", "x" * 5000, "\0", '"\\', "😀", "../.."])
def test_any_text_is_a_process_id(client: Client, process_id: str) -> None:
    assert client.run(process_id, "echo", "hi") == (0, b"hi\n", b"")
    assert chunks(client.call("process/read", processId=process_id)) == b"hi\n"


def test_env_policy_builds_on_the_executors_environment() -> None:
    # With a locale, or else Python would choose one and export it.
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "HOME": "/h",
        "MY_TOKEN": "t",
        "OTHER": "o",
    }
    root = str(Path(__file__).resolve().parent.parent)
    with Executor(env=environment | {"PYTHONPATH": root}) as executor, executor.client() as client:

        def names(policy: Json | None, **env: str) -> dict[str, str]:
            text = client.run(str(len(client.events)), "/usr/bin/env", envPolicy=policy, env=env)[1].decode()
            return dict(line.split("=", 1) for line in text.splitlines())

        assert names(None, A="1") == {"A": "1"}
        assert names({"inherit": "none", "set": {"A": "1", "B": "2"}}, B="3") == {"A": "1", "B": "3"}
        assert names({"inherit": "core"}) == {name: environment[name] for name in ("PATH", "LC_ALL", "HOME")}
        assert names({}, OTHER="mine")["OTHER"] == "mine"
        assert "MY_TOKEN" not in names({})
        assert names({"ignoreDefaultExcludes": True})["MY_TOKEN"] == "t"


def test_read_pages_through_what_is_retained(client: Client) -> None:
    total = 3 * MIB
    client.run("p", "sh", "-c", f"head -c {total} /dev/zero | tr '\\0' x")
    whole = client.call("process/read", processId="p")
    assert (whole["exited"], whole["exitCode"], whole["closed"], whole["failure"]) == (True, 0, True, None)
    assert MIB <= len(chunks(whole)) < MIB + 256 * 1024 + 1
    assert whole["nextSeq"] == client.wait_for("process/closed", "p")["seq"] + 1
    # What is left is the end, without a gap.
    numbers = [chunk["seq"] for chunk in whole["chunks"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    after, found = 0, b""
    while after < whole["nextSeq"] - 1:
        page = client.call("process/read", processId="p", afterSeq=after, maxBytes=100_000)
        found += chunks(page)
        after = page["nextSeq"] - 1
    assert found == chunks(whole)
    one = client.call("process/read", processId="p", maxBytes=0)
    assert [chunk["seq"] for chunk in one["chunks"]] == numbers[:1]
    assert client.call("process/read", processId="p", afterSeq=10**15)["chunks"] == []


def test_a_waiting_read_wakes_for_output_exit_and_close(client: Client, tmp_path: Path) -> None:
    gates = [fifo(f"{tmp_path}/{name}") for name in "abc"]
    script = f"read x < {gates[0]}; echo one; (read x < {gates[2]}) & read x < {gates[1]}; exit 5"
    client.start("p", "sh", "-c", script)
    reads = []
    after = 0
    for gate in gates:
        waiting = [
            client.post("process/read", processId="p", afterSeq=after, waitMs=60_000) for _ in range(3)
        ]
        # The reads wait: a later call is answered before them.
        client.call("environment/status")
        Path(gate).write_text("\n")
        results = [client.result(request_id) for request_id in waiting]
        assert results[0] == results[1] == results[2]
        reads.append(results[0])
        after = results[0]["nextSeq"] - 1
    assert [chunks(result) for result in reads] == [b"one\n", b"", b""]
    assert [(result["exited"], result["exitCode"], result["closed"]) for result in reads] == [
        (False, None, False),
        (True, 5, False),
        (True, 5, True),
    ]
    # There is nothing to wait for any more.
    assert client.call("process/read", processId="p", afterSeq=99, waitMs=60_000)["closed"]


@pytest.mark.parametrize("wait_ms", [1, 10, None, 0])
def test_a_read_gives_up_waiting(client: Client, wait_ms: int | None) -> None:
    client.start("p", "sleep", "1000")
    result = client.call("process/read", processId="p", waitMs=wait_ms)
    assert result == {
        "chunks": [],
        "nextSeq": 1,
        "exited": False,
        "exitCode": None,
        "closed": False,
        "failure": None,
        "sandboxDenied": False,
    }


@pytest.mark.parametrize("digits", [18, 19, 30, 400])
def test_a_read_may_wait_as_good_as_for_ever(client: Client, digits: int) -> None:
    wait_ms = 10**digits
    client.start("p", "sh", "-c", "read x; echo woken", pipeStdin=True)
    waiting = client.post("process/read", processId="p", waitMs=wait_ms)
    client.write("p", b"\n")
    assert chunks(client.result(waiting)) == b"woken\n"


def test_write_and_close_stdin(client: Client) -> None:
    client.start("p", "cat", pipeStdin=True)
    assert client.write("p", b"one\n") == "accepted"
    assert client.write("p", b"") == "accepted"
    assert client.wait_for_output("p", b"one\n") == b"one\n"
    assert client.call("process/closeStdin", processId="p") == {"status": "accepted"}
    assert client.write("p", b"late") == "stdinClosed"
    assert client.wait_for("process/exited", "p")["exitCode"] == 0
    assert client.write("p", b"late") == "stdinClosed"
    assert client.call("process/closeStdin", processId="p") == {"status": "stdinClosed"}
    client.start("null", "sleep", "1000")
    assert client.write("null", b"x") == "stdinClosed"


def test_a_write_id_counts_once(client: Client) -> None:
    client.start("p", "cat", pipeStdin=True)
    client.start("q", "cat", pipeStdin=True)
    for _ in range(3):
        assert client.write("p", b"one\n", "w1") == "accepted"
    assert client.write("q", b"other\n", "w1") == "accepted"
    assert client.write("p", b"two\n", "w2") == "accepted"
    client.call("process/closeStdin", processId="p")
    client.call("process/closeStdin", processId="q")
    client.wait_for("process/closed", "p")
    client.wait_for("process/closed", "q")
    assert client.output("p", "stdout") == b"one\ntwo\n"
    assert client.output("q", "stdout") == b"other\n"
    # The retry of a write that was delivered is no late write.
    assert client.write("p", b"one\n", "w1") == "accepted"


def test_a_large_field_elsewhere_is_not_what_is_written(client: Client) -> None:
    client.start("p", "cat", pipeStdin=True)
    large = base64.b64encode(b"x" * 100_000).decode()
    for number, other in enumerate(({"dataBase64": large}, {"chunk": large})):
        params = {"processId": "p", "chunk": "", "writeId": str(number), "other": other}
        for order in (params, dict(reversed(params.items()))):
            text = json.dumps({"id": "a", "method": "process/write", "params": order}, separators=(",", ":"))
            assert client.answer(text.encode()) == {"id": "a", "result": {"status": "accepted"}}
    client.call("process/closeStdin", processId="p")
    client.wait_for("process/closed", "p")
    assert client.output("p", "stdout") == b""


def test_writes_to_one_that_does_not_read_are_answered_when_there_is_room(
    client: Client, tmp_path: Path
) -> None:
    gate = fifo(f"{tmp_path}/gate")
    client.start("p", "sh", "-c", f"read x < {gate}; wc -c", pipeStdin=True)
    block = base64.b64encode(b"x" * MIB).decode()

    def post(number: int) -> int:
        return client.post("process/write", processId="p", chunk=block, writeId=str(number))

    pending = [post(number) for number in range(80)]
    # More than 64 MiB wait: nothing more is taken, and it says so.
    with pytest.raises(ReplyError, match="does not read") as caught:
        client.result(post(80))
    assert caught.value.code == -32600
    assert client.call("environment/status") == {"status": "ready"}
    Path(gate).write_text("\n")
    accepted = 0
    for request_id in pending:
        try:
            accepted += client.result(request_id)["status"] == "accepted"
        except ReplyError as error:
            assert "does not read" in error.message
    client.call("process/closeStdin", processId="p")
    client.wait_for("process/closed", "p")
    assert int(client.output("p", "stdout")) == accepted * MIB
    assert accepted >= 64


def test_writers_are_told_when_the_process_is_killed(client: Client) -> None:
    client.start("p", "sleep", "1000", pipeStdin=True)
    block = base64.b64encode(b"x" * MIB).decode()
    pending = [client.post("process/write", processId="p", chunk=block, writeId=str(n)) for n in range(5)]
    assert client.call("process/terminate", processId="p") == {"running": True}
    for request_id in pending:
        assert client.result(request_id)["status"] in ("accepted", "stdinClosed")


def test_signal_resize_and_terminate(client: Client) -> None:
    script = "trap 'stty size; exit 7' INT; echo ready; while :; do sleep 1000 & wait; done"
    client.start("p", "sh", "-c", script, tty=True)
    client.wait_for_output("p", b"ready", "pty")
    assert client.call("process/resize", processId="p", rows=30, cols=90) == {}
    assert client.call("process/signal", processId="p", signal="interrupt") == {}
    assert client.wait_for("process/exited", "p")["exitCode"] == 7
    assert client.wait_for_output("p", b"30 90", "pty")
    assert client.call("process/signal", processId="p", signal="interrupt") == {}
    assert client.call("process/terminate", processId="p") == {"running": False}
    client.start("q", "sleep", "1000")
    assert client.call("process/terminate", processId="q") == {"running": True}
    assert client.wait_for("process/exited", "q")["exitCode"] == 137
    assert client.call("process/terminate", processId="q") == {"running": False}


def test_old_closed_processes_are_forgotten_and_their_ids_free(client: Client) -> None:
    client.start("kept", "sleep", "1000")
    for number in range(1025):
        client.start(str(number), "true")
    for number in range(1025):
        client.wait_for("process/closed", str(number))
        client.events = [event for event in client.events if event["method"] == "process/closed"]
    order = [event["processId"] for event in client.events]
    assert client.error("process/read", processId=order[0]).code == -32600
    assert client.call("process/read", processId=order[1])["closed"]
    assert not client.call("process/read", processId="kept")["exited"]
    assert client.start(order[0], "true")


def test_a_session_ends_with_its_connection_and_no_other(executor: Executor, tmp_path: Path) -> None:
    with executor.client() as other:
        other.start("p", "sh", "-c", "echo $$; exec sleep 1000")
        stays = Watched(int(other.wait_for_output("p", b"\n")))
        with executor.client() as client:
            client.start("p", "sh", "-c", "trap '' HUP TERM INT; setsid sleep 1000 & echo $!; echo $$; wait")
            client.wait_for_output("p", b"\n")
            while client.output("p", "stdout").count(b"\n") < 2:
                client.step()
            ends = [Watched(int(line)) for line in client.output("p", "stdout").split()]
            assert (
                client.error(
                    "process/start",
                    **{"processId": "p", "argv": ["x"], "cwd": "file:///", "env": {}, "tty": False},
                ).code
                == -32600
            )
            waiting = [
                client.post("process/read", processId="p", afterSeq=9, waitMs=600_000) for _ in range(50)
            ]
            assert waiting
        assert all(watched.has_ended(within=SECONDS) for watched in ends)
        assert other.call("environment/status") == {"status": "ready"}
        assert not stays.has_ended()
        assert other.call("process/terminate", processId="p") == {"running": True}
        for watched in (stays, *ends):
            watched.close()


def test_the_executor_tells_about_its_machine(client: Client) -> None:
    info = client.call("environment/info")
    assert info["platformOs"] == "linux"
    assert info["shell"]["name"] in ("bash", "zsh", "sh", "powershell")
    assert Path(info["shell"]["path"]).is_absolute()
    assert info["cwd"] == Path.cwd().as_uri()
    assert info["capabilities"]["processCloseStdin"] is True
    assert info["capabilities"]["processResize"] is True
    assert json.dumps(info)
