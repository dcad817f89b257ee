"""What ``index.html`` says without its script: the verdict, what is wrong besides cases, the versions."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Final
from urllib.parse import quote

from harness.matrix.model import Cell, CellStatus, Results
from harness.matrix.report.headline import headline
from harness.matrix.summary import Square, Table, duration, outcome_words, place_names

_NAMED: Final = {0: "NUL", 7: "BEL", 8: "BS", 13: "CR", 27: "ESC", 127: "DEL"}

_SHOWN: Final = {
    code: f"\u2039{_NAMED.get(code, f'U+{code:04X}')}\u203a"
    for codes in (
        range(0x09),
        range(0x0B, 0x20),
        range(0x7F, 0xA0),
        range(0x202A, 0x202F),
        range(0x2066, 0x206A),
        (0xFFFE, 0xFFFF),
    )
    for code in codes
}
"""How characters are shown that have no shape, or that turn the text around them; as in ``text.js``."""

_TONES: Final = {"bad": "#c62828", "warn": "#b26a00", "good": "#2e7d32"}

_LONG: Final = 600
"""Characters beyond which a reason, such as the end of a log, gets a scroll bar of its own."""

_STATUSES: Final = {
    CellStatus.BROKEN: "Could not be run to the end",
    CellStatus.INTERRUPTED: "Interrupted",
    CellStatus.UNAVAILABLE: "Unavailable here",
}


def render_head(results: Results) -> dict[str, str]:
    """Returns the parts of ``page.html`` by their names there, as markup."""
    tone, verdict = headline(results)
    dot = f"<circle cx='4' cy='4' r='4' fill='{_TONES[tone]}'/>"
    icon = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'>{dot}</svg>"
    return {
        "title": escape(f"{verdict.rstrip('.')} \u2013 crossexec matrix".translate(_SHOWN)),
        "icon": f"data:image/svg+xml,{quote(icon)}",
        "tone": tone,
        "verdict": show(verdict),
        "summary": _summary(results),
        "problems": _problems(results),
        "about": _about(results),
        "counts": _counts_table(results),
    }


def show(text: str) -> str:
    """*text* as markup, with every character visible and none that could turn what stands beside it."""
    return f"<bdi>{escape(text.translate(_SHOWN))}</bdi>"


def _summary(results: Results) -> str:
    try:
        began = datetime.fromisoformat(results.started).astimezone(UTC)
        when = f'<time datetime="{escape(results.started)}">{began:%Y-%m-%d %H:%M} UTC</time>'
    except ValueError:
        when = show(results.started)
    columns = len({cell.key.column for cell in results.cells})
    places = f"{columns:,} {'environment' if columns == 1 else 'environments'}"
    if len({cell.key.environment for cell in results.cells}) != columns:
        places = f"{columns:,} places"
    total = results.counts().total()
    parts = [when, f"took {duration(results.seconds)}"]
    if results.commit:
        short = results.commit[:12] + ("+" if results.commit.endswith("+") else "")
        differs = ", and the sources differed from it" if results.commit.endswith("+") else ""
        told = escape(results.commit.translate(_SHOWN))
        parts.append(f'commit <code title="{told}{differs}">{show(short)}</code>')
    parts.append(f"{total:,} {'case' if total == 1 else 'cases'} in {places}")
    return "".join(f"<li>{part}</li>" for part in parts)


def _problems(results: Results) -> str:
    """What is wrong besides failing cases; cells that share their reason share a line."""
    labels = place_names(cell.key for cell in results.cells)
    items = [f"<li class='bad'><p><b>The run fails.</b> {show(text)}</p></li>" for text in results.failures]
    for status, title in _STATUSES.items():
        cells = [cell for cell in results.cells if cell.status == status]
        told = sorted(cells, key=_telling)
        for (required, reason, remedy), group in groupby(told, _telling):
            where = _where([(labels[cell.key.column], cell) for cell in group])
            tone = "bad" if status == CellStatus.BROKEN and required else "warn"
            aside = "" if required or status == CellStatus.UNAVAILABLE else " (not required)"
            text = f"<p><b>{title}:</b> {show(where + aside)}</p>"
            scrolls = " tabindex='0'" if len(reason) > _LONG else ""
            text += f"<p class='text'{scrolls}>{show(reason)}</p>" if reason else ""
            text += f"<p><b>Remedy:</b> {show(remedy)}</p>" if remedy else ""
            items.append(f"<li class='{tone}'>{text}</li>")
    if results.interrupted and not any("Interrupted" in item for item in items):
        items.append(
            "<li class='warn'><p><b>Interrupted:</b> the run was ended before all was done.</p></li>"
        )
    return f"<ul class='problems' aria-label='Besides the cases'>{''.join(items)}</ul>" if items else ""


def _telling(cell: Cell) -> tuple[bool, str, str]:
    return cell.required, cell.reason, cell.remedy


def _where(cells: list[tuple[str, Cell]]) -> str:
    """``docker (path, process); local (shell 2/5)``"""
    suites: dict[str, list[str]] = {}
    for label, cell in cells:
        suites.setdefault(label, []).append(f"{cell.key.suite} {cell.key.shard}".strip())
    return "; ".join(f"{label} ({', '.join(names)})" for label, names in suites.items())


def _about(results: Results) -> str:
    labels = place_names(cell.key for cell in results.cells)
    command = shlex.join(["crossexec", "matrix", *results.command])
    rows = [("command", f"<code>{show(command)}</code>")]
    rows += [("commit", f"<code>{show(results.commit)}</code>")] if results.commit else []
    rows += [(show(name), show(value)) for name, value in results.machine.items()]
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    versions: dict[str, dict[str, list[str]]] = {}
    for cell in results.cells:
        for name, value in cell.versions.items():
            values = versions.setdefault(name, {}).setdefault(labels[cell.key.column], [])
            if value not in values:
                values.append(value)
    if not versions:
        return f"<dl class='facts'>{facts}</dl>"
    places = [label for label in dict.fromkeys(labels.values())]
    head = "".join(f"<th scope='col'>{show(place)}</th>" for place in places)
    lines = "".join(
        f"<tr><th scope='row'>{show(name)}</th>"
        + "".join(f"<td>{show(', '.join(found.get(place, [])))}</td>" for place in places)
        + "</tr>"
        for name, found in versions.items()
    )
    return (
        f"<dl class='facts'>{facts}</dl><div class='scroll' tabindex='0' role='region' aria-label='Versions'>"
        f"<table class='versions'><thead><tr><td></td>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _counts_table(results: Results) -> str:
    """Suites against places in numbers, for a browser without scripts."""
    table = Table(results.cells)
    head = "".join(f"<th scope='col'>{show(place)}</th>" for place in table.places.values())
    lines = "".join(
        f"<tr><th scope='row'>{show(suite)}</th>"
        + "".join(f"<td>{_square_words(table.square(suite, column))}</td>" for column in table.places)
        + "</tr>"
        for suite in table.suites
    )
    return f"<table><thead><tr><th scope='col'>Suite</th>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _square_words(square: Square | None) -> str:
    if square is None:
        return "not run"
    states = [status for status in square.statuses if status != CellStatus.FINISHED]
    return ", ".join([*states, *outcome_words(square.counts)])
