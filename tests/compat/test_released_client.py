"""The released client, driven by a model that is no model, against our executor and its own."""

from __future__ import annotations

import base64
import os
import select
import threading
from pathlib import Path
from typing import Self

from executors.protocol.errors import ErrorCode
from tests.compat.model import ToolCall, ended, run, session, write
from tests.compat.peer import Peer, Turn, variables_of
from tests.compat.relay import Relay
from tests.support.launch import Executor
from tests.support.watch import SECONDS, until

PATCH = """apply_patch <<'EOF'
*** Begin Patch
*** Add File: new/größe.txt
+hello
*** Delete File: gone.txt
*** Update File: old.txt
*** Move to: moved.txt
@@
 one
-two
+zwei
*** End Patch
EOF"""

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Fifo:
    """What a command and a test tell each other of where they are."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # For reading and writing, so that neither end waits for the other to open.
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def wait(self) -> None:
        readable, _, _ = select.select([self._file], [], [], SECONDS)
        assert readable, f"nobody wrote to {self.path}"

    def tell(self) -> None:
        self._file.write(b"\n")


def project(path: Path) -> Path:
    """Makes a folder with files that the tests' calls touch."""
    path.mkdir()
    for name, text in {"gone.txt": "x\n", "old.txt": "one\ntwo\n", "AGENTS.md": "Mind the gap.\n"}.items():
        (path / name).write_text(text)
    (path / "pixel.png").write_bytes(base64.b64decode(PIXEL))
    add_skill(path, "knit")
    return path


def add_skill(path: Path, name: str) -> None:
    folder = path / ".agents/skills" / name
    folder.mkdir(parents=True)
    about = f"---\nname: {name.strip('.')}\ndescription: How to {name.strip('.')}.\n---\n"
    (folder / "SKILL.md").write_text(about)


