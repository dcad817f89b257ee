"""What came out of two executors that were measured by turns: ratios by the round, table and JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bench.measures import Measure
from bench.results import Series, align, number_text, reached

START: Final = "Start to exited"
CALLS: Final = "Calls"
OUTPUT: Final = "Output"
FILES: Final = "Files"
SANDBOX: Final = "Start in a sandbox"
MEMORY: Final = "Memory"
LAUNCH: Final = "Start-up"
CONNECTIONS: Final = "Connections"
PARTS: Final = (START, SANDBOX, CONNECTIONS, CALLS, OUTPUT, FILES, MEMORY, LAUNCH)

Client = Literal["plain", "quick", ""]


@dataclass(frozen=True)
class Row:
    """One measure as it is compared.

    :ivar part: of the page.
    :ivar measure: with a goal of its own if this project's number itself has one.
    :ivar client: ``plain`` leaves acknowledgements to the kernel, ``quick`` sends each at once; empty where
        no call is measured.
    :ivar goal: of the ratio, this project's number divided by the other's; both goals have to be reached.
    """

    part: str
    measure: Measure
    client: Client
    goal: float | None

    @property
    def has_goal(self) -> bool:
        return self.goal is not None or self.measure.goal is not None

    @property
    def key(self) -> str:
        return "-".join(filter(None, (self.measure.key, self.client)))


@dataclass
class Pair:
    """One row: the numbers of both executors.

    :ivar series: of this project's, then of the other.
    :ivar ratios: of the medians of each round in which both gave numbers.
    """

    row: Row
    series: list[Series]
    ratios: list[float] = field(default_factory=list)
    _rounds: list[int] = field(default_factory=lambda: [0, 0])

    def end_round(self) -> None:
        """Takes the ratio of what was measured since the last round."""
        before, self._rounds = self._rounds, [len(each.rounds) for each in self.series]
        if all(now > then for now, then in zip(self._rounds, before, strict=True)):
            first, other = (statistics.median(each.rounds[-1]) for each in self.series)
            if other:
                self.ratios.append(first / other)

    @property
    def ratio(self) -> float | None:
        """The median of those of the rounds."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def cpu_ratio(self) -> float | None:
        """Of the processor time that an operation costs the executors, without that of what they start."""
        first, other = (each.cpu_us for each in self.series)
        return first / other if first and other else None

    @property
    def reached(self) -> bool | None:
        """Whether the goals were; None without a goal, or where there is nothing to hold against.

        What this project's executor alone cannot do is a goal missed.
        """
        own = reached(self.row.measure, self.series[0])
        if not own and self.row.measure.goal is not None:
            return False if own is not None or self.series[1].rounds else None
        goal, found = self.row.goal, self.ratio
        if goal is None:
            return own
        if found is None:
            return False if self.series[1].rounds else None
        return found <= goal if self.row.measure.better == "lower" else found >= goal


@dataclass
class Comparison:
    """One environment.

    :ivar executors: name of each, and what it is.
    :ivar rounds: so many were begun and ended.
    :ivar seconds: that the rounds took.
    """

    environment: str
    executors: list[tuple[str, str]]
    pairs: list[Pair]
    rounds: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "environment": self.environment,
            "executors": [{"name": name, "about": about} for name, about in self.executors],
            "rounds": self.rounds,
            "seconds": round(self.seconds, 1),
            "rows": [self._row(pair) for pair in self.pairs],
        }

    def _row(self, pair: Pair) -> dict[str, Any]:
        row = pair.row
        return {
            "row": row.key,
            "part": row.part,
            "title": row.measure.title,
            "unit": row.measure.unit,
            "better": row.measure.better,
            "client": row.client or None,
            "ratio": pair.ratio,
            "lowestRatio": min(pair.ratios, default=None),
            "highestRatio": max(pair.ratios, default=None),
            "roundRatios": pair.ratios,
            "cpuRatio": pair.cpu_ratio,
            "goal": row.goal,
            "goalOfNumber": row.measure.goal,
            "goalReached": pair.reached,
            "executors": {
                name: {
                    "median": series.median,
                    "p99": series.p99,
                    "roundMedians": [statistics.median(values) for values in series.rounds],
                    "cpuMicrosecondsPerOperation": series.cpu_us,
                    "operation": row.measure.operation or None,
                    "failures": series.failures,
                }
                for (name, _), series in zip(self.executors, pair.series, strict=True)
            },
        }

    def to_table(self) -> str:
        """Returns the readable table; what could not be measured stands below it."""
        (first, first_about), (other, other_about) = self.executors
        lines = [["", "unit", "client", first, other, "ratio", "rounds", "cpu", "goal", ""]]
        failures = []
        for pair in self.pairs:
            row = pair.row
            spread = f"{ratio_text(min(pair.ratios))}..{ratio_text(max(pair.ratios))}" if pair.ratios else ""
            lines.append(
                [
                    row.measure.title,
                    row.measure.unit,
                    row.client,
                    *(number_text(series.median) for series in pair.series),
                    "-" if pair.ratio is None else ratio_text(pair.ratio),
                    spread,
                    "" if pair.cpu_ratio is None else ratio_text(pair.cpu_ratio),
                    goal_text(pair),
                    _MARKS[pair.reached] if row.has_goal else "",
                ]
            )
            failures += [
                f"{row.key}, {name}: {failure}"
                for (name, _), series in zip(self.executors, pair.series, strict=True)
                for failure in series.failures
            ]
        head = f"{self.environment}: {first} ({first_about}) : {other} ({other_about}), {self.rounds} rounds"
        return "\n".join([head, align(lines, left=3), *failures])


_MARKS: Final = {None: "not measured", True: "reached", False: "MISSED"}


def ratio_text(ratio: float) -> str:
    """A ratio for people."""
    return f"{ratio:.2f}" if 0.1 <= ratio < 100 else f"{ratio:.2g}"


def goal_text(pair: Pair) -> str:
    sign = "<=" if pair.row.measure.better == "lower" else ">="
    measure = pair.row.measure
    goals = [] if measure.goal is None else [f"{number_text(measure.goal)} {measure.unit}"]
    if pair.row.goal is not None:
        goals.append(f"{pair.row.goal:g}")
    return f"{sign} {' and '.join(goals)}" if goals else ""
