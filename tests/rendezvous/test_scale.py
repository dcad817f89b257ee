"""One instance with many connections; `python -m bench.rendezvous` has the whole of it."""

from __future__ import annotations

import asyncio

from bench.rendezvous import measure


def test_many_streams_are_held_in_little_memory() -> None:
    found = asyncio.run(measure(50, 100, 1.0))
    assert found.lost == 0
    assert [phase.name for phase in found.phases] == [
        "connect",
        "paced",
        "small frames",
        "large frames",
        "unread",
    ]
    assert all(phase.frames > 0 for phase in found.phases)
    connected = found.phases[0].resident
    # Of 3,000 connections that is 150 MiB.
    assert (connected - found.start) / 150 < 0.05, found
