"""An executor on this machine, a child of this process."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import executors
from harness.environments.base import Availability, Environment, Running, running
from harness.environments.child import start_child

# A checkout that is not installed is importable for this process only, and PYTHONPATH would reach
# whatever the executor starts.
_RUN_EXECUTOR: Final = (
    sys.executable,
    "-c",
    "import gc, sys; gc.disable(); sys.path[0] = sys.argv.pop(1);"
    "from executors.command import main; sys.exit(main())",
    str(Path(executors.__file__).parents[1]),
)


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
            async with (
                start_child(self._command, log=log, env={**os.environ, **self._environ}) as child,
                running(self.name, child.url, is_remote=False, log=log, has_ended=child.has_ended) as up,
            ):
                yield up
