"""An executor on this machine, a child of this process."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import executors
from harness.environments.base import Availability, Environment, EnvironmentFailed, Running, running

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_LOG_TAIL_BYTES: Final = 4000
# A checkout that is not installed is importable for this process only, and PYTHONPATH would reach
# whatever the executor starts.
_RUN_EXECUTOR: Final = (
    sys.executable,
    "-c",
    "import gc, sys; gc.disable(); sys.path[0] = sys.argv.pop(1);"
    "from executors.command import main; sys.exit(main())",
    str(Path(executors.__file__).parents[1]),
)
_URL_SCHEMES: Final = ("ws://", "wss://")


class LocalEnvironment(Environment):
    """Runs the executor on the Python that runs this; ends with this process, whatever ends it.

    :param arguments: more of the executor's command line.
    :param environ: variables for the executor on top of this process's own.
    :param command: what to run instead of this package's executor; it must print its URL first.
    """

    name = "local"

    def __init__(
        self,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._environ = dict(environ or {})
        default = [*_RUN_EXECUTOR, "--listen", "ws://127.0.0.1:0", "--exit-with-parent"]
        self._command = [*(command or default), *arguments]

    def available(self) -> Availability:
        return Availability(True)

    @asynccontextmanager
    async def start(self) -> AsyncIterator[Running]:
        with tempfile.TemporaryDirectory(prefix="crossexec-log-") as folder:
            log = Path(folder, "executor.log")
            try:
                async with (
                    self._executor(log) as url,
                    running(self.name, url, is_remote=False, log=log) as up,
                ):
                    yield up
            except Exception as error:
                error.add_note(f"executor {self._command!r}: {_tail(log)}")
                raise

    @asynccontextmanager
    async def _executor(self, log: Path) -> AsyncIterator[str]:
        """Starts the executor; yields its URL."""
        with log.open("wb") as stderr:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **self._environ},
                # Ctrl-C is for the harness, which ends the executor in order.
                start_new_session=True,
            )
        try:
            yield await self._read_url(child)
        finally:
            await _stop(child)

    async def _read_url(self, child: asyncio.subprocess.Process) -> str:
        assert child.stdout is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = (await child.stdout.readline()).decode(errors="replace").strip()
                if line.startswith(_URL_SCHEMES):
                    return line
                if line:
                    found = f"it printed {line!r} where its URL was due"
                else:
                    found = f"it exited with status {await child.wait()}"
        except TimeoutError:
            found = f"it printed no URL within {_START_SECONDS:g} s"
        except ValueError as error:
            found = f"its first line is no URL: {error}"
        raise EnvironmentFailed(f"executor {self._command!r} did not start: {found}")


async def _stop(child: asyncio.subprocess.Process) -> None:
    """Ends the executor: the end of its input asks for it; force follows where that is in vain."""
    assert child.stdin is not None
    child.stdin.close()
    for force in (child.terminate, child.kill):
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await child.wait()
                return
        except TimeoutError:
            force()
    await child.wait()


def _tail(log: Path) -> str:
    text = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="backslashreplace").strip()
    return f"its standard error:\n{text}" if text else "its standard error is empty"
