"""What came out: numbers, their summary, the table and the JSON."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from bench.measures import Measure


@dataclass
class Series:
    """All that was measured of one measure on one executor.

    :ivar rounds: the numbers of each round.
    :ivar operations: how many operations the executor spent *cpu_seconds* on.
    :ivar failures: why rounds are missing, one text for each.
    :ivar given_up: no further round is tried.
    :ivar worst: see :attr:`Measure.worst`; such numbers are the better the lower they are.
    """

    rounds: list[list[float]] = field(default_factory=list)
    operations: int = 0
    cpu_seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    given_up: bool = False
    worst: bool = False

    @property
    def median(self) -> float | None:
        """Of all numbers of all rounds; the worst of them where that is what counts."""
        every = [value for values in self.rounds for value in values]
        return (max if self.worst else statistics.median)(every) if every else None

    @property
    def p99(self) -> float | None:
        """Of all numbers of all rounds; None if they are fewer than 100."""
        every = [value for values in self.rounds for value in values]
        return statistics.quantiles(every, n=100)[98] if len(every) >= 100 else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The lowest and the highest median of a round."""
        medians = [statistics.median(values) for values in self.rounds if values]
        return (min(medians), max(medians)) if medians else None

    @property
    def cpu_us(self) -> float | None:
        """Microseconds of the executor's processor time for one operation."""
        return self.cpu_seconds / self.operations * 1e6 if self.operations and self.cpu_seconds else None


def reached(measure: Measure, series: Series) -> bool | None:
    """Whether the goal was; None if there is no goal or no number."""
    if measure.goal is None or series.median is None:
        return None
    return series.median <= measure.goal if measure.better == "lower" else series.median >= measure.goal


def ratio(first: Series, other: Series) -> float | None:
    """The first one's median in units of the other's."""
    if first.median is None or not other.median:
        return None
    return first.median / other.median


Results = dict[str, dict[str, Series]]
"""By the key of the measure, then by the name of the executor, the first one first."""


def to_json(measures: list[Measure], results: Results) -> list[dict[str, Any]]:
    report = []
    for measure in measures:
        by_name = results[measure.key]
        first = next(iter(by_name.values()))
        report.append(
            {
                "measure": measure.key,
                "title": measure.title,
                "unit": measure.unit,
                "better": measure.better,
                "goal": measure.goal,
                "executors": {
                    name: {
                        "median": series.median,
                        "p99": series.p99,
                        "lowest": series.spread and series.spread[0],
                        "highest": series.spread and series.spread[1],
                        "samples": sum(map(len, series.rounds)),
                        "roundMedians": [statistics.median(values) for values in series.rounds if values],
                        "cpuMicrosecondsPerOperation": series.cpu_us,
                        "operation": measure.operation or None,
                        "goalReached": reached(measure, series),
                        "ratioOfFirst": None if series is first else ratio(first, series),
                        "failures": series.failures,
                    }
                    for name, series in by_name.items()
                },
            }
        )
    return report


def to_table(measures: list[Measure], results: Results) -> str:
    """Returns the readable table; failures stand below it."""
    names = list(next(iter(results.values())))
    header = ["", "unit", "goal"]
    for index, name in enumerate(names):
        header += [name, "rounds", "p99", "cpu us/op", "goal?" if index == 0 else f"{names[0]}/{name}"]
    lines = [header]
    failures = []
    for measure in measures:
        by_name = results[measure.key]
        line = [measure.title, measure.unit, _goal(measure)]
        for name, series in by_name.items():
            spread = series.spread
            line += [
                number_text(series.median),
                f"{number_text(spread[0])}..{number_text(spread[1])}"
                if spread and len(series.rounds) > 1
                else "",
                number_text(series.p99, ""),
                number_text(series.cpu_us, ""),
                _mark(reached(measure, series)) if name == names[0] else _ratio(measure, by_name, name),
            ]
            failures += [f"{measure.key}, {name}: {failure}" for failure in series.failures]
        lines.append(line)
    return "\n".join([align(lines, left=2), *failures])


def _ratio(measure: Measure, by_name: dict[str, Series], name: str) -> str:
    found = ratio(next(iter(by_name.values())), by_name[name])
    if found is None:
        return "-"
    better = found < 1 if measure.better == "lower" else found > 1
    return f"{found:.2f} {'better' if better else 'worse'}"


def _goal(measure: Measure) -> str:
    if measure.goal is None:
        return ""
    return f"{'<=' if measure.better == 'lower' else '>='} {number_text(measure.goal)}"


def _mark(value: bool | None) -> str:
    return "" if value is None else "reached" if value else "MISSED"


def number_text(value: float | None, absent: str = "-") -> str:
    if value is None:
        return absent
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def align(lines: list[list[str]], left: int) -> str:
    """Returns a table of *lines*, whose first columns, *left* of them, are flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
