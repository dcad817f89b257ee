"""``index.html``: the whole report as one file, which asks nothing of any network."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from importlib.resources import files
from string import Template
from typing import Final

from harness.matrix.model import Results
from harness.matrix.report.page_data import make_page_data, script_json
from harness.matrix.report.page_head import render_head

EARLY_SCRIPT: Final = "theme.js"
"""It runs before the page is shown, lest a chosen theme come late."""

SCRIPTS: Final = (
    "dom.js",
    "data.js",
    "text.js",
    "state.js",
    "filters.js",
    "rows.js",
    "grid.js",
    "keys.js",
    "panel.js",
    "ledger.js",
    "times.js",
    "main.js",
)
"""Modules, each after those that it imports."""

_MODULE_WORDS: Final = re.compile(r"^(?:import [^;]*;\n|export )", re.MULTILINE)


def render(results: Results) -> str:
    """Returns the page."""
    early, script, style = _read(EARLY_SCRIPT), bundle(), _read("page.css")
    data, details = make_page_data(results)
    blocks = [_data_block("data", data)]
    blocks += [_data_block(f"details-{number}", part) for number, part in enumerate(details) if part]
    head = render_head(results)
    page = Template(_read("page.html"))
    return page.substitute(
        policy=_policy([early, script], style),
        style=style,
        early=early,
        script=script,
        data="\n".join(blocks),
        **head,
    )


def bundle() -> str:
    """The modules as one script: a page from a file may not import any."""
    modules = [_MODULE_WORDS.sub("", _read(name)) for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(modules) + "})();\n"


def _policy(scripts: list[str], style: str) -> str:
    """A Content-Security-Policy: these scripts and this style, nothing else, and no markup made of text."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts))}",
            f"style-src {_source(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _source(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_block(name: str, value: object) -> str:
    return f'<script type="application/json" id="{name}">{script_json(value)}</script>'


def _read(name: str) -> str:
    return files("harness.matrix.report").joinpath("page", name).read_text("utf-8")
