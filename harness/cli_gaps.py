"""The subcommand ``crossexec gaps``: the known gaps of tests, as a table, as lines or as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli_target import UsageError
from harness.matrix.definition import DefinitionError, load_definition
from harness.matrix.ledger import ENVIRONMENT_NAMES, KnownGap, read_gaps

_NOBODY = "nobody named"


async def gaps(options: argparse.Namespace) -> int:
    if options.env is not None and options.env not in ENVIRONMENT_NAMES:
        raise UsageError(
            f"--env: there is no environment {options.env!r}; there are {', '.join(ENVIRONMENT_NAMES)}"
        )
    try:
        paths = options.paths or [Path(suite) for suite in load_definition(None).suites.values()]
    except DefinitionError as error:
        raise UsageError(str(error)) from error
    found = [gap for gap in read_gaps(paths) if options.env is None or gap.concerns(options.env)]
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    elif options.check:
        _print_check(found)
    else:
        _print_ledger(found, options.env)
    return 1 if options.check and any(gap.problems for gap in found) else 0


def _print_check(found: Sequence[KnownGap]) -> None:
    for gap in found:
        for kind, texts in (("error", gap.problems), ("warning", gap.warnings)):
            for text in texts:
                print(f"{gap.place}: {kind}: {text}")
    wrong = sum(bool(gap.problems) for gap in found)
    print(
        f"{_count(len(found), 'known gap')}, {f'{wrong} not told properly' if wrong else 'all told properly'}"
    )


def _print_ledger(found: Sequence[KnownGap], environment: str | None) -> None:
    console = Console(highlight=False)
    if not found:
        print(f"no known gaps{f' in {environment}' if environment else ''}")
    elif console.is_terminal:
        for owner, of_owner in groupby(found, key=lambda gap: gap.owner):
            console.print(_table(owner, list(of_owner)))
        console.print("The tests are named by --json.", style="dim")
    else:
        for gap in found:
            print(f"{gap.place}: {gap.reason} ({'; '.join(_facts(gap))})")


def _facts(gap: KnownGap) -> list[str]:
    owner = " ".join(filter(None, (gap.owner or _NOBODY, gap.version)))
    since = " ".join(filter(None, (gap.commit, gap.date)))
    facts = [owner, _where(gap), _count(len(gap.tests), "test"), f"since {since}" if gap.date else since]
    return [fact for fact in (*facts, gap.issue, "" if gap.run else "not run") if fact]


def _table(owner: str, found: Sequence[KnownGap]) -> Table:
    """The gaps of one owner; those that differ by their place alone share a row."""
    title = Text(owner or _NOBODY, style="bold") + Text(
        f"  {_count(len(found), 'gap')}, {_count(len(_tests(found)), 'test')}", style="not bold dim"
    )
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        leading=1,
    )
    table.add_column("What is different, and where it is marked", ratio=1)
    table.add_column("In", no_wrap=True)
    table.add_column("Tests", justify="right")
    table.add_column("Since", no_wrap=True)

    def same(gap: KnownGap) -> tuple[object, ...]:
        return gap.reason.casefold(), gap.reason, _where(gap), gap.version, gap.issue, gap.run

    for _, alike in groupby(sorted(found, key=same), key=same):
        marks = list(alike)
        first = marks[0]
        told = Text(first.reason if first.run else f"{first.reason} (not run)")
        for line in (first.issue, *(gap.place for gap in marks)):
            told.append(f"\n{line}" if line else "", style="dim")
        where = Text(_where(first))
        where.append(f"\n{owner} {first.version}" if first.version else "", style="dim")
        since = Text("\n").join(
            Text(date or commit).append(f"\n{commit}" if date else "", style="dim")
            for date, commit in dict.fromkeys((gap.date, gap.commit) for gap in marks)
        )
        table.add_row(told, where, str(len(_tests(marks))), since)
    return table


def _tests(found: Iterable[KnownGap]) -> set[str]:
    return {test for gap in found for test in gap.tests}


def _where(gap: KnownGap) -> str:
    places = [", ".join(gap.env) or "everywhere"]
    return " with ".join([*places, ", ".join(gap.executor)] if gap.executor else places)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
