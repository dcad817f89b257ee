"""The released program, where it is already here, and executors to compare."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.executor_kinds import EXECUTORS, PEER
from harness.executor_kinds.codex import program
from harness.executor_kinds.codex.release import LINUX
from harness.progress import SILENT
from harness.settings import read_settings
from tests.compat.peer import Peer, variables_of
from tests.compat.record import PLATFORMS
from tests.support.launch import Executor


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """The program that ``--executor=codex`` runs; the test is skipped where it would have to be fetched."""
    released = PLATFORMS["linux"].released()
    if not released:
        pytest.skip(str(released))
    with program.program(read_settings().codex_binary, LINUX, SILENT) as found:
        yield Peer(found.file, tmp_path_factory.mktemp("peer"))


@pytest.fixture(scope="module")
def released_url(peer: Peer) -> Iterator[str]:
    """Where the released executor listens."""
    with peer.serve() as url:
        yield url


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    """Our executor, whose user has no settings."""
    with Executor(env=variables_of(tmp_path_factory.mktemp("user"))) as executor:
        yield executor


@pytest.fixture(scope="module")
def executor_url(request: pytest.FixtureRequest, peer: Peer) -> str:
    """Our executor; with ``--executor=codex`` the released one: an expectation that fails there is wrong."""
    chosen = request.config.getoption("--executor")
    if chosen == PEER:
        url: str = request.getfixturevalue("released_url")
        return url
    if chosen is not None and chosen not in EXECUTORS:
        pytest.skip(f"these tests run executors of their own, and do not use {chosen}")
    ours: Executor = request.getfixturevalue("executor")
    return ours.url
