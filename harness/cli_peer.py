"""``crossexec peer-report``: what another executor does differently, as results tell it."""

from __future__ import annotations

import argparse

from harness.cli_target import UsageError
from harness.executor_kinds import EXECUTORS, OWN
from harness.matrix.model import ResultsError, read_results
from harness.matrix.report.differences import differences_page


async def peer_report(options: argparse.Namespace) -> int:
    """Writes the page.

    :raises UsageError: results cannot be read, or have nothing of that executor.
    :raises OSError: the page cannot be written.
    """
    others = [name for name in EXECUTORS if name != OWN]
    if options.executor not in others:
        raise UsageError(f"--executor: there is no {options.executor!r}; there are {', '.join(others)}")
    try:
        results = [read_results(path) for path in options.results]
        page = differences_page(results, options.executor)
    except (ResultsError, LookupError) as error:
        raise UsageError(str(error.args[0])) from error
    if options.out is None:
        print(page, end="")
    else:
        options.out.write_text(page, "utf-8")
        print(options.out)
    return 0
