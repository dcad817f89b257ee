"""Pages of reports, opened in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.matrix.model import Results
from harness.matrix.report.html import render

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OPENED_WITHIN = 60_000
"""Milliseconds after which a test gives up waiting."""


# Not for the whole session: while Playwright's blocking interface is open, its event loop runs in this
# thread, and no other test could run one of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for the tests of a module; it is ended with them."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    # Chromium refuses its own sandbox to root.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments, timeout=OPENED_WITHIN)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Show]:
    """Opens reports; whatever a page requested or complained about fails the test that opened it."""
    shows = Show(chromium, tmp_path)
    yield shows
    shows.close()
    assert shows.complaints == []
    assert [url for url in shows.requests if not url.startswith((shows.address, "data:image/svg+xml,"))] == []


class Show:
    """Opens reports in pages of their own.

    :ivar requests: every URL that a page has asked for.
    :ivar complaints: what pages wrote to the console, and errors that no one caught.
    """

    def __init__(self, chromium: Any, folder: Path) -> None:
        self._chromium = chromium
        self._folder = folder
        self._contexts: list[Any] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    @property
    def file(self) -> Path:
        return self._folder / "index.html"

    @property
    def address(self) -> str:
        return self.file.as_uri()

    def __call__(
        self,
        results: Results,
        fragment: str = "",
        *,
        width: int = 1400,
        dark: bool = False,
        scripts: bool = True,
    ) -> Any:
        """Returns the Playwright page of a report, as soon as it can be worked with."""
        self.file.write_text(render(results), "utf-8")
        context = self._chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(OPENED_WITHIN)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.goto(self.address + fragment)
        if scripts:
            wait_ready(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def wait_ready(page: Any) -> None:
    page.wait_for_selector("html[data-ready]", state="attached")


def square(page: Any, row: str, column: str) -> Any:
    """The square of the row with this name in the column with this heading."""
    headings = page.locator("#treegrid [role=columnheader]").all_inner_texts()
    line = page.locator("#treegrid .body [role=row]").filter(
        has=page.get_by_role("rowheader", name=row, exact=True)
    )
    return line.locator("> *").nth(headings.index(column))


def row_names(page: Any) -> list[str]:
    """Names of the rows that are elements now."""
    return page.locator("#treegrid .body [role=rowheader]").all_inner_texts()  # type: ignore[no-any-return]


def expect_found(page: Any, text: str) -> None:
    """Waits until the page tells that so many cases match."""
    sync_api.expect(page.locator(".found")).to_have_text(text, timeout=OPENED_WITHIN)
