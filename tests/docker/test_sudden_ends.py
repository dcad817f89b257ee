"""What is left when a run is killed: nothing, or what the next one removes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.docker.containers import LABEL
from harness.docker.owner import Owner
from harness.environments.docker import DockerEnvironment
from tests.docker.conftest import Up
from tests.support.watch import until

if TYPE_CHECKING:
    from docker import APIClient

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = """
import asyncio, sys
from harness.docker.options import DockerOptions
from harness.environments.docker import DockerEnvironment

async def main():
    async with DockerEnvironment(DockerOptions(container=sys.argv[1] or None)).start() as up:
        async with up.connect() as client:
            await client.start(["sleep", "600"])
            print(up.facts["container"], flush=True)
            print(up.log.parent, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class HarnessRun:
    def __init__(self, container: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, container],
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.container = self.process.stdout.readline().strip()
        self.folder = Path(self.process.stdout.readline().strip())
        assert self.container, "the run did not come up"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def harness_run(container: str = "") -> Iterator[HarnessRun]:
    run = HarnessRun(container)
    try:
        yield run
    finally:
        run.kill()
        assert run.process.stdout is not None
        run.process.stdout.close()


def ids(api: APIClient) -> set[str]:
    return {found["Id"] for found in api.containers(all=True)}


def is_there(api: APIClient, id: str) -> bool:
    return any(found.startswith(id) for found in ids(api))


def dead_owner() -> Owner:
    child = subprocess.Popen(["sleep", "600"])
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    child.kill()
    child.wait()
    return dataclasses.replace(Owner.current(), pid=child.pid, started=int(stat[19]))


@contextmanager
def labelled(api: APIClient, image: str, owner: str) -> Iterator[str]:
    """A container that was made and never started, as a run killed at that moment leaves it."""
    id: str = api.create_container(image, ["sleep", "600"], labels={LABEL: owner})["Id"]
    try:
        yield id
    finally:
        if id in ids(api):
            api.remove_container(id, force=True)


def test_the_container_of_a_killed_run_goes_by_itself(api: APIClient, prepared: None) -> None:
    with harness_run() as run:
        assert is_there(api, run.container)
        run.kill()
        until(lambda: not is_there(api, run.container), lambda: f"{run.container} is left")
        assert run.folder.exists()
        assert f"folder {run.folder}" in DockerEnvironment().clean()
        assert not run.folder.exists()


def test_an_attached_container_is_tidied_when_the_run_is_killed(api: APIClient, container: str) -> None:
    with harness_run(container) as run:
        assert len(api.top(container)["Processes"]) > 3
        run.kill()
        until(lambda: len(api.top(container)["Processes"]) == 2, lambda: str(api.top(container)))
    assert {path["Path"] for path in api.diff(container) or () if path["Path"].startswith("/tmp/")} == set()
    DockerEnvironment().clean()


def test_what_a_killed_executor_has_left_is_removed_by_the_next(
    api: APIClient, container: str, up: Up
) -> None:
    def left() -> set[str]:
        return {path["Path"] for path in api.diff(container) or () if path["Path"].count("/") == 2} - {"/tmp"}

    with harness_run(container) as run:
        kill = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' <$p/cmdline) in *unpack_and_serve*) "
        kill += "kill -9 ${p#/proc/};; esac; done"
        exec_id = api.exec_create(container, ["sh", "-c", kill])["Id"]
        api.exec_start(exec_id)
        until(lambda: len(api.top(container)["Processes"]) <= 3, lambda: str(api.top(container)))
        assert any(path.startswith("/tmp/crossexec-") for path in left())
        run.kill()
    with up(container=container):
        pass
    assert not any(path.startswith("/tmp/") for path in left())


def test_the_next_run_removes_what_never_started(api: APIClient, image: str, up: Up) -> None:
    with labelled(api, image, str(dead_owner())) as id, up():
        assert id not in ids(api)


def test_what_may_be_alive_is_not_touched(api: APIClient, image: str) -> None:
    dead = dead_owner()
    owners = {
        "this process": Owner.current(),
        "another machine": dataclasses.replace(dead, machine="01234567"),
        "another namespace of processes": dataclasses.replace(dead, namespace=1),
    }
    for who, owner in owners.items():
        with labelled(api, image, str(owner)) as id:
            DockerEnvironment().clean()
            assert id in ids(api), who
    with labelled(api, image, "written by something else") as id:
        DockerEnvironment().clean()
        assert id in ids(api)


@pytest.mark.parametrize("change", [{"boot": "01234567"}, {"started": 1}])
def test_a_number_used_again_is_another_process(
    change: dict[str, str | int], api: APIClient, image: str
) -> None:
    owner = dataclasses.replace(Owner.current(), **change)  # type: ignore[arg-type]
    with labelled(api, image, str(owner)) as id:
        assert f"container {id[:12]}" in DockerEnvironment().clean()


def test_a_live_run_is_not_touched(api: APIClient, prepared: None) -> None:
    with harness_run() as run:
        DockerEnvironment().clean()
        assert is_there(api, run.container)
        assert run.folder.exists()
    DockerEnvironment().clean()


def test_folders_of_others_stay(prepared: None) -> None:
    with tempfile.TemporaryDirectory(prefix="crossexec-docker-", dir="/tmp") as folder:
        DockerEnvironment().clean()
        assert Path(folder).exists()
