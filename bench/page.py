"""A comparison as a page: one file with plots, which asks nothing of any network and runs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from bench.comparison import PARTS, ratio_text
from bench.results import number_text

_WIDTH: Final = 640
_LABEL: Final = 300
_LINE: Final = 24
_BAR: Final = 10
_BARS: Final = 380
_TOLD: Final = 90


def render(report: dict[str, Any]) -> str:
    """Returns the page of what ``--json`` writes."""
    host, client = report["host"], report["client"]
    about = (
        f"{report['date']} · Linux {host['kernel']}, {host['machine']}, {host['processors']} processors, "
        f"load {host['loadBefore']:.1f} before · client on Python {client['python']}"
    )
    if report["scale"] != 1:
        about += f" · amounts times {report['scale']:g}"
    page = Template(files("bench").joinpath("page.html").read_text("utf-8"))
    return page.substitute(
        about=escape(about),
        body="\n".join(_environment(each) for each in report["comparisons"]),
    )


def _environment(made: dict[str, Any]) -> str:
    first, other = (each["name"] for each in made["executors"])
    told = ", ".join(f"{each['name']}: {each['about']}" for each in made["executors"])
    judged = [row for row in made["rows"] if _has_goal(row)]
    reached = sum(row["goalReached"] is True for row in judged)
    lines = [
        f"<section><h2>{escape(made['environment'])}</h2>",
        f"<p>{escape(told)}. {made['rounds']} rounds in {made['seconds']:.0f} s. "
        f"<strong>{reached} of {len(judged)} goals reached.</strong></p>",
        f"<h3>How many times better {escape(first)} is</h3>",
        "<p>Dot: the median of the rounds' ratios; line: from the lowest to the highest round; "
        "tick: the goal. Right of 1 is better.</p>",
        _overview(made["rows"]),
    ]
    for part in PARTS:
        rows = [row for row in made["rows"] if row["part"] == part]
        if rows:
            lines += [f"<h3>{escape(part)}</h3>", *(_row(row, first, other) for row in rows)]
    lines += ["<h3>All numbers</h3>", _table(made["rows"], first, other), "</section>"]
    return "\n".join(lines)


def _overview(rows: Iterable[dict[str, Any]]) -> str:
    shown = [row for row in rows if row["ratio"]]
    if not shown:
        return "<p>No ratio was measured.</p>"
    values = [
        _advantage(row, row[name])
        for row in shown
        for name in ("lowestRatio", "highestRatio", "goal")
        if row[name]
    ]
    low = min(0, math.floor(math.log10(min(values))))
    high = max(1, math.ceil(math.log10(max(values))))

    def x(advantage: float) -> float:
        return _LABEL + (math.log10(advantage) - low) / (high - low) * (_WIDTH - _LABEL - 20)

    height = _LINE * (len(shown) + 1) + 4
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="ratios of all measures">']
    for power in range(low, high + 1):
        at = x(10.0**power)
        kind = "one" if power == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - _LINE}"/>')
        parts.append(f'<text class="axis" x="{at:.1f}" y="{height - 8}">{10.0**power:g}</text>')
    for index, row in enumerate(shown):
        y = _LINE * index + _LINE / 2
        ends = sorted(x(_advantage(row, row[name])) for name in ("lowestRatio", "highestRatio"))
        kind = {None: "plain", True: "good", False: "bad"}[row["goalReached"]]
        parts += [
            f'<g class="{kind}"><title>{escape(_told(row))}</title>',
            f'<text class="label" x="{_LABEL - 12}" y="{y + 4:.1f}">{escape(_name(row))}</text>',
            f'<line class="range" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>',
        ]
        if row["goal"] is not None:
            at = x(_advantage(row, row["goal"]))
            parts.append(
                f'<line class="goal" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 8:.1f}" y2="{y + 8:.1f}"/>'
            )
        parts.append(f'<circle cx="{x(_advantage(row, row["ratio"])):.1f}" cy="{y:.1f}" r="4.5"/></g>')
    return "\n".join([*parts, "</svg>"])


def _row(row: dict[str, Any], first: str, other: str) -> str:
    better = "less is better" if row["better"] == "lower" else "more is better"
    head = f"<p class=row><b>{escape(_name(row))}</b> <span>{row['unit']}, {better}</span> "
    head += f"<span class={_state(row)}>{escape(_verdict(row))}</span></p>"
    return head + _bars(row, (first, other))


def _bars(row: dict[str, Any], names: tuple[str, str]) -> str:
    """A bar for each executor's median, with a dot for each round."""
    rounds = {name: row["executors"][name]["roundMedians"] for name in names}
    medians = {name: row["executors"][name]["median"] for name in names}
    most = max([*(value for name in names for value in rounds[name]), *filter(None, medians.values()), 1e-9])
    scale = _BARS / most
    parts = [f'<svg viewBox="0 0 {_WIDTH} {2 * _LINE}" role="img" aria-label="{escape(_told(row))}">']
    for index, name in enumerate(names):
        y = _LINE * index + _LINE / 2
        parts.append(f'<text class="label" x="{_TOLD - 8}" y="{y + 4}">{escape(name)}</text>')
        if medians[name] is None:
            why = (row["executors"][name]["failures"] or ["not measured"])[-1]
            parts.append(f'<text class="value" x="{_TOLD}" y="{y + 4}">{escape(why[:80])}</text>')
            continue
        width = max(1.0, medians[name] * scale)
        kind = "own" if index == 0 else "peer"
        size = f'width="{width:.1f}" height="{_BAR}"'
        parts.append(f'<rect class="{kind}" x="{_TOLD}" y="{y - _BAR / 2}" {size} rx="2"/>')
        parts += [
            f'<circle class="round" cx="{_TOLD + value * scale:.1f}" cy="{y}" r="2.5"/>'
            for value in rounds[name]
        ]
        end = _TOLD + max(width, *(value * scale for value in rounds[name])) + 10
        parts.append(f'<text class="value" x="{end:.1f}" y="{y + 4}">{number_text(medians[name])}</text>')
    return "\n".join([*parts, "</svg>"])


