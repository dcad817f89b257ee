"""One round of one measure on one executor, whatever comes of it."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

from bench.measures import Bench, Measure, Unmeasurable
from bench.results import Series

_MEASURE_SECONDS: Final = 20.0
_MAX_FAILURES: Final = 2


async def add_round(measure: Measure, bench: Bench, series: Series, deadline: float) -> None:
    """Adds one round to *series*, or the reason why there is none.

    :param deadline: of the whole run, by time.monotonic().
    """
    if series.given_up:
        return
    seconds = min(_MEASURE_SECONDS, deadline - time.monotonic())
    amount = measure.amount if measure.fresh else max(1, round(measure.amount * bench.settings.scale))
    try:
        if seconds <= 0:
            raise TimeoutError
        async with asyncio.timeout(seconds):
            if not measure.fresh:
                await measure.run(bench, max(1, amount // 16))
            before = bench.executor.cpu_seconds()
            values = await measure.run(bench, amount)
            after = bench.executor.cpu_seconds()
    except TimeoutError:
        if seconds == _MEASURE_SECONDS:
            series.failures.append(f"not done after {seconds:g} s")
            series.given_up = len(series.failures) >= _MAX_FAILURES
        elif not series.rounds:
            series.failures.append("no time was left")
    except Unmeasurable as reason:
        series.failures.append(str(reason))
        series.given_up = True
    except Exception as error:
        series.failures.append(f"{type(error).__name__}: {error}")
        series.given_up = len(series.failures) >= _MAX_FAILURES
    else:
        series.rounds.append(values)
        if measure.operation and before is not None and after is not None:
            series.operations += amount
            series.cpu_seconds += after - before


def progress(text: str) -> None:
    """Shows on a terminal what is done now; nothing, once the text is empty."""
    if sys.stderr.isatty():
        print(f"\r{text:<70}\r", end="", file=sys.stderr, flush=True)
