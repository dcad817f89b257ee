"""Keeps the fuzz target alive: it runs over its seeds, and it can fail."""

from __future__ import annotations

import pytest

from executors.server.connection import Connection
from executors.server.process_calls import ProcessCalls
from tests.fuzz.fuzz_messages import SEEDS, target
from tests.test_envelope import NO_MESSAGE


@pytest.mark.parametrize(
    "seed",
    [*SEEDS, *(text.replace(b"\n", b" ") for text in NO_MESSAGE.values())],
    ids=range(len(SEEDS) + len(NO_MESSAGE)),
)
def test_seeds(seed: bytes) -> None:
    target(seed)
    # Cut short and doubled, too.
    target(seed[: len(seed) // 2])
    target(seed + b"\n" + seed)


def test_the_target_sees_a_fault_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(ProcessCalls, "_signal", broken)
    with pytest.raises(AssertionError, match="a fault"):
        target(b'{"id":1,"method":"process/signal","params":{"processId":"p","signal":"interrupt"}}')


def test_the_target_sees_what_gets_past_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Connection, "_send", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        target(b"{bad")
