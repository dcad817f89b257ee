"""Answers ``process/*`` for one session."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from executors.process import ENVIRONMENT_RULES
from executors.process.base import Backend, ChildProcess, SpawnRequest
from executors.protocol import methods
from executors.protocol.binary import decode_base64
from executors.protocol.environment import Empty
from executors.protocol.errors import RpcError, internal_error, invalid_params, invalid_request
from executors.protocol.path_uri import ForeignPathError, PathUri, PathUriError
from executors.protocol.processes import (
    ProcessAcknowledge,
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
    SandboxType,
    WriteStatus,
)
from executors.sandbox.intent import refuse_unsupported
from executors.sandbox.policy import Policy
from executors.server.closed_processes import ClosedProcesses
from executors.server.confinements import Confined, Confinements
from executors.server.environment import own_environment
from executors.server.handlers import Handler, handler
from executors.server.managed_process import ManagedProcess
from executors.server.outlet import Outlet, window

_SANDBOX_TYPES: Final[Mapping[str, SandboxType]] = {
    "linux": "linuxSeccomp",
    "macos": "macosSeatbelt",
    "windows": "windowsRestrictedToken",
}
_MAX_WAITING_READS = 16 * 1024
_MAX_TERMINAL_SIZE = 65535
# As good as for ever, and still a number of seconds that a float can hold.
_MAX_WAIT_MS = 2**53


class ProcessCalls:
    """The processes of a session, by the ids that its client chose.

    An id stays taken, and its output readable, until its process has closed and
    :class:`~executors.server.closed_processes.ClosedProcesses` forgets it.

    An id is taken as soon as its start is called for, also while a sandbox has yet to be proved.

    :param outlet: where the events of all of them go.
    :param confinements: of the same session; None where there is no sandbox to be had.
    """

    def __init__(
        self, backend: Backend, platform: str, outlet: Outlet, confinements: Confinements | None = None
    ) -> None:
        self._backend = backend
        self._confinements = confinements
        self._platform = platform
        self._outlet = outlet
        self._processes: dict[str, ManagedProcess] = {}
        self._starting: dict[str, ProcessStartParams] = {}
        self._confined: dict[ManagedProcess, Confined] = {}
        # Whose process is over, where something that it started may still run.
        self._confined_left: list[tuple[Confined, ChildProcess]] = []
        self._closed = ClosedProcesses()
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

    def __len__(self) -> int:
        """How many ids are taken."""
        return len(self._processes) + len(self._starting)

    def attached(self) -> None:
        """The client has come: the outlet leads to it."""
        for process in self._processes.values():
            process.attached()

    def detached(self) -> None:
        """The client has gone: the outlet leads nowhere.

        A start that still waits for its sandbox is called off.
        """
        self._starting.clear()
        self._paused = False
        self._resumed.set()
        for process in list(self._processes.values()):
            process.detached()

    def acknowledge(self, params: ProcessAcknowledge) -> None:
        """Takes what the client says; of a process that is forgotten it says nothing new."""
        process = self._processes.get(params.process_id)
        if process is not None:
            process.acknowledge(params.seq)
            if process.log.closed:
                self._closed.learned(process)
                self._forget_surplus()

    async def close(self) -> None:
        """Kills every process and its descendants; returns when they are gone.

        :raises ExceptionGroup: of TimeoutError, if some resist.
        """
        self._starting.clear()
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

    def _start(self, params: ProcessStartParams) -> ProcessStartResult | Awaitable[ProcessStartResult]:
        if not params.argv:
            raise invalid_params("argv must not be empty")
        cwd = self._native_cwd(params.cwd)
        if params.enforce_managed_network or params.managed_network is not None:
            raise invalid_params(
                "this executor cannot control the network of a process: leave `enforceManagedNetwork` and "
                "`managedNetwork` out, or use an executor that can"
            )
        if params.process_id in self._processes or params.process_id in self._starting:
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
        if self._confinements is None:
            refuse_unsupported(params.sandbox)
            return self._spawn(params, request)
        policy = self._confinements.policy(params.sandbox, env)
        if policy is None:
            return self._spawn(params, request)
        self._give_back_left()
        confined = self._confinements.take_now(policy)
        if confined is None:
            self._starting[params.process_id] = params
            return self._start_later(self._confinements, params, request, policy)
        return self._spawn_confined(self._confinements, confined, params, request)

    async def _start_later(
        self,
        confinements: Confinements,
        params: ProcessStartParams,
        request: SpawnRequest,
        policy: Policy,
    ) -> ProcessStartResult:
        """Starts a process once the sandbox for it has proved itself."""
        try:
            confined = await confinements.take(policy)
        finally:
            is_called_off = self._starting.get(params.process_id) is not params
            if not is_called_off:
                del self._starting[params.process_id]
        if is_called_off:
            confinements.give_back(confined)
            raise invalid_request(f"process {params.process_id} was terminated before it was started")
        return self._spawn_confined(confinements, confined, params, request)

    def _spawn_confined(
        self,
        confinements: Confinements,
        confined: Confined,
        params: ProcessStartParams,
        request: SpawnRequest,
    ) -> ProcessStartResult:
        try:
            result = self._spawn(params, request, confined)
        except BaseException:
            confinements.give_back(confined)
            raise
        self._confined[self._processes[params.process_id]] = confined
        return result

    def _spawn(
        self, params: ProcessStartParams, request: SpawnRequest, confined: Confined | None = None
    ) -> ProcessStartResult:
        result = ProcessStartResult(params.process_id)
        where, judge = "", None
        if confined is not None:
            result.sandbox_type = _SANDBOX_TYPES[self._platform]
            result.sandbox_backend = confined.backend.name
            where = f" in the sandbox of {confined.backend.name}"
            judge = confined.judge(request.cwd)
        process = ManagedProcess(params.process_id, self._outlet, self._process_closed, judge)
        try:
            if confined is not None and judge is not None:
                request = msgspec.structs.replace(confined.confinement.wrap(request), starter=judge.start)
            process.start(self._backend, request)
        except OSError as error:
            raise internal_error(f"cannot start {params.argv[0]!r} in {params.cwd}{where}: {error}") from None
        except ValueError as error:
            raise invalid_params(f"cannot start {params.argv[0]!r}{where}: {error}") from None
        self._processes[params.process_id] = process
        self._outlet.window = window(len(self._processes) - len(self._closed))
        if self._paused:
            process.pause_output()
        return result

    def _read(self, params: ProcessReadParams) -> ProcessReadResult | Awaitable[ProcessReadResult]:
        process = self._processes.get(params.process_id)
        if process is None:
            raise self._unknown(params.process_id)
        after_seq = _not_negative("afterSeq", params.after_seq) or 0
        max_bytes = _not_negative("maxBytes", params.max_bytes)
        wait_ms = min(_not_negative("waitMs", params.wait_ms) or 0, _MAX_WAIT_MS)
        if (
            not wait_ms
            or process.log.closed
            or process.log.happened_after(after_seq)
            or self._waiting_reads >= _MAX_WAITING_READS
        ):
            return self._read_now(process, after_seq, max_bytes)
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
            return self._read_now(process, after_seq, max_bytes)
        finally:
            self._waiting_reads -= 1

    def _read_now(self, process: ManagedProcess, after_seq: int, max_bytes: int | None) -> ProcessReadResult:
        result = process.read_now(after_seq, max_bytes)
        if result.closed:
            self._closed.learned(process)
            self._forget_surplus()
        return result

    def _write(self, params: ProcessWriteParams) -> ProcessWriteResult | Awaitable[ProcessWriteResult]:
        if not params.write_id:
            raise invalid_params("field `writeId` must not be empty")
        data = decode_base64(params.chunk, "chunk")
        process = self._processes.get(params.process_id)
        if process is None:
            return ProcessWriteResult(self._unknown_status(params.process_id))
        status, room = process.write(data, params.write_id)
        return ProcessWriteResult(status) if room is None else _answer_after(room, status)

    def _close_stdin(self, params: ProcessParams) -> ProcessWriteResult:
        process = self._processes.get(params.process_id)
        if process is None:
            return ProcessWriteResult(self._unknown_status(params.process_id))
        try:
            return ProcessWriteResult(process.close_stdin())
        except io.UnsupportedOperation as error:
            raise invalid_request(str(error)) from None

    def _signal(self, params: ProcessSignalParams) -> Empty:
        # As with terminate, a process that is over and forgotten is no mistake of the client.
        if params.process_id in self._starting:
            raise self._unknown(params.process_id)
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
            raise self._unknown(params.process_id)
        try:
            process.resize(params.rows, params.cols)
        except io.UnsupportedOperation as error:
            raise invalid_request(str(error)) from None
        return Empty()

    async def _terminate(self, params: ProcessParams) -> ProcessTerminateResult:
        process = self._processes.get(params.process_id)
        # Its start finds that out.
        self._starting.pop(params.process_id, None)
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

    def _unknown(self, process_id: str) -> RpcError:
        if process_id in self._starting:
            return invalid_request(f"process {process_id} is starting: wait for the reply to its start")
        return invalid_request(f"unknown process id {process_id}")

    def _unknown_status(self, process_id: str) -> WriteStatus:
        return "starting" if process_id in self._starting else "unknownProcess"

    def _native_cwd(self, text: str) -> str:
        try:
            return PathUri.parse(text).to_native(self._platform)
        except ForeignPathError as error:
            raise invalid_params(f"cwd is not a path of this executor: {error}") from None
        except PathUriError as error:
            raise invalid_params(f"field `cwd`: {error}") from None

    def _process_closed(self, process: ManagedProcess) -> None:
        confined = self._confined.pop(process, None)
        if confined is not None:
            self._confined_left.append((confined, process.child))
            self._give_back_left()
        self._closed.add(process)
        self._forget_surplus()
        self._outlet.window = window(len(self._processes) - len(self._closed))

    def _forget_surplus(self) -> None:
        for oldest in self._closed.pop_surplus():
            if oldest.child.has_left_any():
                self._left_behind.append((oldest.process_id, oldest.child))
            del self._processes[oldest.process_id]

    def _give_back_left(self) -> None:
        """Lets go of confinements in which nothing runs any more."""
        assert self._confinements is not None
        still = []
        for confined, child in self._confined_left:
            if child.has_left_any():
                still.append((confined, child))
            else:
                self._confinements.give_back(confined)
        self._confined_left = still


def _not_negative(name: str, value: int | None) -> int | None:
    if value is not None and value < 0:
        raise invalid_params(f"field `{name}`: {value} is negative")
    return value


async def _answer_after(room: asyncio.Future[None], status: WriteStatus) -> ProcessWriteResult:
    # Several writes wait for the same room: one that is called off must not end the others' wait.
    await asyncio.shield(room)
    return ProcessWriteResult(status)
