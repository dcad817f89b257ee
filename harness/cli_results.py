"""``crossexec report`` and ``crossexec compare``: what is done with results that are there."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from harness.cli_target import UsageError
from harness.matrix.compare import NOT_THERE, CellChange, Change, Comparison, compare_results
from harness.matrix.merge import merge
from harness.matrix.model import Results, ResultsError, read_results
from harness.matrix.report import PAGE, write_report
from harness.matrix.report.headline import headline
from harness.matrix.summary import counted, duration, outcome_words, place_names, printable

DEFAULT_FOLDER: Final = Path("matrix-results")

# How many of a section are shown: of what is bad, and of what is told beside.
_BAD_LISTED: Final = 50
_LISTED: Final = 20
_REASON: Final = 300


async def report(options: argparse.Namespace) -> int:
    """Writes one report of all the results.

    :raises UsageError: one cannot be read, or they are no parts of one whole.
    :raises OSError: the report cannot be written.
    """
    folder: Path = options.out or DEFAULT_FOLDER
    try:
        results = merge([(path, read_results(path)) for path in options.results])
    except ResultsError as error:
        raise UsageError(str(error)) from error
    write_report(results, folder)
    print(printable(headline(results).text))
    print(", ".join(outcome_words(results.counts())) or "no case")
    for failure in results.failures:
        print(f"  {printable(failure)}")
    if ", " in results.commit:
        print(f"crossexec report: these are of different commits: {results.commit}", file=sys.stderr)
    print(folder / PAGE)
    return 0


async def compare(options: argparse.Namespace) -> int:
    """Tells what changed; the exit status is 1 if anything broke.

    :raises UsageError: one of the results cannot be read.
    """
    if not options.slower > 1:
        raise UsageError(f"--slower: {options.slower:g} is no factor above 1")
    try:
        before, after = (merge([(path, read_results(path))]) for path in (options.before, options.after))
        comparison = compare_results(before, after, slower=options.slower)
    except ResultsError as error:
        raise UsageError(str(error)) from error
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    else:
        for line in comparison_lines(comparison, before, after):
            print(line)
    return 1 if comparison.any_broke else 0


def comparison_lines(comparison: Comparison, before: Results, after: Results) -> Iterator[str]:
    """The comparison for people, what matters most first."""
    places = place_names(cell.key for results in (before, after) for cell in results.cells)
    yield _verdict(comparison)
    yield from _section("Broke", list(_one_by_one(comparison.broke, places)), _BAD_LISTED)
    yield from _section("Cells that were not run to the end", _cells(comparison.broken_cells, places))
    yield from _changes("Known gaps that passed before", comparison.new_gaps, places)
    yield from _section("New failures of the whole run", [[printable(text)] for text in comparison.failures])
    yield from _changes("Flaky now", comparison.newly_flaky, places)
    yield from _changes("Mended", comparison.mended, places)
    yield from _section(
        "Slower",
        [
            [
                f"{places[entry.key.column]} {printable(entry.function)}: "
                f"{duration(entry.before)} -> {duration(entry.after)}"
            ]
            for entry in comparison.slower
        ],
    )
    yield from _changes("Skipped now", comparison.newly_skipped, places)
    yield from _changes("Changed otherwise", comparison.otherwise, places)
    yield from _changes("Vanished", comparison.vanished, places)
    yield from _changes("New", comparison.new, places)
    yield from _section("Cells", _cells(comparison.cells, places))
    yield from _section(
        "Versions",
        [
            [
                f"{places.get(entry.place, 'this machine')} {printable(entry.name)}: "
                f"{printable(entry.before) or 'not told'} -> {printable(entry.after) or 'not told'}"
            ]
            for entry in comparison.versions
        ],
    )


def _verdict(comparison: Comparison) -> str:
    broke = [
        counted(len(changes), *words)
        for changes, words in (
            (comparison.broke, ("case broke", "cases broke")),
            (comparison.broken_cells, ("cell was not run to the end", "cells were not run to the end")),
            (comparison.new_gaps, ("new known gap",)),
        )
        if changes
    ]
    rest = [
        f"{len(changes)} {word}"
        for changes, word in (
            (comparison.mended, "mended"),
            (comparison.newly_flaky, "flaky now"),
            (comparison.slower, "slower"),
            (comparison.still_failing, "fail as before"),
        )
        if changes
    ]
    rest.append(f"{comparison.same} as before" if comparison.same else "no case is as before")
    return "; ".join([", ".join(broke) or "nothing broke", *rest])


def _section(
    title: str, entries: Sequence[Sequence[str]], listed: int = _LISTED, cases: int | None = None
) -> Iterator[str]:
    """Each entry has a line, and further ones that are shown below it."""
    if not entries:
        return
    yield ""
    yield f"{title} ({len(entries) if cases is None else cases})"
    for first, *more in entries[:listed]:
        yield f"  {first}"
        yield from (f"      {line}" for line in more if line)
    if len(entries) > listed:
        yield f"  and {counted(len(entries) - listed, 'more entry', 'more entries')}: --json lists all"


def _one_by_one(changes: Sequence[Change], places: Mapping[str, str]) -> Iterator[Sequence[str]]:
    for change in changes:
        yield [
            f"{places[change.key.column]} {printable(change.test)}: {change.before} -> {change.after}",
            printable(change.reason, _REASON),
            # Altered, it would run something else.
            change.rerun if change.rerun.isprintable() else "",
        ]


def _changes(title: str, changes: Sequence[Change], places: Mapping[str, str]) -> Iterator[str]:
    """One entry for all cases of a function that have changed alike, the largest first."""
    alike: dict[tuple[str, str, str], list[Change]] = defaultdict(list)
    for change in changes:
        there = NOT_THERE not in (change.before, change.after)
        how = f": {change.before} -> {change.after}" if there else ""
        alike[places[change.key.column], change.test.partition("[")[0], how].append(change)
    entries = []
    for (place, function, how), group in sorted(alike.items(), key=lambda entry: -len(entry[1])):
        name = printable(group[0].test if len(group) == 1 else function)
        number = "" if len(group) == 1 else f" ({len(group)} cases)"
        reasons = dict.fromkeys(printable(change.reason, _REASON) for change in group) if how else {}
        entries.append([f"{place} {name}{number}{how}", *list(reasons)[:3]])
    yield from _section(title, entries, cases=len(changes))


def _cells(changes: Sequence[CellChange], places: Mapping[str, str]) -> list[list[str]]:
    """One entry for all cells of a place that have changed alike."""
    alike: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for change in changes:
        alike[places[change.key.column], change.before, change.after, change.reason].append(change.key.suite)
    return [
        [f"{place} {', '.join(suites)}: {before} -> {after}", printable(reason, _REASON)]
        for (place, before, after, reason), suites in alike.items()
    ]
