"""A Windows machine whose executor dials out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.client.sync import blocking_context, sync_client
from harness.environments.relayed import RelayedEnvironment
from harness.environments.wine import WineEnvironment
from harness.progress import show_progress
from tests.support.relayed_run import relayed_run
from tests.support.watch import until
from tests.wine.leftovers import processes_below


@pytest.fixture(scope="module")
def relayed() -> RelayedEnvironment:
    for name in ("aiohttp", "cryptography", "google.protobuf", "prometheus_client"):
        pytest.importorskip(name)
    environment = RelayedEnvironment(WineEnvironment())
    with show_progress(sys.stderr, "tests") as progress:
        environment.prepare(progress)
    return environment


def test_it_is_the_same_machine(relayed: RelayedEnvironment) -> None:
    with blocking_context(relayed.start()) as up, sync_client(up.connect()) as client:
        assert (up.name, up.platform, up.is_remote) == ("remote-wine-exec", "windows", True)
        assert {"wine", "windows", "python", "code page", "rendezvous", "relay"} <= up.facts.keys()
        assert up.host_view is not None
        file = up.workspace_root.join("f")
        client.files.write_file(file, b"here")
        assert up.host_view.host_path(file).read_bytes() == b"here"


def test_a_killed_run_leaves_nothing(relayed: RelayedEnvironment) -> None:
    with relayed_run("remote-wine-exec") as run:
        folder = Path(run.drive_c).parents[1]
        assert processes_below(folder)
        run.kill()
        assert run.left() == []
        until(lambda: not processes_below(folder) and not folder.exists(), lambda: f"{folder} is left")
