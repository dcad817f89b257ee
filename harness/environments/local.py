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
from harness.environments.base import Availability, EnvironmentFailed
from harness.environments.child import start_child
from harness.environments.place import DialOut, Launched, Place

# A checkout that is not installed is importable for this process only, and PYTHONPATH would reach
# whatever the executor starts.
_RUN_EXECUTOR: Final = (
    sys.executable,
    "-c",
    "import gc, sys; gc.disable(); sys.path[0] = sys.argv.pop(1);"
    "from executors.command import main; sys.exit(main())",
    str(Path(executors.__file__).parents[1]),
)
_LISTEN: Final = ("--listen", "ws://127.0.0.1:0")


class LocalEnvironment(Place):
    """Runs the executor on the Python that runs this; ends with this process, whatever ends it.

    :param arguments: more of the executor's command line.
    :param environ: variables for the executor on top of this process's own.
    :param command: what to run instead of this package's executor; it must print its URL first, and is not
        told to dial out.
    """

    name = "local"
    is_remote = False

    def __init__(
        self,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        self._arguments = arguments
        self._environ = dict(environ or {})
        self._given = command

    def available(self) -> Availability:
        return Availability(True)

    def available_to_dial_out(self) -> Availability:
        if self._given is None:
            return Availability(True)
        return Availability(False, f"{self._given[0]!r} is not known to dial out", "leave out the command")

    @asynccontextmanager
    async def launch(self, dial_out: DialOut | None = None) -> AsyncIterator[Launched]:
        command, input = self._command(dial_out)
        env = {**os.environ, **self._environ}
        with tempfile.TemporaryDirectory(prefix="crossexec-log-") as folder:
            log = Path(folder, "executor.log")
            async with start_child(command, log=log, env=env, input=input) as child:
                yield Launched(child.url, log, has_ended=child.has_ended)

    def _command(self, dial_out: DialOut | None) -> tuple[list[str], bytes]:
        if self._given is not None:
            if dial_out is not None:
                raise EnvironmentFailed(str(self.available_to_dial_out()))
            return [*self._given, *self._arguments], b""
        way = _LISTEN if dial_out is None else dial_out.arguments
        input = b"" if dial_out is None else dial_out.input
        return [*_RUN_EXECUTOR, *way, "--exit-with-parent", *self._arguments], input
