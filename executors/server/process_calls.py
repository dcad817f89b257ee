"""Answers ``process/*`` for one session."""

from __future__ import annotations

import asyncio
import io
from collections import OrderedDict
from collections.abc import Awaitable
from contextlib import suppress

from executors.process import ENVIRONMENT_RULES
from executors.process.base import Backend, ChildProcess, SpawnRequest
from executors.protocol import methods
from executors.protocol.binary import decode_base64
from executors.protocol.environment import Empty
from executors.protocol.errors import internal_error, invalid_params, invalid_request
from executors.protocol.path_uri import ForeignPathError, PathUri, PathUriError
from executors.protocol.processes import (
    ProcessParams,
    ProcessReadParams,
    ProcessReadResult,
    ProcessResizeParams,
    ProcessSignalParams,
    ProcessStartParams,
    ProcessStartResult,
    ProcessTerminateResult,
    ProcessWriteParams,
    ProcessWriteResult,
    WriteStatus,
)
from executors.sandbox.intent import refuse_unsupported
from executors.server.environment import own_environment
from executors.server.handlers import Handler, handler
from executors.server.managed_process import ManagedProcess, Notify

_MAX_CLOSED = 1024
_MAX_CLOSED_OUTPUT_BYTES = 64 * 1024 * 1024
_MAX_WAITING_READS = 16 * 1024
_MAX_TERMINAL_SIZE = 65535
# As good as for ever, and still a number of seconds that a float can hold.
_MAX_WAIT_MS = 2**53


