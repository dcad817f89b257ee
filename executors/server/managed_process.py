"""One process of a session: its record, its notifications and those who wait for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import msgspec

from executors.process.base import Backend, ChildProcess, SpawnRequest
from executors.process.output_log import OutputLog
from executors.protocol import base64
from executors.protocol.binary import encode_base64
from executors.protocol.envelope import encode_notification
from executors.protocol.errors import invalid_request
from executors.protocol.methods import PROCESS_CLOSED, PROCESS_EXITED, PROCESS_OUTPUT, Notification
from executors.protocol.processes import (
    OutputChunk,
    ProcessClosed,
    ProcessExited,
    ProcessReadResult,
    Stream,
    WriteStatus,
)
from executors.sandbox.denial import TAIL_BYTES, Judge
from executors.server.outlet import Outlet

P = TypeVar("P")

_REMEMBERED_WRITES = 4096
# How long the exit of a sandboxed process that failed waits for the output that may tell why.
_GRACE_SECONDS = 0.05
_MAX_QUEUED_WRITES_BYTES = 64 * 1024 * 1024


class ManagedProcess:
    """A process that a client started by its own id; the observer of its backend.

    Its output waits in its pipe while the connection is too slow, and while the client has yet to say that it
    has got what was sent, or to come back for it.

    :param outlet: where its events go.
    :param on_closed: called once, when the last event is out.
    :param judge: tells whether the sandbox of the process kept it from something; None without a sandbox.
    """

    def __init__(
        self,
        process_id: str,
        outlet: Outlet,
        on_closed: Callable[[ManagedProcess], None],
        judge: Judge | None = None,
    ) -> None:
        self.process_id = process_id
        self.log = OutputLog()
        if outlet.acknowledges:
            self.log.hold()
        self._outlet = outlet
        self._on_closed = on_closed
        self._judge = judge
        self._denied = False
        self._has_ended = False
        # Of a process that has ended, while its output may yet tell why.
        self._unpublished_exit: int | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._output_open = True
        self._waiters: set[asyncio.Future[None]] = set()
        self._writes: OrderedDict[str, None] = OrderedDict()
        self._waiting_bytes = 0
        self._is_held_back = False
        # More is held for the client than the outlet's window.
        self._is_full = False
        self._is_paused = False
        self._child: ChildProcess
        head = b'{"method":"%b","params":{"processId":%b,"seq":' % (
            PROCESS_OUTPUT.name.encode(),
            msgspec.json.encode(process_id),
        )
        self._output_head = head
        self._stream_parts: dict[Stream, bytes] = {
            "stdout": b',"stream":"stdout","chunk":"',
            "stderr": b',"stream":"stderr","chunk":"',
            "pty": b',"stream":"pty","chunk":"',
        }

    def start(self, backend: Backend, request: SpawnRequest) -> None:
        """
        :raises OSError, ValueError: as :meth:`executors.process.base.Backend.spawn`.
        """
        self._child = backend.spawn(request, self)

    def output(self, stream: Stream, data: bytes) -> None:
        log = self.log
        outlet = self._outlet
        seq = log.append(stream, data)
        if outlet.send is not None:
            outlet.send(
                b'%b%d%b%b"}}' % (self._output_head, seq, self._stream_parts[stream], base64.encode(data))
            )
        if log.held_memory > outlet.window and not self._is_full:
            self._is_full = True
            self._set_pace()
        self._wake()

    def exited(self, exit_code: int) -> None:
        self._has_ended = True
        denied = False if self._judge is None else self._judge.by_evidence(exit_code)
        if denied is not None:
            self._publish_exit(exit_code, denied)
            return
        self._unpublished_exit = exit_code
        if self._output_open:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(_GRACE_SECONDS, self._judge_output)
        else:
            self._judge_output()

    def output_closed(self) -> None:
        self._output_open = False
        if self._unpublished_exit is not None:
            self._judge_output()
        else:
            self._close_if_over()

    def _judge_output(self) -> None:
        assert self._judge is not None and self._unpublished_exit is not None
        exit_code, self._unpublished_exit = self._unpublished_exit, None
        self._end_grace()
        self._publish_exit(exit_code, self._judge.by_output(exit_code, self.log.tails(TAIL_BYTES)))

    def _publish_exit(self, exit_code: int, denied: bool) -> None:
        self._denied = denied
        seq = self.log.mark_exited(exit_code)
        exited = ProcessExited(self.process_id, seq, exit_code, denied)
        self._notify(PROCESS_EXITED, exited)
        self._wake()
        self._close_if_over()

    def _end_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _close_if_over(self) -> None:
        if self.log.exit_code is not None and not self._output_open:
            seq = self.log.mark_closed()
            closed = ProcessClosed(self.process_id, seq)
            self._notify(PROCESS_CLOSED, closed)
            self._on_closed(self)
            self._wake()

    def _notify(self, method: Notification[P], params: P) -> None:
        if self._outlet.send is not None:
            self._outlet.send(encode_notification(method.name, params))

    async def until_event_after(self, after_seq: int, wait_seconds: float) -> None:
        """Returns when an event has a number above *after_seq*, when none can come, or when time is up."""
        if self.log.happened_after(after_seq) or self.log.closed:
            return
        woken = asyncio.get_running_loop().create_future()
        self._waiters.add(woken)
        try:
            async with asyncio.timeout(wait_seconds):
                await woken
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(woken)

    def read_now(self, after_seq: int, max_bytes: int | None) -> ProcessReadResult:
        """Returns what is retained after *after_seq*, and how the process stands."""
        log = self.log
        chunks = log.read(after_seq, max_bytes)
        next_seq = log.next_seq
        if chunks and log.has_output_after(chunks[-1].seq):
            # Cut short by max_bytes: whoever goes on from here must not miss the rest.
            next_seq = chunks[-1].seq + 1
        if self._outlet.send is not None and not self._outlet.acknowledges:
            # What it had missed has been sent now.
            log.acknowledge(next_seq - 1)
            self._came_in()
        return ProcessReadResult(
            chunks=[OutputChunk(chunk.seq, chunk.stream, encode_base64(chunk.data)) for chunk in chunks],
            next_seq=next_seq,
            exited=log.exit_code is not None,
            exit_code=log.exit_code,
            closed=log.closed,
            failure=None,
            sandbox_denied=self._denied,
        )

    def write(self, data: bytes, write_id: str) -> tuple[WriteStatus, asyncio.Future[None] | None]:
        """Queues *data* for stdin, once for each *write_id*.

        :returns: the status, and a future to wait for before the client hears it, if any.
        :raises RpcError: INVALID_REQUEST if the process does not read and too much waits already.
        """
        if write_id in self._writes:
            return "accepted", None
        if self._has_ended:
            return "stdinClosed", None
        if self._waiting_bytes + len(data) > _MAX_QUEUED_WRITES_BYTES:
            raise invalid_request(
                f"process {self.process_id} does not read: {self._waiting_bytes} bytes wait for its stdin; "
                "nothing of this write was taken, send it again once earlier writes are answered"
            )
        try:
            room = self._child.write(data)
        except BrokenPipeError:
            return "stdinClosed", None
        self._writes[write_id] = None
        if len(self._writes) > _REMEMBERED_WRITES:
            self._writes.popitem(last=False)
        if room is not None:
            self._waiting_bytes += len(data)
            room.add_done_callback(lambda _: self._written(len(data)))
        return "accepted", room

    def _written(self, count: int) -> None:
        self._waiting_bytes -= count

    def close_stdin(self) -> WriteStatus:
        """
        :raises io.UnsupportedOperation: stdin is a terminal.
        """
        if self._has_ended:
            return "stdinClosed"
        self._child.close_stdin()
        return "accepted"

    def interrupt(self) -> None:
        self._child.interrupt()

    def resize(self, rows: int, cols: int) -> None:
        """
        :raises io.UnsupportedOperation: the process has no terminal.
        """
        self._child.resize(rows, cols)

    def pause_output(self) -> None:
        """The connection is too slow."""
        self._is_held_back = True
        self._set_pace()

    def resume_output(self) -> None:
        self._is_held_back = False
        self._set_pace()

    def attached(self) -> None:
        """A client has come; it knows what it knew when it went."""
        if self._outlet.acknowledges:
            self.log.hold()
        else:
            self._came_in()

    def detached(self) -> None:
        """The client has gone, and whatever it may not know must wait for it."""
        self.log.hold()
        self.resume_output()

    def acknowledge(self, seq: int) -> None:
        """The client has got every event up to *seq*."""
        self.log.acknowledge(seq)
        self._came_in()

    def _came_in(self) -> None:
        log, outlet = self.log, self._outlet
        if not outlet.acknowledges and log.all_known:
            # It has caught up: from now on, what is sent counts as come in.
            log.let_go()
        if self._is_full and log.held_memory <= outlet.window // 2:
            self._is_full = False
            self._set_pace()

    def _set_pace(self) -> None:
        is_paused = self._is_held_back or self._is_full
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            if is_paused:
                self._child.pause_output()
            else:
                self._child.resume_output()

    async def terminate(self) -> bool:
        """Kills the process and its descendants.

        :returns: whether the process itself was running.
        :raises TimeoutError: some resist.
        """
        running = not self._has_ended
        await self._child.terminate()
        return running

    @property
    def child(self) -> ChildProcess:
        return self._child

    def release(self) -> None:
        """Stops reading output; after the session's end nobody is there to hear of it."""
        self._end_grace()
        self._child.release()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
