"""``python -m bench --against``: this project's executor and another kind, by turns, held against ratios."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from bench import measures, relay, sandbox
from bench.comparison import (
    CALLS,
    CONNECTIONS,
    FILES,
    LAUNCH,
    MEMORY,
    OUTPUT,
    SANDBOX,
    START,
    Client,
    Comparison,
    Pair,
    Row,
)
from bench.launch import Executor, LaunchError, running
from bench.measures import Bench, Settings
from bench.places import PLACES, Place
from bench.results import Series
from bench.rounds import add_round, progress
from harness.settings import Settings as Choices


@dataclass
class Lane:
    """One of the executors: what runs now, and why it does not.

    :ivar gone: why it could not be started again.
    """

    place: Place
    executor: Executor | None = None
    gone: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def start(self) -> None:
        """:raises LaunchError: it does not start."""
        self.executor = await self._stack.enter_async_context(running(self.place.target))

    async def start_again(self) -> None:
        """Replaces what may be stuck or dead."""
        await self.close()
        try:
            await self.start()
        except LaunchError as error:
            self.gone = str(error)

    async def close(self) -> None:
        self.executor = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


async def compare(
    environment: str, choices: Choices, only: Sequence[str], settings: Settings, rounds: int, seconds: float
) -> Comparison:
    """Measures both by turns in each round.

    :param only: keys of measures; empty for all.
    :param rounds: at most so many.
    :param seconds: after which no further round is begun and the present one is cut short.
    :raises EnvironmentFailed: an executor cannot be had here.
    :raises LaunchError: one does not start.
    """
    begin = time.monotonic()
    rows = [row for row in ROWS[environment] if not only or row.measure.key in only]
    async with PLACES[environment](choices) as places:
        lanes = [Lane(place) for place in places]
        made = Comparison(
            environment,
            [(place.target.name, place.about) for place in places],
            [Pair(row, [Series() for _ in lanes]) for row in rows],
        )
        try:
            for lane in lanes:
                await lane.start()
            begin, deadline = time.monotonic(), time.monotonic() + seconds
            for number in range(rounds):
                if time.monotonic() >= deadline:
                    break
                for pair in made.pairs:
                    for lane, series in zip(lanes, pair.series, strict=True):
                        now = f"{pair.row.key}, {lane.place.target.name}"
                        progress(f"{environment}, round {number + 1}/{rounds}: {now}")
                        await _add(pair.row, lane, series, settings, deadline)
                    pair.end_round()
                made.rounds = number + 1
        finally:
            for lane in lanes:
                await lane.close()
            progress("")
    made.seconds = time.monotonic() - begin
    return made


async def _add(row: Row, lane: Lane, series: Series, settings: Settings, deadline: float) -> None:
    if time.monotonic() >= deadline:
        return
    if lane.executor is None:
        series.failures.append(lane.gone)
        series.given_up = True
        return
    failed = len(series.failures)
    bench = Bench(
        lane.place.target,
        lane.executor,
        lane.place.folder,
        replace(settings, quickack=row.client != "plain"),
        lane.place.system,
    )
    await add_round(row.measure, bench, series, deadline)
    if len(series.failures) > failed:
        # Whether it is stuck, dead or well, nobody can tell from outside: the next measure gets a new one.
        await lane.start_again()


_PART_OF: Final = {
    "process": START,
    "processes": START,
    "terminate": START,
    "sandboxed": SANDBOX,
    "connect": CALLS,
    "metadata": CALLS,
    "metadata-pipelined": CALLS,
    "output": OUTPUT,
    "read-file": FILES,
    "read-blocks": FILES,
    "write-blocks": FILES,
    "idle-rss": MEMORY,
    "idle-pss": MEMORY,
    "processes-rss": MEMORY,
    "start": LAUNCH,
}
_WITH_CALLS: Final = frozenset(key for key, part in _PART_OF.items() if part not in (MEMORY, LAUNCH))
_PART_OF_RELAY: Final = {
    "relay-handshake": CONNECTIONS,
    "relay-call": CALLS,
    "relay-output": OUTPUT,
    "relay-read-blocks": FILES,
    "relay-recover": CONNECTIONS,
    "relay-first-reply": CONNECTIONS,
    "relay-calls": CALLS,
    "relay-outputs": OUTPUT,
    "relay-read-file": FILES,
    "relay-write-blocks": FILES,
    "relay-rss": MEMORY,
    "relay-rss-100": MEMORY,
}
# Beside those of the numbers themselves.
_RELAY_GOALS: Final = {"relay-output": 1.0, "relay-read-blocks": 1.0}
_GOALS: Final = {
    "process-plain": 0.5,
    "process-quick": 0.9,
    "sandboxed": 0.15,
    "metadata": 1.0,
    "metadata-pipelined": 1.0,
    "output": 1.5,
    "read-file": 1.5,
    "read-blocks": 1.5,
}
_BY_KEY: Final = {measure.key: measure for measure in [*measures.MEASURES, *sandbox.MEASURES]}
# What has a goal comes first, lest the time be up before.
_LOCAL: Final = {
    "process": 60,
    "sandboxed": 24,
    "metadata": 2000,
    "metadata-pipelined": 10_000,
    "output": 128,
    "read-file": 64,
    "read-blocks": 128,
    "idle-rss": 1,
    "start": 1,
    "processes": 160,
    "terminate": 30,
    "connect": 40,
    "write-blocks": 128,
    "idle-pss": 1,
    "processes-rss": 300,
}
_WINE: Final = {
    "process": 8,
    "metadata": 150,
    "metadata-pipelined": 1000,
    "output": 16,
    "read-file": 16,
    "read-blocks": 32,
    "idle-rss": 1,
    "start": 1,
    "processes": 16,
    "terminate": 4,
    "connect": 8,
    "write-blocks": 16,
    "idle-pss": 1,
}
_TITLES: Final = {"processes-rss": "resident after 300 processes"}
_WINDOWS_TITLES: Final = {
    "process": "cmd.exe /c exit, start to exited",
    "processes": "cmd.exe /c exit, 16 in flight",
    "terminate": "terminate to closed, of a python.exe",
}


def _rows(amounts: dict[str, int], goals: dict[str, float], titles: dict[str, str]) -> list[Row]:
    """
    :param amounts: by the measure's key; with both clients unless it is of memory or of a launch.
    :param goals: by the row's key, else by the measure's.
    :param titles: other ones, by the measure's key.
    """
    made = []
    for key, amount in amounts.items():
        known = _BY_KEY[key]
        run = _write_blocks if key == "write-blocks" else known.run
        measure = replace(known, amount=amount, goal=None, run=run, title=titles.get(key, known.title))
        clients: tuple[Client, ...] = ("plain", "quick") if key in _WITH_CALLS else ("",)
        for client in clients:
            row = Row(_PART_OF[key], measure, client, None)
            made.append(replace(row, goal=goals.get(row.key, goals.get(key))))
    return made


def _relay_rows() -> list[Row]:
    """Each with the one client that there is: it talks to the rendezvous, and not to an executor."""
    known = {measure.key: measure for measure in relay.MEASURES}
    return [Row(part, known[key], "", _RELAY_GOALS.get(key)) for key, part in _PART_OF_RELAY.items()]


async def _write_blocks(bench: Bench, amount: int) -> list[float]:
    """Writes the file twice and measures the second time.

    In a virtual machine memory that nobody has used of late costs more than all that is done with it, and who
    comes second would have what the first has freed.
    """
    await _BY_KEY["write-blocks"].run(bench, amount)
    return await _BY_KEY["write-blocks"].run(bench, amount)


ROWS: Final = {
    "local": _rows(_LOCAL, {**_GOALS, "idle-rss": 1.0}, _TITLES),
    "relay": _relay_rows(),
    # No sandbox holds there.
    "wine-exec": _rows(_WINE, {**_GOALS, "idle-rss": 0.25}, _WINDOWS_TITLES),
}
"""By the environment."""
