"""``crossexec up docker``: an executor that other processes reach."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from executors.transport import unix
from tests.support.command import CROSSEXEC, ROOT, run, started, up
from tests.support.watch import SECONDS

if TYPE_CHECKING:
    from docker import APIClient

ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_in_a_container_of_its_own(prepared: None, api: APIClient) -> None:
    with up(ENV, "docker") as (process, url):
        socket = Path(unix.socket_path(url))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        name = run(ENV, url, "uname", "-n").strip()
        assert [found for found in api.containers() if found["Id"].startswith(name)]
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert not [found for found in api.containers(all=True) if found["Id"].startswith(name)]
    assert not socket.parent.exists()


def test_in_a_container_that_runs_already(container: str, api: APIClient) -> None:
    """Its connections are programs that the daemon starts there; whoever has the URL need not know."""
    with up({**ENV, "CROSSEXEC_DOCKER_CONTAINER": container}, "docker") as (process, url):
        socket = Path(unix.socket_path(url))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert run(ENV, url, "uname", "-n").strip() == container[:12]
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert not socket.parent.exists()


def test_on_a_network_its_token_is_in_a_file(prepared: None) -> None:
    with started([*CROSSEXEC, "up", "docker", "--docker-network=bridge"], ENV) as process:
        assert process.stdout and process.stderr
        url = process.stdout.readline().strip()
        told = ""
        while "--url-token-file" not in told:
            told = process.stderr.readline()
            assert told, "the command has ended"
        path = Path(shlex.split(told)[shlex.split(told).index("--url-token-file") + 1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = subprocess.run(
            [*CROSSEXEC, "run", "--url", url, "--url-token-file", str(path), "--", "echo", "here"],
            env=ENV,
            capture_output=True,
            text=True,
            timeout=SECONDS * 3,
        )
        assert (found.returncode, found.stdout) == (0, "here\n"), found.stderr
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert not path.parent.exists()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_its_container_goes(prepared: None, api: APIClient, how: str) -> None:
    with up(ENV, "docker") as (process, url):
        name = run(ENV, url, "uname", "-n").strip()
        api.kill(name) if how == "killed" else api.stop(name, timeout=5)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 1
    assert "crossexec up: the executor of docker has ended" in err
    assert "Traceback" not in err
