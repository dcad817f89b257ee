"""The scene of the tests of the relay; one for all, since an executor may take seconds to start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from fixtures.target import KEEPER
from harness.environments import make_environment
from suites.relay.secrets import Logged, found_in, told

if TYPE_CHECKING:
    from suites.relay.scene import Scene


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def whole_scene(
    anyio_backend: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    """The scene, as the last test has left it."""
    keeper = pytestconfig.stash[KEEPER]
    environment = make_environment(keeper.name, keeper.settings)
    place = getattr(environment, "place", None)
    if place is None:
        pytest.skip(f"there is no relay on the way to {keeper.name}, as there is to remote-{keeper.name}")
    from harness.rendezvous.store import open_store
    from suites.relay.scene import Scene

    folder = tmp_path_factory.mktemp("relay")
    with open_store(folder / "rendezvous.sqlite") as store:
        async with Scene(place, store, folder).up() as scene:
            yield scene


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What this process logs during the test."""
    log = Logged()
    with log.listening():
        yield log


@pytest.fixture
async def scene(whole_scene: Scene, logged: Logged) -> AsyncIterator[Scene]:
    """The scene with everything in order; whatever a test does, nothing secret is in a log afterwards."""
    whole_scene.said.clear()
    await whole_scene.settle()
    begin = whole_scene.audited.tell()
    yield whole_scene
    secrets = told(whole_scene.meddler) | {token.encode() for token in whole_scene.tokens} | logged.private
    for name, text in {
        "the log of this process": logged.text,
        "the audit log": whole_scene.audited.getvalue()[begin:].encode(),
        "an error": "\n".join(whole_scene.said).encode(),
        "the executor's log": whole_scene.log.read_bytes(),
    }.items():
        assert not found_in(text, secrets), f"secrets in {name}"
