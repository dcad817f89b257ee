"""``crossexec doctor``: what this machine can give, why not more, and what would help."""

from __future__ import annotations

import argparse
from itertools import groupby
from typing import Final

import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.cli_target import UsageError, chosen_settings
from harness.doctor import Given, Report, State, examine
from harness.environments import ENVIRONMENTS, GROUPS, expand_groups

_STYLES: Final = {
    State.OK: "green",
    State.LATER: "cyan",
    State.MISSING: "yellow",
    State.BROKEN: "bold red",
    State.NOT_NEEDED: "dim",
}
_STATE_WIDTH: Final = max(map(len, State))


async def doctor(options: argparse.Namespace) -> int:
    """Prints what was found; returns the exit status, 1 if an environment that was named cannot be given.

    :raises UsageError: there is no environment of a name.
    """
    named = expand_groups(options.env)
    for name in named:
        if name not in ENVIRONMENTS:
            known = ", ".join((*ENVIRONMENTS, *GROUPS))
            raise UsageError(f"no environment {name!r}: give some of {known}")
    report = await examine(chosen_settings(options))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _show(report)
    missing = [given.name for given in report.environments if given.name in named and not given.ok]
    return 1 if missing else 0


def _show(report: Report) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        width = max(map(len, [*(fact.name for fact in report.facts), *ENVIRONMENTS]))
        for group, facts in groupby(report.facts, key=lambda fact: fact.group):
            console.print(Text(group, style="bold"))
            console.print(_table([(fact.state, fact.name, fact.found, fact.remedy) for fact in facts], width))
        console.print(Text("environments", style="bold"))
        console.print(_table([_row(given) for given in report.environments], width))
    for line in capture.get().splitlines():
        print(line.rstrip())


def _row(given: Given) -> tuple[State, str, str, str]:
    if given.ok:
        return State.OK, given.name, "can be given here", ""
    return State.MISSING, given.name, given.reason, given.remedy


def _table(rows: list[tuple[State, str, str, str]], width: int) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_STATE_WIDTH, no_wrap=True)
    table.add_column(width=width, no_wrap=True)
    table.add_column(overflow="fold")
    for state, name, found, remedy in rows:
        table.add_row(Text(state, style=_STYLES[state]), name, Text(found))
        if remedy:
            table.add_row("", "", _hanging("→", remedy))
    return Padding(table, (0, 0, 0, 2))


def _hanging(mark: str, text: str) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(mark, Text(text, style="bold"))
    return table
