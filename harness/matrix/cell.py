"""Runs one cell: a pytest of its own in a process of its own, heard while it goes."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from harness.cache import cache_folder
from harness.matrix import events
from harness.matrix.definition import DefinitionError
from harness.matrix.events import Broken, Collected, Done, Event, Facts, Unavailable
from harness.matrix.model import Case, Cell, CellKey, CellStatus
from harness.matrix.spec import OWN_EXECUTOR, CellSpec
from harness.matrix.workers import processors
from harness.progress import SILENT

if sys.platform == "win32":
    from harness.matrix import group_windows as group
else:
    from harness.matrix import group_posix as group

__all__ = ["OWN_EXECUTOR", "CellSpec", "own_python", "run_cell"]

# As long as an environment may take to be taken down: nothing of it is left then.
_INTERRUPT_SECONDS: Final = 30.0
_TERMINATE_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 180.0
_LINE_BYTES: Final = 64 * 1024 * 1024
_TAIL_BYTES: Final = 3000
# The current directory may hold a package of the same name, and this one need not be installed.
_RUN_PYTEST: Final = (
    "import runpy, sys; root = sys.argv.pop(1); sys.path[:0] = [root] * (root not in sys.path); "
    "runpy.run_module('fixtures.cell', run_name='__main__', alter_sys=True)"
)
_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_ENDED: Final = {0, 1, 5}
"""What pytest exits with when it came to its end: all passed, some failed, no case was chosen."""
_MEANINGS: Final = {2: "it was interrupted", 3: "an error of pytest or a plugin", 4: "wrong usage of pytest"}


def own_python() -> str:
    """Version of the Python that runs this, as :attr:`CellKey.python` has it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


async def run_cell(
    spec: CellSpec,
    report: Callable[[Event], None],
    interrupt: asyncio.Event,
    *,
    log: Path | None = None,
    kill: asyncio.Event | None = None,
) -> Cell:
    """Runs a cell to its end; nothing of it is left running, also when this is cancelled.

    Once *interrupt* is set, pytest is asked to end by the end of its input, 30 s later by SIGTERM to its
    process group, and 10 s later killed; on Windows it is killed in place of SIGTERM.

    :param report: hears each event.
    :param log: gets what pytest prints; by default a file that goes with the cell.
    :param kill: once it is set too, the cell is killed at once.
    """
    heard = _Heard(report)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crossexec-cell-", ignore_cleanup_errors=True) as folder:
        output = log or Path(folder, "pytest.log")
        workers = spec.workers or processors()
        rerun: tuple[str, ...] = ()
        reason = remedy = ""
        status: int | None = None
        try:
            if not interrupt.is_set():
                python = await _interpreter(spec.key)
                rerun = spec.rerun(python)
                command = _command(spec, python, workers, Path(folder, "timings.json"))
                status = await _run(command, output, heard, interrupt, kill)
                reason = _trouble(status, heard, output, named=log is not None)
        except (DefinitionError, _InterpreterFailed, OSError) as error:
            reason = f"it could not be started: {error}"
        ended = CellStatus.FINISHED
        if interrupt.is_set() and (reason or status is None):
            ended, reason = CellStatus.INTERRUPTED, ""
        elif heard.unavailable is not None:
            # What it did before says nothing of what it would do.
            told = heard.unavailable
            ended, reason, remedy, heard.cases = CellStatus.UNAVAILABLE, told.reason, told.remedy, []
        elif reason:
            ended = CellStatus.BROKEN
        return Cell(
            spec.key,
            ended,
            tuple(heard.cases),
            reason,
            remedy,
            seconds=0.0 if status is None else round(time.monotonic() - began, 3),
            workers=0 if status is None else workers,
            rerun=rerun,
            versions={**_versions(spec.key), **heard.versions},
            cut=heard.cut,
        )


