"""The released program, where CROSSEXEC_PEER names it, and executors to compare."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.peer import VERSION, Peer
from tests.support.launch import Executor


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """The program that CROSSEXEC_PEER names; a wrong one fails."""
    program = os.environ["CROSSEXEC_PEER"]
    peer = Peer(Path(program), tmp_path_factory.mktemp("peer"))
    assert peer.version() == VERSION, f"CROSSEXEC_PEER={program} is another version than {VERSION}"
    return peer


@pytest.fixture(scope="module")
def released_url(peer: Peer) -> Iterator[str]:
    """Where the released executor listens."""
    with peer.serve() as url:
        yield url


@pytest.fixture(scope="module", params=["ours", "released"])
def executor_url(request: pytest.FixtureRequest, peer: Peer) -> str:
    """Our executor and, so that a wrong expectation does not pass for a fault of ours, the released one."""
    if request.param == "released":
        url: str = request.getfixturevalue("released_url")
        return url
    ours: Executor = request.getfixturevalue("executor")
    return ours.url