def _table(rows: Iterable[dict[str, Any]], first: str, other: str) -> str:
    head = ("Measure", "Unit", "Client", first, other, "Ratio", "Rounds", "CPU", "Goal", "")
    lines = ["<div class=wide><table><tr>", *(f"<th>{escape(text)}" for text in head)]
    for row in rows:
        measured = row["ratio"] is not None
        cells = (
            row["title"],
            row["unit"],
            row["client"] or "",
            *(number_text(row["executors"][name]["median"]) for name in (first, other)),
            ratio_text(row["ratio"]) if measured else "-",
            f"{ratio_text(row['lowestRatio'])}..{ratio_text(row['highestRatio'])}" if measured else "",
            "" if row["cpuRatio"] is None else ratio_text(row["cpuRatio"]),
            _goal(row),
        )
        state = {None: "", True: "reached", False: "missed"}[row["goalReached"]]
        cut = "".join(f"<td>{escape(cell)}" for cell in cells)
        lines.append(f"<tr>{cut}<td class={_state(row)}>{state}")
        lines += [
            f"<tr><td colspan=10 class=why>{escape(name)}: {escape(failure)}"
            for name in (first, other)
            for failure in row["executors"][name]["failures"]
        ]
    return "\n".join([*lines, "</table></div>"])


def _advantage(row: dict[str, Any], ratio: float) -> float:
    """How many times better the first is."""
    return 1 / ratio if row["better"] == "lower" else ratio


def _name(row: dict[str, Any]) -> str:
    title: str = row["title"]
    return title + (f" · {row['client']}" if row["client"] else "")


def _has_goal(row: dict[str, Any]) -> bool:
    return row["goal"] is not None or row["goalOfNumber"] is not None


def _goal(row: dict[str, Any]) -> str:
    if not _has_goal(row):
        return ""
    goals = [] if row["goalOfNumber"] is None else [f"{number_text(row['goalOfNumber'])} {row['unit']}"]
    if row["goal"] is not None:
        goals.append(f"{row['goal']:g}")
    return f"{'≤' if row['better'] == 'lower' else '≥'} {' and '.join(goals)}"


def _verdict(row: dict[str, Any]) -> str:
    ratio = "no ratio" if row["ratio"] is None else f"ratio {ratio_text(row['ratio'])}"
    state = {None: "", True: ", reached", False: ", missed"}[row["goalReached"]]
    return ratio + (f", goal {_goal(row)}{state}" if _has_goal(row) else "")


def _told(row: dict[str, Any]) -> str:
    spread = ""
    if row["ratio"] is not None:
        spread = f", rounds {ratio_text(row['lowestRatio'])} to {ratio_text(row['highestRatio'])}"
    return f"{_name(row)}: {_verdict(row)}{spread}"


def _state(row: dict[str, Any]) -> str:
    return {None: "plain", True: "good", False: "bad"}[row["goalReached"]]
