"""``python -m bench --against``: this project's executor and another kind, by turns, held against ratios."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from bench import measures, sandbox
from bench.comparison import Comparison, Pair
from bench.launch import Executor, LaunchError, running
from bench.measures import Bench, Measure, Settings
from bench.places import PLACES, Place
from bench.results import Series
from bench.rounds import add_round, progress
from harness.settings import Settings as Choices

Client = Literal["plain", "quick", ""]

START: Final = "Start to exited"
CALLS: Final = "Calls"
OUTPUT: Final = "Output"
FILES: Final = "Files"
SANDBOX: Final = "Start in a sandbox"
MEMORY: Final = "Memory"
LAUNCH: Final = "Start-up"
PARTS: Final = (START, SANDBOX, CALLS, OUTPUT, FILES, MEMORY, LAUNCH)


@dataclass(frozen=True)
class Row:
    """One measure as it is compared.

    :ivar part: of the page.
    :ivar client: ``plain`` leaves acknowledgements to the kernel, ``quick`` sends each at once; empty where no
        call is measured.
    :ivar goal: of the ratio, this project's number divided by the other's.
    """

    part: str
    measure: Measure
    client: Client
    goal: float | None

    @property
    def key(self) -> str:
        return "-".join(filter(None, (self.measure.key, self.client)))


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
                        progress(
                            f"{environment}, round {number + 1}/{rounds}: {pair.row.key}, {lane.place.target.name}"
                        )
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


def _rows(amounts: dict[str, int], goals: dict[str, float], known: Sequence[Measure]) -> list[Row]:
    """
    :param amounts: by the measure's key; with both clients unless it is of memory or of a launch.
    :param goals: by the row's key, else by the measure's.
    """
    by_key = {measure.key: measure for measure in known}
    made = []
    for key, amount in amounts.items():
        measure = replace(by_key[key], amount=amount, goal=None)
        clients: tuple[Client, ...] = ("plain", "quick") if key in _WITH_CALLS else ("",)
        for client in clients:
            row = Row(_PART_OF[key], measure, client, None)
            made.append(replace(row, goal=goals.get(row.key, goals.get(key))))
    return made


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
_KNOWN: Final = [*measures.MEASURES, *sandbox.MEASURES]
_LOCAL: Final = {
    "process": 60,
    "processes": 160,
    "terminate": 30,
    "sandboxed": 24,
    "connect": 40,
    "metadata": 2000,
    "metadata-pipelined": 10_000,
    "output": 128,
    "read-file": 64,
    "read-blocks": 128,
    "write-blocks": 128,
    "idle-rss": 1,
    "idle-pss": 1,
    "processes-rss": 300,
    "start": 1,
}
_WINE: Final = {
    "process": 12,
    "processes": 32,
    "terminate": 6,
    "connect": 20,
    "metadata": 300,
    "metadata-pipelined": 2000,
    "output": 32,
    "read-file": 16,
    "read-blocks": 32,
    "write-blocks": 32,
    "idle-rss": 1,
    "idle-pss": 1,
    "start": 1,
}
_WINDOWS_TITLES: Final = {
    "process": "cmd.exe /c exit, start to exited",
    "processes": "cmd.exe /c exit, 16 in flight",
}
ROWS: Final = {
    "local": _rows(_LOCAL, {**_GOALS, "idle-rss": 1.0}, _KNOWN),
    # No sandbox holds there.
    "wine-exec": _rows(
        _WINE,
        {**_GOALS, "idle-rss": 0.25},
        [replace(each, title=_WINDOWS_TITLES.get(each.key, each.title)) for each in _KNOWN],
    ),
}
"""By the environment."""
KEYS: Final = list(_LOCAL)
