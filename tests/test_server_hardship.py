"""Signals in a crowd, hang-ups, and machines that offer less than usual."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.client.client import connect_stdio
from tests.support.launch import ROOT, Executor
from tests.support.recorder import Lab, lab_test
from tests.support.trouble import start_stubborn
from tests.support.watch import SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")

_STOP_AMONG_DEATHS = """
import asyncio, os, signal
from executors.command import _stop_on_signals

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, lambda: None)
    stop = asyncio.Event()
    _stop_on_signals(loop, stop)
    # As when the loop is busy while very many children end.
    for _ in range(20_000):
        os.kill(os.getpid(), signal.SIGCHLD)
    os.kill(os.getpid(), signal.SIGTERM)
    await stop.wait()
    print("stopped")

asyncio.run(main())
"""


def test_a_stop_signal_is_heard_among_the_deaths_of_many_children() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _STOP_AMONG_DEATHS], cwd=ROOT, capture_output=True, timeout=SECONDS
    )
    assert ended.stdout == b"stopped\n"


def test_a_hang_up_ends_all() -> None:
    # Whoever runs the tests may ignore it, and it would stay so.
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        executor = Executor()
    finally:
        signal.signal(signal.SIGHUP, previous)
    with executor, executor.client() as client:
        watched = start_stubborn(client)
        executor.process.send_signal(signal.SIGHUP)
        assert executor.process.wait(SECONDS) == 0
        for one in watched:
            assert one.has_ended()
            one.close()


def test_an_ignored_hang_up_stays_ignored() -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        executor = Executor()
    finally:
        signal.signal(signal.SIGHUP, previous)
    with executor, executor.client() as client:
        executor.process.send_signal(signal.SIGHUP)
        for _ in range(2):
            assert client.call("environment/status") == {"status": "ready"}


def test_an_executor_in_a_removed_directory_can_be_used(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    def leave() -> None:
        os.chdir(gone)
        gone.rmdir()

    with (
        Executor(preexec_fn=leave) as executor,
        executor.client() as client,
    ):
        assert "cwd" not in client.call("environment/info")
        client.start("p", "echo", "hi")
        client.wait_for("process/closed", "p")
        assert client.output("p", "stdout") == b"hi\n"


def test_an_executor_that_may_write_nowhere_can_be_used() -> None:
    def write_nothing() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    # The executor's stderr is a file, and quiet.
    with Executor(preexec_fn=write_nothing) as executor, executor.client() as client:
        assert "tempDir" not in client.call("environment/info")


def test_files_can_be_read_while_processes_start_with_few_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 4096))

    with Executor(preexec_fn=few) as executor, executor.client() as client:
        for number in range(60):
            client.start(f"held{number}", "sleep", "1000")
        requests = []
        for number in range(200):
            requests += [client.post("fs/readFile", path=path.as_uri()) for _ in range(5)]
            client.start(f"n{number}", "sh", "-c", "ulimit -n")
        for request_id in requests:
            assert client.result(request_id)["dataBase64"] == "Y29udGVudA=="
        client.wait_for("process/closed", "n0")
        assert client.output("n0", "stdout") == b"32\n"


def test_a_locale_that_nobody_set_is_not_inherited() -> None:
    for given in ({}, {"LC_CTYPE": "C.UTF-8"}):
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **given}
        with Executor(env=environment) as executor, executor.client() as client:
            policy = {
                "inherit": "all",
                "ignoreDefaultExcludes": True,
                "exclude": [],
                "set": {},
                "includeOnly": [],
            }
            _, out, _ = client.run("p", "/usr/bin/env", envPolicy=policy, env={})
            assert dict(line.split("=", 1) for line in out.decode().splitlines()) == environment


@lab_test
async def test_a_signal_without_a_death_is_no_occasion_to_look(lab: Lab) -> None:
    run = lab.start("sleep", "1000")
    looks = 0

    def gone() -> bool:
        nonlocal looks
        looks += 1
        return not lab.backend.is_live(run.child.pid)

    handled = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, handled.set)
    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(lab.backend.until_reaped(gone))
        await asyncio.sleep(0)
        for number in [signal.SIGCHLD] * 5 + [signal.SIGUSR1]:
            os.kill(os.getpid(), number)
        # Handled in the order in which they came.
        await handled.wait()
        tasks.create_task(run.child.terminate())
        await waiting
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    assert looks == 2


def test_a_stdio_client_ends_on_a_loop_in_debug_mode() -> None:
    async def main() -> None:
        argv = [sys.executable, "-m", "executors", "--listen", "stdio"]
        async with connect_stdio(argv, env={"PYTHONPATH": str(ROOT)}) as client:
            assert (await client.run(["echo", "hi"])).stdout == b"hi\n"

    asyncio.run(main(), debug=True)