class _Heard:
    """What a cell has told so far."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self.cases: list[Case] = []
        self.total: int | None = None
        self.cut = ""
        self.versions: dict[str, str] = {}
        self.trouble: list[str] = []
        self.unavailable: Unavailable | None = None

    @property
    def complete(self) -> bool:
        return self.total is not None and len(self.cases) >= self.total

    def line(self, line: bytes) -> None:
        try:
            event = events.decode(line)
        except msgspec.DecodeError as error:
            event = Broken(f"it told what is no event: {error}: {line[:200]!r}")
        match event:
            case Collected(total, cut):
                self.total, self.cut = total, cut
            case Facts(versions):
                self.versions.update(versions)
            case Done(case):
                self.cases.append(case)
            case Broken(text):
                self.trouble.append(text)
            case Unavailable():
                self.unavailable = self.unavailable or event
        self._report(event)


async def _run(
    command: list[str],
    output: Path,
    heard: _Heard,
    interrupt: asyncio.Event,
    kill: asyncio.Event | None,
) -> int:
    """Returns the exit status, as subprocess has it."""
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            limit=_LINE_BYTES,
            start_new_session=True,
            creationflags=group.CREATION_FLAGS,
        )
    try:
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(process.wait())
            stopping = tasks.create_task(_stop_when_asked(process, ended, interrupt, kill))
            await _hear(process, ended, heard)
            await ended
            stopping.cancel()
    finally:
        if process.returncode is None:
            group.kill(process.pid)
            await process.wait()
        group.sweep(process.pid)
    return await process.wait()


async def _hear(process: asyncio.subprocess.Process, ended: asyncio.Task[int], heard: _Heard) -> None:
    """Hears events until there will be no more."""
    assert process.stdout is not None and process.stdin is not None
    while True:
        try:
            async with asyncio.timeout(_LINGER_SECONDS if heard.complete else None):
                line = await process.stdout.readline()
                if not line:
                    # It may hang at its very end, too.
                    await asyncio.wait([ended], timeout=_LINGER_SECONDS)
        except TimeoutError:
            line = b""
        except ValueError:
            heard.trouble.append(f"it told an event of more than {_LINE_BYTES} bytes")
            line = b""
        if line:
            heard.line(line)
        elif ended.done():
            return
        else:
            heard.trouble.append(f"it still ran {_LINGER_SECONDS:g} s after its last event, and was ended")
            await _stop(process, ended, None)
            return


async def _stop_when_asked(
    process: asyncio.subprocess.Process,
    ended: asyncio.Task[int],
    interrupt: asyncio.Event,
    kill: asyncio.Event | None,
) -> None:
    await interrupt.wait()
    await _stop(process, ended, kill)


async def _stop(
    process: asyncio.subprocess.Process, ended: asyncio.Task[int], kill: asyncio.Event | None
) -> None:
    assert process.stdin is not None
    process.stdin.close()
    for seconds, force in ((_INTERRUPT_SECONDS, group.terminate), (_TERMINATE_SECONDS, group.kill)):
        async with asyncio.TaskGroup() as tasks:
            killed = tasks.create_task(kill.wait() if kill is not None else asyncio.sleep(seconds))
            await asyncio.wait([ended, killed], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            killed.cancel()
        if ended.done():
            return
        if kill is not None and kill.is_set():
            group.kill(process.pid)
            return
        force(process.pid)


def _trouble(status: int, heard: _Heard, log: Path, *, named: bool) -> str:
    """Returns why the cell is broken; nothing if it is not."""
    found = list(heard.trouble)
    if status not in _ENDED or not (heard.complete or status == 5):
        meaning = _MEANINGS.get(status, "")
        if status < 0:
            with contextlib.suppress(ValueError):
                meaning = f"it was killed by {signal.Signals(-status).name}"
        done = len(heard.cases)
        cases = f"{done} of {heard.total} cases" if heard.total is not None else f"{done} cases"
        found.append(f"pytest ended with status {status}{meaning and f' ({meaning})'} after {cases}")
    elif status == 1 and not any(case.outcome.is_bad for case in heard.cases):
        found.append("pytest ended with status 1, and no case failed")
    if not found:
        return ""
    where = str(log) if named else "what it printed"
    tail = log.read_bytes()[-_TAIL_BYTES:].decode(errors="backslashreplace").strip()
    return "\n".join([*found, f"{where} ends:\n{tail}" if tail else f"{where} is empty"])


class _InterpreterFailed(Exception):
    pass


async def _interpreter(key: CellKey) -> Path:
    """:raises _InterpreterFailed: there is none of that version."""
    if key.python == own_python():
        return Path(sys.executable)
    from harness.matrix.pythons import PythonsFailed, interpreter

    try:
        return await asyncio.to_thread(interpreter, key.python, cache_folder(), SILENT)
    except PythonsFailed as error:
        raise _InterpreterFailed(str(error)) from error


def _command(spec: CellSpec, python: Path, workers: int, timings: Path) -> list[str]:
    """Writes *timings*, and returns what runs the cell."""
    timings.write_text(spec.timings, "utf-8")
    if spec.key.python == own_python():
        program = ["-c", _RUN_PYTEST, str(_PACKAGE_ROOT)]
    else:
        # Its virtual environment has the package.
        program = ["-m", "fixtures.cell"]
    return [str(python), "-P", *program, *spec.arguments(workers, timings)]


def _versions(key: CellKey) -> dict[str, str]:
    """What this side knows; what the environment tells comes on top."""
    full = platform.python_version() if key.python == own_python() else key.python
    return {"tests on Python": full}
