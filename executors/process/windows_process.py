"""A process that was started on Windows: its streams, its end and the end of all that it started."""

from __future__ import annotations

import asyncio
import io
import sys
from contextlib import suppress

from executors.process import windows_api as api
from executors.process import windows_conpty, windows_console, windows_jobs, windows_pipes
from executors.process.base import ProcessObserver

assert sys.platform == "win32"

_TERMINATE_SECONDS = 5.0


class WindowsProcess:
    """A process in a job of its own; see :class:`executors.process.base.ChildProcess`.

    :param outputs: our ends of stdout and stderr, or that of the console's output; they and *stdin*
        are closed by this object.
    :param stdin: our end, if there is one.
    :param console: what the process is at, if it has a terminal.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rules: windows_console.ConsoleRules,
        observer: ProcessObserver,
        *,
        pid: int,
        handle: api.Handle,
        job: windows_jobs.Job,
        outputs: list[int],
        stdin: int | None,
        console: windows_conpty.PseudoConsole | None,
    ) -> None:
        self.pid = pid
        self.running = True
        self._rules = rules
        self._observer = observer
        self._proactor = windows_pipes.proactor_of(loop)
        self._handle = handle
        self._job = job
        self._console = console
        receivers = [self._output_pty] if console is not None else [self._output_stdout, self._output_stderr]
        self._outputs = [
            windows_pipes.OutputReader(loop, end, receiver, self._output_ended)
            for end, receiver in zip(outputs, receivers, strict=True)
        ]
        self._stdin = None if stdin is None else windows_pipes.InputWriter(loop, stdin)
        self._ended = loop.create_future()
        self._wait = self._proactor.wait_for_handle(int(handle))
        self._wait.add_done_callback(self._exited)
        for reader in self._outputs:
            reader.resume()

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        if self._stdin is None:
            raise BrokenPipeError("stdin was not opened")
        if self._console is not None:
            return self._rules.enter(self._console, data, self._stdin.write)
        return self._stdin.write(data)

    def close_stdin(self) -> None:
        if self._console is not None:
            raise io.UnsupportedOperation(
                "a terminal has no end of input to close: write \\x1a and Enter, which a console takes for it"
            )
        if self._stdin is not None:
            self._stdin.close_after_writing()

    def interrupt(self) -> None:
        """See :meth:`executors.process.base.ChildProcess.interrupt`.

        :raises PermissionError: the system refuses; the message says why.
        """
        if not self.running:
            return
        if self._console is not None:
            with suppress(BrokenPipeError):
                self.write(windows_console.INTERRUPT)
            return
        try:
            self._rules.interrupt_group(self.pid)
        except OSError as error:
            if not api.has_ended(int(self._handle)):
                raise PermissionError(
                    f"the system sends no control event to process group {self.pid}: {error}; "
                    "terminate the process, or start it with `tty` and interrupt it there"
                ) from None

    def resize(self, rows: int, cols: int) -> None:
        if self._console is None:
            raise io.UnsupportedOperation("the process has no terminal: start it with `tty`")
        self._console.resize(rows, cols)

    def pause_output(self) -> None:
        for reader in self._outputs:
            reader.pause()

    def resume_output(self) -> None:
        for reader in self._outputs:
            reader.resume()

    async def terminate(self) -> None:
        try:
            async with asyncio.timeout(_TERMINATE_SECONDS):
                await self._job.end(self._proactor)
                await asyncio.shield(self._ended)
        except TimeoutError:
            left = ", ".join(map(str, self._job.members()))
            raise TimeoutError(
                f"killed process {self.pid} and its descendants, but after {_TERMINATE_SECONDS:g} s "
                f"these are not gone: {left}"
            ) from None

    def has_left_any(self) -> bool:
        return self._job.active() > 0

    def release(self) -> None:
        for reader in self._outputs:
            reader.close()
        if self._stdin is not None:
            self._stdin.close()
        if self._console is not None:
            self._console.close()
        self._job.close()

    def _exited(self, wait: asyncio.Future[bool]) -> None:
        if wait.cancelled():
            return
        self.running = False
        code = api.exit_code(int(self._handle))
        self._handle.close()
        if self._stdin is not None:
            self._stdin.close()
        if self._console is not None:
            # Ends what else is at the console, and the output after its last piece.
            self._console.close()
        self._ended.set_result(None)
        self._observer.exited(code)
        self._close_job_if_over()

    def _output_stdout(self, data: bytes) -> None:
        self._observer.output("stdout", data)

    def _output_stderr(self, data: bytes) -> None:
        self._observer.output("stderr", data)

    def _output_pty(self, data: bytes) -> None:
        self._observer.output("pty", data)

    def _output_ended(self) -> None:
        if all(reader.closed for reader in self._outputs):
            self._observer.output_closed()
            self._close_job_if_over()

    def _close_job_if_over(self) -> None:
        """Many closed processes may be remembered: those that left nothing behind hold no handles."""
        if not self.running and all(reader.closed for reader in self._outputs) and not self._job.active():
            self._job.close()