class ProcessCalls:
    """The processes of a session, by the ids that its client chose.

    An id stays taken, and its output readable, until its process has closed and 1,024 others
    or 64 MiB of output have closed after it.

    :param notify: sends a notification to the client.
    """

    def __init__(self, backend: Backend, platform: str, notify: Notify) -> None:
        self._backend = backend
        self._platform = platform
        self._notify = notify
        self._processes: dict[str, ManagedProcess] = {}
        self._closed: OrderedDict[str, ManagedProcess] = OrderedDict()
        self._closed_output = 0
        # Of processes that are forgotten, where something that they started may still run.
        self._left_behind: list[tuple[str, ChildProcess]] = []
        self._waiting_reads = 0
        self._paused = False
        self._resumed = asyncio.Event()
        self._resumed.set()

    def handlers(self) -> list[Handler]:
        return [
            handler(methods.PROCESS_START, self._start),
            handler(methods.PROCESS_READ, self._read),
            handler(methods.PROCESS_WRITE, self._write),
            handler(methods.PROCESS_CLOSE_STDIN, self._close_stdin),
            handler(methods.PROCESS_SIGNAL, self._signal),
            handler(methods.PROCESS_RESIZE, self._resize),
            handler(methods.PROCESS_TERMINATE, self._terminate),
        ]

    def pause_output(self) -> None:
        """The client reads too slowly: every process waits when its pipe is full."""
        self._paused = True
        self._resumed.clear()
        for process in self._processes.values():
            process.pause_output()

    def resume_output(self) -> None:
        self._paused = False
        self._resumed.set()
        for process in list(self._processes.values()):
            process.resume_output()

    async def close(self) -> None:
        """Kills every process and its descendants; returns when they are gone.

        :raises ExceptionGroup: of TimeoutError, if some resist.
        """
        # Of a closed process only orphans can be left.
        all_closed_are_over = not self._backend.has_orphans()
        ending: list[Awaitable[object]] = [
            process.terminate()
            for process in self._processes.values()
            if not (process.log.closed and all_closed_are_over)
        ]
        ending += [child.terminate() for _, child in self._left_behind]
        results = await asyncio.gather(*ending, return_exceptions=True)
        errors = [result for result in results if isinstance(result, Exception)]
        for process in self._processes.values():
            process.release()
        if errors:
            raise ExceptionGroup("processes could not be ended", errors)

    def _start(self, params: ProcessStartParams) -> ProcessStartResult:
        if not params.argv:
            raise invalid_params("argv must not be empty")
        cwd = self._native_cwd(params.cwd)
        refuse_unsupported(params.sandbox)
        if params.enforce_managed_network or params.managed_network is not None:
            raise invalid_params(
                "this executor cannot control the network of a process: leave `enforceManagedNetwork` and "
                "`managedNetwork` out, or use an executor that can"
            )
        if params.process_id in self._processes:
            raise invalid_request(f"process {params.process_id} already exists")
        env = params.env
        if params.env_policy is not None:
            inherited = ENVIRONMENT_RULES.apply_policy(params.env_policy, own_environment())
            env = ENVIRONMENT_RULES.overlay(inherited, env)
        request = SpawnRequest(
            argv=params.argv,
            arg0=params.arg0,
            cwd=cwd,
            env=env,
            tty=params.tty,
            pipe_stdin=bool(params.pipe_stdin),
        )
        process = ManagedProcess(params.process_id, self._notify, self._process_closed)
        try:
            process.start(self._backend, request)
        except OSError as error:
            raise internal_error(f"cannot start {params.argv[0]!r} in {params.cwd}: {error}") from None
        except ValueError as error:
            raise invalid_params(f"cannot start {params.argv[0]!r}: {error}") from None
        self._processes[params.process_id] = process
        if self._paused:
            process.pause_output()
        return ProcessStartResult(params.process_id)

    def _read(self, params: ProcessReadParams) -> ProcessReadResult | Awaitable[ProcessReadResult]:
        process = self._processes.get(params.process_id)
        if process is None:
            raise invalid_request(f"unknown process id {params.process_id}")
        after_seq = _not_negative("afterSeq", params.after_seq) or 0
        max_bytes = _not_negative("maxBytes", params.max_bytes)
        wait_ms = min(_not_negative("waitMs", params.wait_ms) or 0, _MAX_WAIT_MS)
        if (
            not wait_ms
            or process.log.closed
            or process.log.happened_after(after_seq)
            or self._waiting_reads >= _MAX_WAITING_READS
        ):
            return process.read_now(after_seq, max_bytes)
        return self._read_later(process, after_seq, max_bytes, wait_ms)

    async def _read_later(
        self, process: ManagedProcess, after_seq: int, max_bytes: int | None, wait_ms: int
    ) -> ProcessReadResult:
        self._waiting_reads += 1
        try:
            await process.until_event_after(after_seq, wait_ms / 1000)
            # Very many may wait for the same output: the replies go out as the client reads.
            while self._paused:
                await self._resumed.wait()
            return process.read_now(after_seq, max_bytes)
        finally:
            self._waiting_reads -= 1

    def _write(self, params: ProcessWriteParams) -> ProcessWriteResult | Awaitable[ProcessWriteResult]:
        if not params.write_id:
            raise invalid_params("field `writeId` must not be empty")
        data = decode_base64(params.chunk, "chunk")
        process = self._processes.get(params.process_id)
        if process is None:
            return ProcessWriteResult("unknownProcess")
        status, room = process.write(data, params.write_id)
        return ProcessWriteResult(status) if room is None else _answer_after(room, status)

    def _close_stdin(self, params: ProcessParams) -> ProcessWriteResult:
        process = self._processes.get(params.process_id)
        if process is None:
            return ProcessWriteResult("unknownProcess")
        try:
            return ProcessWriteResult(process.close_stdin())
        except io.UnsupportedOperation as error:
            raise invalid_request(str(error)) from None

    def _signal(self, params: ProcessSignalParams) -> Empty:
        # As with terminate, a process that is over and forgotten is no mistake of the client.
        process = self._processes.get(params.process_id)
        if process is not None:
            try:
                process.interrupt()
            except PermissionError as error:
                raise invalid_request(f"cannot interrupt process {params.process_id}: {error}") from None
        return Empty()

    def _resize(self, params: ProcessResizeParams) -> Empty:
        for name, value in (("rows", params.rows), ("cols", params.cols)):
            if not 1 <= value <= _MAX_TERMINAL_SIZE:
                raise invalid_params(f"field `{name}`: {value} is not between 1 and {_MAX_TERMINAL_SIZE}")
        process = self._processes.get(params.process_id)
        if process is None:
            raise invalid_request(f"unknown process id {params.process_id}")
        try:
            process.resize(params.rows, params.cols)
        except io.UnsupportedOperation as error:
            raise invalid_request(str(error)) from None
        return Empty()

    async def _terminate(self, params: ProcessParams) -> ProcessTerminateResult:
        process = self._processes.get(params.process_id)
        try:
            for entry in [one for one in self._left_behind if one[0] == params.process_id]:
                await entry[1].terminate()
                # Of two that terminate at once, the other may have been first.
                with suppress(ValueError):
                    self._left_behind.remove(entry)
            running = process is not None and await process.terminate()
            return ProcessTerminateResult(running)
        except TimeoutError as error:
            raise internal_error(str(error)) from None

    def _native_cwd(self, text: str) -> str:
        try:
            return PathUri.parse(text).to_native(self._platform)
        except ForeignPathError as error:
            raise invalid_params(f"cwd is not a path of this executor: {error}") from None
        except PathUriError as error:
            raise invalid_params(f"field `cwd`: {error}") from None

    def _process_closed(self, process: ManagedProcess) -> None:
        self._closed[process.process_id] = process
        self._closed_output += process.log.memory
        while len(self._closed) > _MAX_CLOSED or (
            self._closed_output > _MAX_CLOSED_OUTPUT_BYTES and len(self._closed) > 1
        ):
            process_id, oldest = self._closed.popitem(last=False)
            if oldest.child.has_left_any():
                self._left_behind.append((process_id, oldest.child))
            self._closed_output -= oldest.log.memory
            del self._processes[process_id]


def _not_negative(name: str, value: int | None) -> int | None:
    if value is not None and value < 0:
        raise invalid_params(f"field `{name}`: {value} is negative")
    return value


async def _answer_after(room: asyncio.Future[None], status: WriteStatus) -> ProcessWriteResult:
    # Several writes wait for the same room: one that is called off must not end the others' wait.
    await asyncio.shield(room)
    return ProcessWriteResult(status)
