"""A container whose executor dials out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from harness.client.sync import blocking_context, sync_client
from harness.docker import launch
from harness.docker.options import DockerOptions
from harness.environments.docker import DockerEnvironment
from harness.environments.relayed import RelayedEnvironment
from harness.progress import show_progress
from tests.support.relayed_run import relayed_run
from tests.support.watch import until

if TYPE_CHECKING:
    from docker import APIClient


@pytest.fixture(scope="module")
def relayed() -> RelayedEnvironment:
    for name in ("aiohttp", "cryptography", "google.protobuf", "prometheus_client"):
        pytest.importorskip(name)
    environment = RelayedEnvironment(DockerEnvironment(DockerOptions()))
    with show_progress(sys.stderr, "tests") as progress:
        environment.prepare(progress)
    return environment


def test_it_has_the_network_of_this_machine_and_all_other_protections(
    relayed: RelayedEnvironment, api: APIClient
) -> None:
    with blocking_context(relayed.start()) as up, sync_client(up.connect()) as client:
        assert up.name == "remote-docker"
        assert {"container", "image", "rendezvous", "relay"} <= up.facts.keys()
        assert client.run(["id", "-u"]).stdout.strip() == str(os.getuid() or 1000).encode()
        config = api.inspect_container(up.facts["container"])["HostConfig"]
        assert (config["NetworkMode"], config["ReadonlyRootfs"], config["CapDrop"]) == ("host", True, ["ALL"])


def test_a_bundle_that_is_unpacked_inside_dials_out_too(
    relayed: RelayedEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As for a daemon that can mount no folder of this machine.
    monkeypatch.setattr(launch, "_mounted", launch._carried)
    with blocking_context(relayed.start()) as up, sync_client(up.connect()) as client:
        assert client.run(["echo", "here"]).stdout == b"here\n"


def test_a_killed_run_leaves_nothing(relayed: RelayedEnvironment, api: APIClient) -> None:
    with relayed_run("remote-docker") as run:
        assert any(found["Id"].startswith(run.container) for found in api.containers(all=True))
        run.kill()
        assert run.left() == []

        def is_gone() -> bool:
            return not any(found["Id"].startswith(run.container) for found in api.containers(all=True))

        until(is_gone, lambda: f"{run.container} is left")


def test_a_container_that_is_there_is_not_used(no_daemon: None) -> None:
    environment = RelayedEnvironment(DockerEnvironment(DockerOptions(container="mine")))
    assert "leave out --docker-container" in str(environment.available())