def test_output_and_exit_code_of_commands(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    expected = {
        "echo out; pwd": (0, f"out\n{tmp_path}\n"),
        "echo err >&2; exit 7": (7, "err\n"),
        "printf 'grüße 日本\\n'": (0, "grüße 日本\n"),
        "printf 'a\\377b'": (0, "a\N{REPLACEMENT CHARACTER}b"),
        "sleep 1; echo late": (0, "late\n"),
        "kill -KILL $$": (137, ""),
        "exec >&- 2>&-; exit 9": (9, ""),
        "cat; echo $?": (0, "0\n"),
    }
    turn = peer.ask([run(cmd) for cmd in expected], executor_url, tmp_path)
    assert dict(zip(expected, map(ended, turn.outputs), strict=True)) == expected
    assert turn.refusals() == []


def test_a_megabyte_of_output_arrives_whole(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    turn = peer.ask([run("seq 1 200000")], executor_url, tmp_path)
    code, shown = ended(turn.output)
    # The client shows a model the beginning and the end only.
    assert (code, shown.splitlines()[-2:]) == (0, ["199999", "200000"])
    chunks = [told["chunk"] for told in turn.relay.notifications("process/output")]
    whole = b"".join(map(base64.b64decode, chunks))
    assert whole == b"".join(b"%d\n" % number for number in range(1, 200001))
    assert turn.refusals() == []


def test_working_directories(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    cwd = tmp_path / "100% grüße #1?"
    (cwd / "sub").mkdir(parents=True)
    calls = [run("pwd"), run("pwd", workdir="sub"), run("pwd", workdir="/"), run("pwd", workdir="none")]
    turn = peer.ask(calls, executor_url, cwd)
    assert [ended(output) for output in turn.outputs[:3]] == [
        (0, f"{cwd}\n"),
        (0, f"{cwd}/sub\n"),
        (0, "/\n"),
    ]
    assert "No such file or directory" in turn.outputs[3]
    ((method, _, reply),) = turn.refusals()
    assert (method, reply["error"]["code"]) == ("process/start", ErrorCode.INTERNAL_ERROR)


def test_a_terminal(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    with Fifo(tmp_path / "ready") as ready:
        cmd = "stty size; echo >ready; cat; echo over"
        calls = [
            run(cmd, tty=True, yield_time_ms=250),
            write("grüße\n", after=ready.wait),
            write("\x04", yield_time_ms=20_000),
        ]
        turn = peer.ask(calls, executor_url, tmp_path)
    everything = "".join(output.partition("Output:\n")[2] for output in turn.outputs).replace("\r\n", "\n")
    # Once as the terminal's echo and once by cat.
    assert everything == "24 80\ngrüße\ngrüße\nover\n"
    assert ended(turn.outputs[-1])[0] == 0
    assert {told["stream"] for told in turn.relay.notifications("process/output")} == {"pty"}
    assert turn.refusals() == []


def test_an_interrupt_lets_the_command_end_itself(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    with Fifo(tmp_path / "ready") as ready:
        cmd = "trap 'echo caught; exit 3' INT; echo >ready; while :; do sleep 0.1; done"
        calls = [run(cmd, yield_time_ms=250), write("\x03", after=ready.wait, yield_time_ms=20_000)]
        turn = peer.ask(calls, executor_url, tmp_path)
    code, shown = ended(turn.outputs[1])
    assert (code, shown) == (3, "caught\n")
    assert turn.relay.methods()["process/signal"] == 1
    assert turn.refusals() == []


def output_so_far(turn: Turn) -> str:
    """Returns what the client has shown of a command that it goes on with."""
    return "".join(output.partition("Output:\n")[2] for output in turn.outputs)


def test_a_background_child_keeps_the_command_open(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    told = threading.Event()

    def wait(relay: Relay) -> None:
        until(
            lambda: bool(relay.notifications("process/exited") and relay.notifications("process/output")),
            lambda: "the command does not end",
        )
        told.set()

    calls = [run("sleep 600 & echo started", yield_time_ms=250), write("", after=lambda: told.wait(SECONDS))]
    turn = peer.ask(calls, executor_url, tmp_path, meanwhile=wait)
    assert session(turn.outputs[-1])
    assert output_so_far(turn) == "started\n"
    (exited,) = turn.relay.notifications("process/exited")
    assert exited["exitCode"] == 0
    assert turn.relay.methods()["process/terminate"]


def test_the_background_child_ends_with_the_client(peer: Peer, tmp_path: Path) -> None:
    # The client does not say that it is done: its session has to expire.
    with (
        Executor("--session-retention-seconds", "1", env=variables_of(tmp_path)) as executor,
        Fifo(tmp_path / "started") as started,
    ):
        cmd = "sleep 600 & echo $! >pid; echo >started"
        peer.ask([run(cmd, yield_time_ms=250), write("", after=started.wait)], executor.url, tmp_path)
        pid = int((tmp_path / "pid").read_text())
        until(lambda: not Path(f"/proc/{pid}").exists(), lambda: f"process {pid} still runs")


def test_a_patch_is_applied_to_files(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    cwd = project(tmp_path / "project")
    turn = peer.ask([run(PATCH)], executor_url, cwd)
    assert "Success" in turn.output
    assert (cwd / "new/größe.txt").read_text() == "hello\n"
    assert (cwd / "moved.txt").read_text() == "one\nzwei\n"
    assert not (cwd / "gone.txt").exists()
    assert not (cwd / "old.txt").exists()
    assert turn.relay.methods()["fs/writeFile"] >= 2
    assert turn.relay.methods()["process/start"] == 0


def test_the_client_reads_images_instructions_and_skills(
    peer: Peer, executor_url: str, tmp_path: Path
) -> None:
    cwd = project(tmp_path / "project")
    turn = peer.ask([ToolCall("view_image", {"path": "pixel.png"})], executor_url, cwd)
    assert PIXEL in turn.output
    told = str(turn.model.requests[0]["input"])
    assert "Mind the gap." in told
    assert "How to knit." in told
    assert turn.refusals() == []


def test_a_walk_leaves_hidden_folders_alone(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    cwd = project(tmp_path / "project")
    add_skill(cwd, ".hide")
    turn = peer.ask([], executor_url, cwd)
    (walk,) = turn.relay.called("fs/walk")
    assert walk.params["options"]["pruneHiddenDirectories"] is True
    assert walk.reply is not None
    names = {entry["path"].rpartition("/skills/")[2] for entry in walk.reply["result"]["entries"]}
    assert names == {".hide", "knit", "knit/SKILL.md"}
    assert "How to hide." not in str(turn.model.requests[0]["input"])


def test_a_sandbox_is_enforced_or_refused(peer: Peer, tmp_path: Path) -> None:
    calls = [run("echo x > touched; echo $?"), run(PATCH)]
    # What a sandbox needs is held as long as the session waits for its client.
    with Executor("--session-retention-seconds", "1", env=variables_of(tmp_path)) as executor:
        turn = peer.ask(calls, executor.url, project(tmp_path / "p"), sandbox_mode="read-only")
    start, *_ = turn.relay.called("process/start")
    assert start.params["sandbox"]["permissions"]["type"] == "managed"
    assert start.reply is not None
    if "error" not in start.reply:
        assert "Process exited with code" in turn.outputs[0], "the client has not understood the reply"
    assert not (tmp_path / "p/touched").exists()
    assert not (tmp_path / "p/new").exists()


def test_a_command_survives_its_connection(peer: Peer, executor_url: str, tmp_path: Path) -> None:
    with Fifo(tmp_path / "started") as started, Fifo(tmp_path / "go") as go:
        knows = threading.Event()

        def cut(relay: Relay) -> None:
            started.wait()
            # Of a command whose start has not been answered yet the client knows nothing.
            assert knows.wait(SECONDS), "the client does not tell its model that the command runs"
            relay.cut()
            go.tell()

        cmd = "echo before; echo >started; read x <go; echo after; exit 4"
        calls = [
            run(cmd, yield_time_ms=250),
            write("", after=knows.set, yield_time_ms=20_000),
            run("echo on"),
        ]
        turn = peer.ask(calls, executor_url, tmp_path, meanwhile=cut)
    assert len(turn.relay.conversations) > 1
    first, second, third = turn.outputs
    assert ended(third) == (0, "on\n")
    code, shown = ended(second)
    assert (code, first.partition("Output:\n")[2] + shown) == (4, "before\nafter\n")
    begun, *resumed = turn.relay.called("initialize")
    assert begun.params["resumeSessionId"] is None
    assert resumed and all(each.params["resumeSessionId"] is not None for each in resumed)
    # It tries again while the executor has yet to notice the end of the first connection.
    assert {(each.error or {}).get("code") for each in resumed[:-1]} <= {ErrorCode.SESSION_ATTACHED}
    assert resumed[-1].error is None
    assert turn.relay.called("process/read")


def outcomes(turn: Turn, cwd: Path) -> set[tuple[str, str, int | None]]:
    """Returns what was asked about which path, and the code of an error; how often also goes by time."""
    return {
        (
            each.method,
            (each.params.get("path") or "").replace(str(cwd), "PROJECT"),
            (each.error or {}).get("code"),
        )
        for each in turn.relay.exchanges()
    }


def test_the_client_makes_the_same_calls_of_both_executors(
    peer: Peer, executor: Executor, released_url: str, tmp_path: Path
) -> None:
    calls = [
        run("echo x"),
        run(PATCH),
        ToolCall("view_image", {"path": "pixel.png"}),
        run("pwd", workdir="none"),
    ]
    seen = []
    for url in (executor.url, released_url):
        # The same path both times: the client looks for projects in each folder above.
        cwd = project(tmp_path / "project")
        seen.append(outcomes(peer.ask(calls, url, cwd), cwd))
        cwd.rename(tmp_path / f"done{len(seen)}")
    ours, released = seen
    # It makes these only where the capabilities say so.
    optional = {"environmentConfig/read", "fs/watchMissing"}
    assert {method for method, _, _ in released - ours} <= optional
    assert ours - released == set()
