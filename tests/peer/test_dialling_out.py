"""The released exec-server that dials out: what the guard beside it passes on, and when it is reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.executor_kinds.codex.home import environ
from harness.executor_kinds.codex.launch import GUARD
from tests.peer.conftest import Make
from tests.peer.test_cells import unavailable
from tests.support.cell import run_cell
from tests.support.watch import SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the released program is run on Linux alone")

# This project's executor, with the options and the manners of the released one.
_DIALS = """
    import sys
    sys.path.insert(0, {root!r})
    import executors.server.environment as environment
    environment.__version__ = {version!r}
    from executors.command import main

    class Told:
        def write(self, text):
            if text.startswith("remote:"):
                print("INFO Noise executor connected to rendezvous", file=sys.stderr, flush=True)
        def flush(self):
            pass

    sys.stdout = Told()
    own = {{"--registration-bearer-stdin": "--credential-stdin"}}
    sys.exit(main([own.get(each, each) for each in sys.argv[2:]]))
"""
_CASES = """
    def test_runs(shell): assert shell.run("echo hello").text == "hello\\n"
    def test_runs_too(shell): assert shell.run("echo hello").text == "hello\\n"
"""
_CONNECTED = "Noise executor connected to rendezvous"


class Guarded:
    """The guard of a Python program, and its standard input."""

    def __init__(self, source: str, input: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), "a-home", "remote:box", sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        # Its end would end the program.
        self._stdin, self.process.stdin = self.process.stdin, None
        self._stdin.write(input)
        self._stdin.flush()

    def end_input(self) -> None:
        self._stdin.close()

    def error(self) -> str:
        """Returns the next line of its errors."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def ended(self) -> tuple[str, str, int]:
        """Waits for its end; returns what it has written, and its exit status."""
        out, errors = self.process.communicate(timeout=SECONDS)
        return out, errors, self.process.returncode


@contextmanager
def guarded(source: str, input: str = "a-credential\n") -> Iterator[Guarded]:
    guard = Guarded(source, input)
    try:
        yield guard
    finally:
        guard.process.kill()
        guard.process.wait()
        guard.end_input()


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_one_that_dials_out_is_used(tmp_path: Path, make_program: Make, workers: str) -> None:
    for module in ("aiohttp", "cryptography", "google.protobuf"):
        pytest.importorskip(module)
    file = make_program(_DIALS)
    told = run_cell(
        tmp_path / "cell", _CASES, "--env=remote-local", "--executor=codex", f"--codex-binary={file}", workers
    )
    assert [case.outcome.is_bad for case in told.cases.values()] == [False] * 2, told.log
    assert told.facts[0].versions["executor"] == "codex 0.169.0"


def test_one_that_ends_at_once_is_unavailable(tmp_path: Path, make_program: Make) -> None:
    pytest.importorskip("aiohttp")
    file = make_program("raise SystemExit('no luck')")
    told = run_cell(
        tmp_path / "cell", _CASES, "--env=remote-local", "--executor=codex", f"--codex-binary={file}"
    )
    event = unavailable(told)
    assert "no luck" in event.reason and event.remedy


def test_its_credential_is_all_that_it_is_given() -> None:
    source = "import sys; print(repr(sys.stdin.read()), file=sys.stderr)"
    with guarded(source, "a-credential\nnot for it\n") as guard:
        assert guard.ended() == ("", "'a-credential\\n'\n", 0)


def test_it_is_reached_when_its_log_says_so_and_told_once() -> None:
    source = f"""
import sys
sys.stdin.read()
print("starting", file=sys.stderr)
print("remote:not-by-this", flush=True)
for _ in range(2):
    print("INFO {_CONNECTED} attempt=1", file=sys.stderr)
"""
    with guarded(source) as guard:
        out, errors, _ = guard.ended()
    assert out == "remote:box\n"
    assert errors.splitlines() == ["starting", *[f"INFO {_CONNECTED} attempt=1"] * 2]


def test_one_that_is_never_connected_is_not_told_of() -> None:
    with guarded("import sys; sys.stdin.read(); sys.exit('refused')") as guard:
        assert guard.ended() == ("", "refused\n", 1)


@pytest.mark.parametrize("end", ["input", "signal"])
def test_it_ends_with_its_guard(end: str) -> None:
    source = "import os, sys, time; print(os.getpid(), file=sys.stderr); time.sleep(600)"
    with guarded(source) as guard:
        program = os.pidfd_open(int(guard.error()))
        if end == "input":
            guard.end_input()
        else:
            guard.process.send_signal(signal.SIGTERM)
        _, _, status = guard.ended()
        # Its parent has waited for it.
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(program, 0)
        os.close(program)
    assert status == 128 + (signal.SIGTERM if end == "input" else signal.SIGKILL)


def test_it_has_its_own_settings_and_tells_when_it_is_connected() -> None:
    source = """
import os, sys
sys.stdin.read()
print(os.environ["CODEX_HOME"], "codex_exec_server::remote=info" in os.environ["RUST_LOG"], file=sys.stderr)
"""
    with guarded(source) as guard:
        assert guard.ended() == ("", "a-home True\n", 0)


def test_one_that_dials_out_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask one even for what is on this machine."""
    for name in ("HTTP_PROXY", "https_proxy", "all_proxy", "CODEX_EXEC_SERVER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("OTHER", "kept")
    assert {"HTTP_PROXY", "https_proxy", "all_proxy", "OTHER"} <= set(environ())
    left = set(environ(dials_out=True))
    assert not left & {"HTTP_PROXY", "https_proxy", "all_proxy", "CODEX_EXEC_SERVER_URL"} and "OTHER" in left
