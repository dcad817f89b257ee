"""``python -m bench --against``: with this package's executor in the place of the other one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.comparison import CALLS, Comparison, Pair, Row, goal_text
from bench.measures import MEASURES
from bench.page import render
from bench.results import Series
from tests.peer.conftest import Make

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the measures read /proc")
_ROOT = Path(__file__).resolve().parents[2]
_BY_KEY = {measure.key: measure for measure in MEASURES}
# It greets whoever comes by the end of the connection, and does not come back a second time.
_DIES = """
    import pathlib, socket, sys
    listener = socket.create_server(("127.0.0.1", 0))
    mark = pathlib.Path(__file__ + ".mark")
    if mark.exists():
        sys.exit("once is enough")
    mark.touch()
    print("ws://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    listener.accept()
"""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--against", "codex", "--quick", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_both_are_measured_and_the_ratios_told(make_program: Make, tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.html"
    program = ("--codex-binary", str(make_program()))
    ended = bench(*program, "--only=metadata,idle-rss", "--json", str(file), "--page", str(page))
    assert ended.returncode == 0, ended.stderr
    (made,) = json.loads(file.read_bytes())["comparisons"]
    rows = {row["row"]: row for row in made["rows"]}
    assert set(rows) == {"metadata-plain", "metadata-quick", "idle-rss"}
    for row in rows.values():
        assert len(row["roundRatios"]) == made["rounds"] == 2
        assert row["lowestRatio"] <= row["ratio"] <= row["highestRatio"]
        own, other = (row["executors"][name]["roundMedians"][0] for name in ("crossexec", "codex"))
        assert row["roundRatios"][0] == pytest.approx(own / other)
    assert rows["idle-rss"]["goal"] == 1.0
    assert "getMetadata" in ended.stdout and "<= 1" in ended.stdout
    assert "getMetadata · plain" in page.read_text("utf-8")


def test_another_one_that_dies_is_told_and_stops_nobody(make_program: Make, tmp_path: Path) -> None:
    program = ("--codex-binary", str(make_program(_DIES)))
    ended = bench(*program, "--only=metadata,connect", "--json", "-")
    assert ended.returncode == 0, ended.stderr
    (made,) = json.loads(ended.stdout)["comparisons"]
    for row in made["rows"]:
        own, other = row["executors"]["crossexec"], row["executors"]["codex"]
        assert own["median"] and not own["failures"]
        assert other["median"] is None and other["failures"]
        assert row["ratio"] is None and row["goalReached"] is None
    assert "once is enough" in made["rows"][-1]["executors"]["codex"]["failures"][0]
    assert "not measured" in ended.stderr


def test_one_that_is_missing_is_no_result(tmp_path: Path) -> None:
    ended = bench("--codex-binary", str(tmp_path / "none"))
    assert ended.returncode == 2
    assert "there is no program" in ended.stderr and "give the path of bin/codex" in ended.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--url=ws://127.0.0.1:1"],
        ["--env=docker"],
        ["--only=cuts"],
        ["--only=relay-call,metadata"],
        ["--only=relay-call", "--env=local"],
        ["--only=metadata", "--env=relay"],
    ],
)
def test_what_cannot_be_compared_is_wrong_usage(wrong: list[str]) -> None:
    ended = bench(*wrong)
    assert ended.returncode == 2 and "usage:" in ended.stderr


def test_the_relay_is_measured_with_this_executor_alone() -> None:
    """Of the other one that is done where it is there."""
    command = [sys.executable, "-m", "bench", "--quick", "--only=relay-call,relay-recover,relay-rss-100"]
    ended = subprocess.run(
        [*command, "--json", "-"], cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    measures = json.loads(ended.stdout)["measures"]
    found = {each["measure"]: each["executors"]["crossexec"] for each in measures}
    assert set(found) == {"relay-call", "relay-recover", "relay-rss-100"}
    for each in found.values():
        assert each["median"] > 0 and each["failures"] == []


def pair(
    key: str, goal: float | None, *rounds: tuple[float | None, float | None], number: float | None = None
) -> Pair:
    """A row of which each round gave the two numbers, or None.

    :param goal: of the ratio.
    :param number: the goal of this project's own.
    """
    measure = replace(_BY_KEY[key], goal=number)
    made = Pair(Row(CALLS, measure, "quick", goal), [Series(), Series()])
    for values in rounds:
        for series, value in zip(made.series, values, strict=True):
            if value is None:
                series.failures.append("<stuck>")
            else:
                series.rounds.append([value])
        made.end_round()
    return made


def test_a_ratio_is_of_one_round() -> None:
    made = pair("metadata", 1.0, (1, 2), (30, 20), (None, 5), (7, None), (8, 10))
    assert made.ratios == [0.5, 1.5, 0.8]
    assert made.ratio == 0.8 and made.reached is True


@pytest.mark.parametrize(
    ("key", "round", "reached"),
    [
        ("metadata", (3, 2), False),
        ("metadata-pipelined", (3, 2), True),
        ("metadata-pipelined", (2, 3), False),
        ("metadata", (None, 2), False),
        ("metadata", (2, None), None),
        ("metadata", (None, None), None),
    ],
)
def test_a_goal_is_reached_missed_or_not_measured(key: str, round: Any, reached: bool | None) -> None:
    assert pair(key, 1.0, round).reached is reached
    assert pair(key, None, round).reached is None


@pytest.mark.parametrize(
    ("key", "goal", "round", "reached"),
    [
        ("metadata", None, (10, 1), True),
        ("metadata", None, (11, 100), False),
        ("metadata", 1.0, (10, 1), False),
        ("metadata", 1.0, (10, 11), True),
        ("metadata", 1.0, (11, 100), False),
        ("metadata-pipelined", 1.0, (10, 9), True),
        ("metadata-pipelined", 1.0, (9, 1), False),
        ("metadata", None, (10, None), True),
        ("metadata", None, (None, 1), False),
        ("metadata", 1.0, (None, None), None),
    ],
)
def test_a_goal_of_the_number_has_to_be_reached_too(
    key: str, goal: float | None, round: Any, reached: bool | None
) -> None:
    made = pair(key, goal, round, number=10)
    assert made.reached is reached
    unit = "us" if key == "metadata" else "1/s"
    assert goal_text(made) == f"{'<=' if key == 'metadata' else '>='} 10 {unit}{' and 1' if goal else ''}"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.asked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.asked += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone_and_shows_what_failed() -> None:
    pairs = [pair("metadata", 1.0, (3, 2)), pair("connect", None, (2, None))]
    made = Comparison("local", [("crossexec", "a"), ("codex", "<b>")], pairs, 1, 2.0)
    report = {
        "date": "2026-01-31",
        "host": {"kernel": "6", "machine": "x", "processors": 2, "loadBefore": 0.1},
        "client": {"python": "3.11"},
        "scale": 1.0,
        "comparisons": [made.to_json()],
    }
    page = render(report)
    parser = _Elements()
    parser.feed(page)
    assert "script" not in parser.seen and parser.asked == []
    # One over all, and one for each row.
    assert parser.seen.count("svg") == 3
    assert "&lt;stuck&gt;" in page and "&lt;b&gt;" in page and "0 of 1 goals reached" in page
    assert "prefers-color-scheme: dark" in page
