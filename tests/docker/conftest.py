"""What the tests of containers share. Each is skipped where no daemon answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.client.sync import SyncClient, blocking_context, sync_client
from harness.docker.options import DockerOptions
from harness.environments import Running
from harness.environments.docker import DockerEnvironment
from harness.progress import show_progress

if TYPE_CHECKING:
    from docker import APIClient

# The first may have to build the image.
_SECONDS = 1800

Up = Callable[..., AbstractContextManager[tuple[Running, SyncClient]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    availability = DockerEnvironment(DockerOptions()).available() if ours else None
    for item in ours:
        item.add_marker(pytest.mark.timeout(_SECONDS))
        if not availability and "no_daemon" not in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.skip(reason=f"docker: {availability}"))


@pytest.fixture
def no_daemon() -> None:
    """For tests that need none."""


@pytest.fixture(scope="session")
def prepared() -> None:
    """The default image and its bundle are there."""
    with show_progress(sys.stderr, "tests") as progress:
        DockerEnvironment(DockerOptions()).prepare(progress)


@pytest.fixture(scope="session")
def image(prepared: None) -> str:
    """Name of an image with Python."""
    from harness.docker.image import default_tag

    return default_tag()


@pytest.fixture
def api(prepared: None) -> Iterator[APIClient]:
    import docker

    client = docker.from_env()
    yield client.api
    client.close()


@pytest.fixture
def up(prepared: None) -> Up:
    """Brings the environment up with options, and a client of it."""

    @contextmanager
    def start(**options: Any) -> Iterator[tuple[Running, SyncClient]]:
        environment = DockerEnvironment(DockerOptions(**options))
        with blocking_context(environment.start()) as running, sync_client(running.connect()) as client:
            yield running, client

    return start


@pytest.fixture
def container(api: APIClient, image: str) -> Iterator[str]:
    """A container of somebody's own that runs, without a network; its id."""
    host = api.create_host_config(network_mode="none", init=True)
    id = api.create_container(image, ["sleep", "infinity"], host_config=host)["Id"]
    try:
        api.start(id)
        yield id
    finally:
        api.remove_container(id, force=True)
