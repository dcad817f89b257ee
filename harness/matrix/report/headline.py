"""The sentence that a report begins with: what a run of the matrix came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from harness.matrix.model import Cell, CellStatus, Outcome, Results
from harness.matrix.summary import place_names

_LONGEST_NAME: Final = 60
"""Of an environment in the sentence; one may be named by a long URL."""


class Headline(NamedTuple):
    tone: Literal["bad", "warn", "good"]
    text: str


def headline(results: Results) -> Headline:
    """Returns the one sentence that answers whether everything holds, and where it does not."""
    tone, verdict = _verdict(results)
    return Headline(tone, f"{_upper(verdict)}.")


def _verdict(results: Results) -> tuple[Literal["bad", "warn", "good"], str]:
    labels = {
        column: label if len(label) <= _LONGEST_NAME else f"{label[: _LONGEST_NAME - 1]}\u2026"
        for column, label in place_names(cell.key for cell in results.cells).items()
    }
    counts = results.counts()
    ran = counts.total()
    unavailable = list(
        dict.fromkeys(labels[c.key.column] for c in results.cells if c.status == CellStatus.UNAVAILABLE)
    )
    bad = _bad_words([cell for cell in results.cells if cell.required], labels)
    beside = _bad_words([cell for cell in results.cells if not cell.required], labels)
    away = f"{join_words(unavailable)} {_plural(len(unavailable), 'is', 'are')} unavailable"
    rest = "but " + away if unavailable else ""
    if bad:
        bad += f"; beside what is required, {beside}" if beside else ""
        if results.interrupted:
            return "bad", f"{bad}; interrupted before the end"
        return "bad", ", ".join(filter(None, [f"{bad}; everything else holds", rest]))
    if results.interrupted:
        none = f"; beside what is required, {beside}" if beside else ", none of which failed"
        return "warn", f"interrupted after {ran:,} {_plural(ran, 'case', 'cases')}{none}"
    if not ran:
        return "bad" if results.failures else "warn", (
            f"nothing was run: {away}" if unavailable else "nothing was run"
        )
    which = "that is required" if beside else "that was run"
    if results.failures:
        return "bad", f"every case {which} holds, yet the run fails: {results.failures[0].rstrip('.')}"
    holds = "everything that is required holds" if beside else "everything holds"
    if flaky := counts[Outcome.FLAKY]:
        flakes = f"{flaky:,} {_plural(flaky, 'case was', 'cases were')} flaky"
        rest = f"{rest} and {flakes}" if rest else f"but {flakes}"
    if rest:
        holds += f", {rest}"
    if beside:
        holds += f"; beside that, {beside}"
    if counts[Outcome.GAP]:
        holds += f"; {_gaps(results)}"
    return "warn" if unavailable or flaky or beside else "good", holds


def _gaps(results: Results) -> str:
    owners = Counter(case.owner for _, case in results.cases() if case.outcome == Outcome.GAP)
    total = owners.total()
    text = f"{total:,} known {_plural(total, 'gap', 'gaps')}"
    named = [owner for owner, _ in owners.most_common() if owner]
    if not named:
        return text
    if len(owners) == 1:
        every = "" if total == 1 else ("both of them " if total == 2 else "all of them ")
        return f"{text}, {every}{possessive(named[0])}"
    shares = [f"{owners[owner]:,} {possessive(owner)}" for owner in named]
    if owners[""]:
        shares.append(f"{owners['']:,} nobody's")
    return f"{text}, of them {join_words(shares, 4)}"


def _bad_words(cells: Sequence[Cell], labels: Mapping[str, str]) -> str:
    """What failed and where, such as ``3 failed and 1 ended in error in wine-exec``."""
    places: Counter[str] = Counter()
    counts: Counter[Outcome] = Counter()
    for cell in cells:
        found_here = cell.counts()
        counts += found_here
        places[labels[cell.key.column]] += found_here[Outcome.FAILED] + found_here[Outcome.ERROR]
    what = [f"{counts[Outcome.FAILED]:,} failed"] if counts[Outcome.FAILED] else []
    what += [f"{counts[Outcome.ERROR]:,} ended in error"] if counts[Outcome.ERROR] else []
    found = [(place, count) for place, count in places.items() if count]
    said = []
    if len(found) == 1:
        said.append(f"{' and '.join(what)} in {found[0][0]}")
    elif found:
        shares = join_words([f"{count:,} in {place}" for place, count in found], 4)
        said.append(f"{' and '.join(what)} ({shares})")
    broken = [cell.key for cell in cells if cell.status == CellStatus.BROKEN]
    if broken:
        where = [f"{key.suite} in {labels[key.column]}" for key in broken]
        said.append(f"{join_words(where, 3)} could not be run to the end")
    return "; ".join(said)


def join_words(words: Sequence[str], most: int = 6) -> str:
    """An enumeration of all of *words*, or of the first few and how many there are besides."""
    shown = list(words)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def possessive(owner: str) -> str:
    return f"{owner}'" if owner.endswith("s") else f"{owner}'s"


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _upper(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
