"""How long ``index.html`` takes until it can be worked with: ``python -m bench.report_page``.

Chromium opens the report of a large run from a file, as a person would, some times over; printed are the
milliseconds until the page has drawn its grid and answers, and those of a few things done in it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from harness.matrix.report.html import render
from tests.matrix.samples import large_results

ACTIONS: dict[str, Callable[[Any], object]] = {
    "expand all": lambda page: page.get_by_role("button", name="Expand all").click(),
    "next failure": lambda page: page.keyboard.press("n"),
    "filter by text": lambda page: page.locator("#search").fill("number_2 param"),
    "filter by outcome": lambda page: page.locator('[data-outcome="gap"]').click(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=int, default=3)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    began = time.perf_counter()
    page_text = render(large_results(options.environments, options.tests))
    print(f"rendered in {(time.perf_counter() - began) * 1000:.0f} ms, {len(page_text.encode()):,} bytes")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "index.html")
        file.write_text(page_text, "utf-8")
        arguments = ["--no-sandbox"]
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            taken: dict[str, list[float]] = {}
            for _ in range(options.rounds):
                for name, milliseconds in measure(browser, file).items():
                    taken.setdefault(name, []).append(milliseconds)
        finally:
            browser.close()
    for name, values in taken.items():
        print(f"{name:18} median {statistics.median(values):6.0f} ms, worst {max(values):6.0f} ms")


def measure(browser: Any, file: Path) -> dict[str, float]:
    """Milliseconds by what was done, the time of the driver's messages included."""
    page = browser.new_page()
    taken = {}

    def timed(name: str, act: Callable[[], object]) -> None:
        began = time.perf_counter()
        act()
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        taken[name] = (time.perf_counter() - began) * 1000

    def open_page() -> None:
        page.goto(file.as_uri(), wait_until="commit")
        page.wait_for_selector("html[data-ready]", state="attached")

    timed("open", open_page)
    for name, act in ACTIONS.items():
        timed(name, lambda act=act: act(page))  # type: ignore[misc]
    page.close()
    return taken


if __name__ == "__main__":
    main()
