"""The command ``crossexec matrix``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from harness.cli_target import UsageError
from harness.client.errors import ClientError
from harness.environments import expand_groups
from harness.matrix import history
from harness.matrix.cell import own_python
from harness.matrix.definition import Definition, DefinitionError, load_definition
from harness.matrix.display import show_matrix
from harness.matrix.interrupt import Interrupted, Interrupts, collected, raised
from harness.matrix.machine import commit_of, describe_machine
from harness.matrix.model import Cell, CellKey, CellStatus, Results
from harness.matrix.observer import Observer
from harness.matrix.preparation import Obstacle, flags_of, prepare_environment, prepare_python
from harness.matrix.report import PAGE, RESULTS, write_report
from harness.matrix.report.headline import headline
from harness.matrix.run import run_here
from harness.matrix.selection import SelectionError, Wanted, select
from harness.matrix.spec import CellSpec, locate
from harness.matrix.summary import counted, duration, outcome_words, printable
from harness.matrix.verdict import failures, judged
from harness.matrix.workers import processors
from harness.progress import show_progress

_OUT: Final = Path("matrix-results")


class MatrixFailed(ClientError):
    """The matrix cannot be run; the text says why, and what would help."""


@dataclass(frozen=True)
class _Plan:
    """What is to be run, and where its results go.

    :ivar expected: seconds that cells take.
    :ivar obstacles: why cells cannot be run.
    """

    options: argparse.Namespace
    definition: Definition
    specs: Sequence[CellSpec]
    out: Path
    expected: Mapping[CellKey, float]
    obstacles: Mapping[CellKey, Obstacle]


async def matrix(options: argparse.Namespace) -> int:
    """Runs what is asked for, and writes the report of it; also of what had ended when it is interrupted."""
    began = datetime.now(UTC)
    clock = time.monotonic()
    try:
        with raised():
            plan = _make_plan(options)
    except Interrupted as error:
        print("crossexec matrix: interrupted before anything was run; nothing is written", file=sys.stderr)
        return error.status
    except (DefinitionError, SelectionError) as error:
        raise UsageError(str(error)) from error
    with collected() as interrupts:
        cells = judged(await _run(plan, interrupts), plan.definition, options.executor or ())
        results = Results(
            started=began.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=round(time.monotonic() - clock, 3),
            command=_arguments(),
            commit=commit_of(plan.specs[0].root, [spec.root / spec.suite for spec in plan.specs]),
            machine=describe_machine(),
            interrupted=any(cell.status == CellStatus.INTERRUPTED for cell in cells),
            cells=tuple(cells),
            failures=failures(
                cells,
                plan.definition,
                expand_groups(options.env or ()),
                options.python or (),
                options.executor or (),
            ),
        )
        _write(plan, results)
    return interrupts.status if results.interrupted else int(results.failed)


def _arguments() -> tuple[str, ...]:
    """What stood after ``crossexec matrix``."""
    return tuple(sys.argv[sys.argv.index("matrix") + 1 :]) if "matrix" in sys.argv else ()


def _make_plan(options: argparse.Namespace) -> _Plan:
    """:raises SelectionError, DefinitionError, UsageError: the arguments cannot be meant so."""
    if options.workers == 0:
        raise UsageError("-n: a matrix needs a worker at least, not 0")
    definition = load_definition(options.definition)
    wanted = Wanted(
        environments=options.env,
        suites=options.suite,
        executors=options.executor,
        pythons=options.python,
        shard=options.shard,
        apart=options.dask is not None,
    )
    keys = select(definition, wanted, own_python())
    specs = _specs(options, definition, keys)
    out = _open_folder(options.out or _OUT)
    obstacles = {} if options.dask is not None else _prepare(specs)
    return _Plan(options, definition, specs, out, history.expected(specs), obstacles)


def _specs(options: argparse.Namespace, definition: Definition, keys: Sequence[CellKey]) -> list[CellSpec]:
    places = {}
    for name in dict.fromkeys(key.suite for key in keys):
        try:
            places[name] = locate(definition.suites[name])
        except OSError as error:
            raise UsageError(
                f"suite {name}: {definition.suites[name]}: {error.strerror}; paths of suites begin from the "
                "current directory"
            ) from error
    if options.update_timings and options.keyword:
        raise UsageError("--update-timings: times of what -k leaves of a suite are not those of the suite")
    if options.update_timings and definition.timings is None:
        raise UsageError('--update-timings: the definition names no file for it; add: timings = "FILE"')
    # Before anything runs, for a file that holds something else would be told at the end otherwise.
    sharded = options.update_timings or any(key.shard for key in keys)
    times = history.shard_times(definition) if sharded else ""
    return [
        CellSpec(
            key=key,
            suite=places[key.suite][0],
            ships=places[key.suite][1],
            workers=options.workers or 0,
            keyword=options.keyword or "",
            retries=options.retries,
            settings=flags_of(options, key),
            pytest=definition.pytest,
            timings=times if key.shard else "",
        )
        for key in keys
    ]


def _open_folder(folder: Path) -> Path:
    """Returns the folder for the results, which is there and can be written.

    :raises UsageError: it holds somebody else's page.
    :raises MatrixFailed: it cannot be written.
    """
    try:
        if (folder / PAGE).exists() and not (folder / RESULTS).exists():
            raise UsageError(f"--out: {folder} has an {PAGE} that is none of ours; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if (folder / RESULTS).exists():
            for log in folder.glob("logs/*.log"):
                log.unlink()
        (folder / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise MatrixFailed(
            f"results cannot be written into {folder}: {error.strerror or error}; "
            "name another folder with --out"
        ) from error
    return folder


def _prepare(specs: Sequence[CellSpec]) -> dict[CellKey, Obstacle]:
    """Makes what environments and Pythons need; returns what is in the way of which cell."""
    settings = {(spec.key.environment, spec.key.executor): spec.settings for spec in specs}
    with show_progress(sys.stderr, "crossexec") as progress:
        environments = {
            place: prepare_environment(*place, flags, progress) for place, flags in settings.items()
        }
        pythons = {
            version: prepare_python(version, progress)
            for version in dict.fromkeys(spec.key.python for spec in specs)
        }
    found = {
        spec.key: environments[spec.key.environment, spec.key.executor] or pythons[spec.key.python]
        for spec in specs
    }
    return {key: obstacle for key, obstacle in found.items() if obstacle is not None}


async def _run(plan: _Plan, interrupts: Interrupts) -> list[Cell]:
    """Returns all cells of the plan, in its order."""
    runnable = [spec for spec in plan.specs if spec.key not in plan.obstacles]
    cells: dict[CellKey, Cell] = {}
    with show_matrix(sys.stderr) as observer:
        observer.planned([spec.key for spec in plan.specs], plan.expected)
        for spec in plan.specs:
            if (obstacle := plan.obstacles.get(spec.key)) is not None:
                cells[spec.key] = obstacle.cell(spec)
                observer.ended(cells[spec.key])
        telling = asyncio.create_task(_tell(observer, interrupts))
        try:
            ran = await _run_cells(plan, runnable, observer, interrupts)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
    cells |= {cell.key: cell for cell in ran}
    return [cells[spec.key] for spec in plan.specs]


async def _run_cells(
    plan: _Plan, specs: Sequence[CellSpec], observer: Observer, interrupts: Interrupts
) -> list[Cell]:
    address = plan.options.dask
    if address is None:
        return await run_here(
            specs,
            plan.options.workers or processors(),
            plan.expected,
            observer,
            interrupts.asked,
            logs=plan.out / "logs",
            kill=interrupts.forced,
        )
    from harness.matrix.dask import run_on_dask

    specs = sorted(specs, key=lambda spec: -plan.expected.get(spec.key, 0.0))
    return await run_on_dask(address, specs, observer, interrupts.asked, kill=interrupts.forced)


async def _tell(observer: Observer, interrupts: Interrupts) -> None:
    """Says what is done about signals."""
    await interrupts.asked.wait()
    observer.note("Interrupted: ending in order, up to half a minute; once more kills what runs.")
    await interrupts.forced.wait()
    observer.note("Interrupted again: what runs is killed.")


def _write(plan: _Plan, results: Results) -> None:
    """:raises MatrixFailed: the report cannot be written."""
    options = plan.options
    try:
        write_report(results, plan.out)
    except OSError as error:
        raise MatrixFailed(f"the report cannot be written: {error}; {headline(results).text}") from error
    verdict = headline(results).text
    for text in (verdict, *(text for text in results.failures if text not in verdict)):
        print(printable(text))
    cases = counted(results.counts().total(), "case")
    words = ", ".join(outcome_words(results.counts())) or "none"
    print(f"{cases} in {duration(results.seconds)}: {words}")
    print(f"report: {plan.out / PAGE}")
    if not options.keyword:
        history.learn(results.cells)
    if options.update_timings and plan.definition.timings is not None:
        file = Path(plan.definition.timings)
        history.update_shard_times(file, results.cells)
        print(f"times that --shard cuts by: {file}")
