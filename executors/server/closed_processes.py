"""Which of a session's closed processes can still be read, and which to forget. Plain state, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from executors.server.managed_process import ManagedProcess

_MAX_COUNT = 1024
_MAX_BYTES = 64 * 1024 * 1024
_UNKNOWN_FACTOR = 4


class ClosedProcesses:
    """Closed processes, the oldest to be forgotten first.

    1,024 of them, with 64 MiB of output, whose end their client knows of; besides, four times as many with
    four times as much whose end it may yet have to read.
    """

    def __init__(self) -> None:
        self._known = _Shelf(_MAX_COUNT, _MAX_BYTES)
        self._unknown = _Shelf(_MAX_COUNT * _UNKNOWN_FACTOR, _MAX_BYTES * _UNKNOWN_FACTOR)

    def __len__(self) -> int:
        return len(self._known.processes) + len(self._unknown.processes)

    def add(self, process: ManagedProcess) -> None:
        (self._known if process.log.all_known else self._unknown).add(process)

    def learned(self, process: ManagedProcess) -> None:
        """To be called when the client may have learned something of a process."""
        if process.log.all_known and self._unknown.discard(process):
            self._known.add(process)

    def pop_surplus(self) -> Iterator[ManagedProcess]:
        """Takes out and yields those that are to be forgotten."""
        yield from self._known.pop_surplus()
        yield from self._unknown.pop_surplus()


class _Shelf:
    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        # With the memory that each took when it came.
        self.processes: OrderedDict[ManagedProcess, int] = OrderedDict()
        self._bytes = 0

    def add(self, process: ManagedProcess) -> None:
        memory = process.log.memory
        self.processes[process] = memory
        self._bytes += memory

    def discard(self, process: ManagedProcess) -> bool:
        """Returns whether it was there."""
        memory = self.processes.pop(process, None)
        if memory is None:
            return False
        self._bytes -= memory
        return True

    def pop_surplus(self) -> Iterator[ManagedProcess]:
        while len(self.processes) > self._max_count or (
            self._bytes > self._max_bytes and len(self.processes) > 1
        ):
            process, memory = self.processes.popitem(last=False)
            self._bytes -= memory
            yield process
