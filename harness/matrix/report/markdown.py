"""The summary in Markdown that the page of a CI job shows: GitHub's flavour, which GitLab renders alike."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Final

from harness.matrix.model import Case, Cell, CellStatus, Outcome, Results
from harness.matrix.report.headline import headline
from harness.matrix.summary import (
    Square,
    Table,
    bad_cases,
    cell_name,
    counted,
    duration,
    outcome_words,
    printable,
    rerun_command,
)

LIMIT: Final = 60 * 1024
"""How many bytes of UTF-8 the summary has at most; a step of GitHub Actions may have 1 MiB in all."""

_TEXT: Final = 300
_COMMAND: Final = 1000
_SLOWEST: Final = 10
_WORTH_TELLING: Final = 0.1
_HASH: Final = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")
_STATUS_WORDS: Final = {
    CellStatus.BROKEN: "**BROKEN**",
    CellStatus.INTERRUPTED: "**interrupted**",
    CellStatus.UNAVAILABLE: "unavailable",
}

# What each section may take, in bytes. All of them and a line for each that says what was cut fit the limit.
_QUOTAS: Final = {
    "": 6_000,
    "Suites and places": 8_000,
    "Failures": 20_000,
    "Not run to the end": 5_000,
    "Unavailable": 3_000,
    "Flaky": 4_000,
    "Known gaps": 5_000,
    "Times": 4_000,
    "Versions": 3_000,
}


def markdown(results: Results) -> str:
    """Returns the summary, at most :data:`LIMIT` bytes of it; what had to be cut is told in its place."""
    table = Table(results.cells)
    sections = {
        "": _head(results),
        "Suites and places": _squares(table),
        "Failures": _failures(results, table),
        "Not run to the end": _broken(results, table),
        "Unavailable": _unavailable(results, table),
        "Flaky": _flaky(results, table),
        "Known gaps": _gaps(results, table),
        "Times": _times(results, table),
        "Versions": _versions(results, table),
    }
    parts = []
    for title, blocks in sections.items():
        if blocks:
            parts += [f"### {title}\n\n"] if title else []
            parts += [_fitting(blocks, _QUOTAS[title]), "\n"]
    return "".join(parts).rstrip("\n") + "\n"


def _fitting(blocks: Sequence[str], quota: int) -> str:
    """Returns as many blocks, each of whole lines, as fit."""
    text = "".join(blocks)
    if len(text.encode("utf-8", "backslashreplace")) <= quota:
        return text
    kept: list[str] = []
    for block in blocks:
        quota -= len(block.encode("utf-8", "backslashreplace"))
        if quota < 0:
            break
        kept.append(block)
    left = len(blocks) - len(kept)
    return "".join(kept) + f"\n{counted(left, 'more entry', 'more entries')} cut here: see `index.html`.\n"


def _head(results: Results) -> list[str]:
    lines = [f"## crossexec matrix: {_plain(headline(results).text, 2 * _TEXT)}\n\n"]
    lines += [f"- **{_plain(failure)}**\n" for failure in results.failures]
    told = outcome_words(results.counts())
    told += [f"started {results.started}", f"took {duration(results.seconds)}"]
    if results.commit:
        told.append("commit " + _HASH.sub(r"\1", results.commit))
    return [*lines, "\n" if results.failures else "", f"{_plain(', '.join(told))}\n"]


def _squares(table: Table) -> list[str]:
    columns = list(table.places)
    head = _row(["suite", *(_plain(table.places[column]) for column in columns)])
    # One block, since half of a head is no table.
    rows = [head + _row(["---"] * (len(columns) + 1))]
    for suite in table.suites:
        rows.append(_row([_plain(suite), *(_square(table.square(suite, column)) for column in columns)]))
    if len(table.suites) > 1:
        rows.append(_row(["all", *(_square(table.total(column)) for column in columns)]))
    return rows


def _square(square: Square | None) -> str:
    if square is None:
        return ""
    words = [word for status, word in _STATUS_WORDS.items() if square.statuses[status]]
    bad = {outcome: number for outcome, number in square.counts.items() if outcome.is_bad and number}
    words += [f"**{number} {outcome.upper()}**" for outcome, number in bad.items()]
    return ", ".join([*words, *outcome_words(square.counts - Counter(bad))]) or "no cases"


def _failures(results: Results, table: Table) -> list[str]:
    return [_case(cell, case, table) for cell, case in bad_cases(results)]


def _case(cell: Cell, case: Case, table: Table) -> str:
    word = f"**{case.outcome.upper()}** " if case.outcome.is_bad else ""
    aside = " (not required)" if case.outcome.is_bad and not cell.required else ""
    lines = [f"- {word}{_plain(table.places[cell.key.column])}{aside}: {_code(case.test)}"]
    if case.reason:
        lines.append(f"  {_plain(case.reason)}")
    lines += _rerun(cell, case)
    return "\\\n".join(lines) + "\n"


def _rerun(cell: Cell, case: Case | None = None) -> list[str]:
    command = rerun_command(cell, case)
    if not command:
        return []
    # A command that was cut or altered would run something else.
    if len(command) > _COMMAND or not command.isprintable():
        return ["  the command that runs it again is in `index.html`"]
    return [f"  {_code(command, _COMMAND)}"]


def _broken(results: Results, table: Table) -> list[str]:
    entries = []
    for cell in results.cells:
        if cell.status in (CellStatus.BROKEN, CellStatus.INTERRUPTED):
            reason = "" if cell.required else " (not required)"
            reason += f": {cell.reason}" if cell.reason else ""
            words = outcome_words(cell.counts())
            lines = [f"- **{cell.status}** {_plain(cell_name(cell.key, table.places) + reason, 2 * _TEXT)}"]
            lines.append(f"  until then: {', '.join(words) or 'no case had ended'}")
            entries.append("\\\n".join([*lines, *_rerun(cell)]) + "\n")
    return entries


def _unavailable(results: Results, table: Table) -> list[str]:
    entries: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cell in results.cells:
        if cell.status == CellStatus.UNAVAILABLE:
            place = table.places[cell.key.column]
            entries[place, cell.reason, cell.remedy].append(cell.key.suite)
    return [
        f"- {_plain(place)} ({_plain(', '.join(dict.fromkeys(suites)))}): {_plain(reason)}"
        + (f"\\\n  remedy: {_plain(remedy)}" if remedy else "")
        + "\n"
        for (place, reason, remedy), suites in entries.items()
    ]


def _flaky(results: Results, table: Table) -> list[str]:
    return [_case(cell, case, table) for cell, case in results.cases() if case.outcome == Outcome.FLAKY]


def _gaps(results: Results, table: Table) -> list[str]:
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    places: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for cell, case in results.cases():
        if case.outcome == Outcome.GAP:
            owner = case.owner or "nobody named"
            reasons[owner][case.reason] += 1
            places[owner, case.reason][table.places[cell.key.column]] += 1
    entries = []
    for owner, counts in sorted(reasons.items(), key=lambda entry: -entry[1].total()):
        first = f"- **{_plain(owner)}**: {counted(counts.total(), 'case')}\n"
        for reason, _ in counts.most_common():
            where = ", ".join(f"{count} in {place}" for place, count in places[owner, reason].items())
            entries.append(f"{first}  - {_plain(reason)} ({_plain(where)})\n")
            first = ""
    return entries


def _times(results: Results, table: Table) -> list[str]:
    rows = [
        _row(["place", "suite", "cases", "time", "workers"]) + _row(["---", "---", "---:", "---:", "---:"])
    ]
    for cell in sorted(results.cells, key=lambda cell: -cell.seconds):
        if cell.seconds:
            suite = " ".join(filter(None, (cell.key.suite, cell.key.shard)))
            figures = [str(len(cell.cases)), duration(cell.seconds), str(cell.workers)]
            rows.append(_row([_plain(table.places[cell.key.column]), _plain(suite), *figures]))
    if len(rows) == 1:
        return []
    slowest: dict[tuple[str, str], float] = defaultdict(float)
    for cell, case in results.cases():
        slowest[table.places[cell.key.column], case.function] += case.seconds
    functions = [
        f"- {duration(seconds)} {_plain(place)}: {_code(function)}\n"
        for (place, function), seconds in nlargest(_SLOWEST, slowest.items(), key=itemgetter(1))
        if seconds >= _WORTH_TELLING
    ]
    if functions:
        functions[0] = "\nSlowest functions, all their cases together:\n\n" + functions[0]
    return rows + functions


def _versions(results: Results, table: Table) -> list[str]:
    entries = [_facts("this machine", results.machine.items())] if results.machine else []
    merged: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for cell in results.cells:
        merged[table.places[cell.key.column]].update(dict.fromkeys(cell.versions.items()))
    return entries + [_facts(place, versions) for place, versions in merged.items() if versions]


def _facts(place: str, versions: Iterable[tuple[str, str]]) -> str:
    text = ", ".join(f"{name} {value}" for name, value in versions)
    return f"- **{_plain(place)}**: {_plain(text, 4 * _TEXT)}\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _plain(text: str, limit: int = _TEXT) -> str:
    """Returns one line that shows *text* as it is, whatever it holds."""
    text = printable(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    # What would begin a list or a heading at the start of a line.
    text = re.sub(r"^(\d*)([#+=.)-])", r"\1\\\2", text)
    # Bare text of these becomes a mention, a link or a formula.
    text = (
        text.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;").replace("$", "&#36;")
    )
    return text.replace("  ", "&nbsp; ")


def _code(text: str, limit: int = _TEXT) -> str:
    """Returns a span of code that shows *text*."""
    text = printable(text, limit)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"
