"""How tools are run: their words reach the reader, and they end with the build."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from harness.wine.crossbuild.commands import run
from harness.wine.crossbuild.failure import BuildFailed

ROOT = Path(__file__).resolve().parents[2]


def test_what_a_tool_prints_is_returned_stderr_among_it() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2"], "Talking") == "out\nerr\n"


def test_a_failure_shows_command_and_end_of_output() -> None:
    with pytest.raises(BuildFailed) as caught:
        run(["sh", "-c", "seq 1000; exit 3"], "Counting", remedy="Count less.")
    text = str(caught.value)
    assert text.startswith("Counting failed with exit code 3.\nCommand: sh -c 'seq 1000; exit 3'\n")
    assert text.endswith("\n999\n1000\nCount less.")
    assert "\n500\n" not in text


def test_a_tool_that_hangs_is_ended() -> None:
    with pytest.raises(BuildFailed, match=r"Waiting failed with no end within 0.2 s"):
        run(["sleep", "1000"], "Waiting", seconds=0.2)


def test_a_process_that_a_tool_leaves_behind_is_not_waited_for() -> None:
    printed = run(["sh", "-c", "sleep 1000 & echo $!"], "Leaving")
    os.kill(int(printed), signal.SIGKILL)


def test_a_tool_ends_with_a_build_that_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    tell_and_stay = f"echo $$ > {started}; exec sleep 1000"
    script = f"from harness.wine.crossbuild.commands import run; run(['sh', '-c', {tell_and_stay!r}], '')"
    build = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)})
    tool = os.pidfd_open(int(started.read_text()))
    try:
        build.kill()
        build.wait()
        assert select.select([tool], [], [], 30)[0], "the tool still runs"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(tool, signal.SIGKILL)
        os.close(tool)
