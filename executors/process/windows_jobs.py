"""Job objects: a process and all that it starts, until the last has ended.

Every process that a member starts is a member too and cannot leave, since the job allows no
breakaway. When its last handle is closed, which the system does for an executor that is
killed, all members are killed (JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE).
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from contextlib import suppress
from ctypes import wintypes

from executors.process import windows_api as api
from executors.process import windows_pipes

assert sys.platform == "win32"

_BASIC_ACCOUNTING_INFORMATION = 1
_BASIC_PROCESS_ID_LIST = 3
_BASIC_UI_RESTRICTIONS = 4
_EXTENDED_LIMIT_INFORMATION = 9
_KILL_ON_JOB_CLOSE = 0x2000
_EVERY_UI_RESTRICTION = 0xFF
_SYNCHRONIZE = 0x00100000
_QUERY_LIMITED_INFORMATION = 0x1000
_KILLED = 1
_LOOK_AGAIN_SECONDS = 0.005


class _BasicLimits(ctypes.Structure):
    _fields_ = [
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
    ]


class _ExtendedLimits(ctypes.Structure):
    _fields_ = [
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    ]


class _Accounting(ctypes.Structure):
    _fields_ = [
        ("TotalUserTime", ctypes.c_int64),
        ("TotalKernelTime", ctypes.c_int64),
        ("ThisPeriodTotalUserTime", ctypes.c_int64),
        ("ThisPeriodTotalKernelTime", ctypes.c_int64),
        ("TotalPageFaultCount", wintypes.DWORD),
        ("TotalProcesses", wintypes.DWORD),
        ("ActiveProcesses", wintypes.DWORD),
        ("TotalTerminatedProcesses", wintypes.DWORD),
    ]


_LIMITS = _ExtendedLimits()
_LIMITS.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE


class Job:
    """A job object whose members die with its last handle.

    :param confined: whether they are kept from windows, the clipboard and the like of others.
    :raises OSError: the system has no room for another.
    """

    def __init__(self, *, confined: bool = False) -> None:
        value = api.create_job_or_null(None, None)
        if not value:
            raise api.failure()
        self._handle = api.Handle(value)
        api.set_job_information(
            value, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(_LIMITS), ctypes.sizeof(_LIMITS)
        )
        if confined:
            limits = wintypes.DWORD(_EVERY_UI_RESTRICTION)
            api.set_job_information(
                value, _BASIC_UI_RESTRICTIONS, ctypes.byref(limits), ctypes.sizeof(limits)
            )

    def __int__(self) -> int:
        return int(self._handle)

    @property
    def closed(self) -> bool:
        return self._handle.value is None

    def close(self) -> None:
        """Gives the job up; members that are left are killed."""
        self._handle.close()

    def active(self) -> int:
        """Returns how many members have not ended; 0 once the job is closed."""
        if self.closed:
            return 0
        accounting = _Accounting()
        api.query_job_information(
            int(self),
            _BASIC_ACCOUNTING_INFORMATION,
            ctypes.byref(accounting),
            ctypes.sizeof(accounting),
            None,
        )
        return int(accounting.ActiveProcesses)

    def members(self) -> list[int]:
        """Returns the process ids of those that have not ended."""
        if self.closed:
            return []
        room = 64
        while True:
            # JOBOBJECT_BASIC_PROCESS_ID_LIST: two counts, then the ids.
            size = 8 + ctypes.sizeof(ctypes.c_size_t) * room
            buffer = ctypes.create_string_buffer(size)
            try:
                api.query_job_information(int(self), _BASIC_PROCESS_ID_LIST, buffer, size, None)
            except OSError as error:
                if error.winerror != api.ERROR_MORE_DATA:
                    raise
                room *= 4
                continue
            count = wintypes.DWORD.from_buffer(buffer, 4).value
            return list((ctypes.c_size_t * count).from_buffer(buffer, 8))

    async def end(self, proactor: windows_pipes.Proactor) -> None:
        """Kills all members; returns when they are gone."""
        while members := self.members():
            # Opened before they are killed: their ids mean nothing afterwards.
            handles = [handle for pid in members if (handle := self._open(pid)) is not None]
            api.terminate_job(int(self), _KILLED)
            waits = [proactor.wait_for_handle(int(handle)) for handle in handles]
            try:
                if waits:
                    await asyncio.wait(waits)
                if self.active():
                    # A job counts a process a moment longer than its handle tells.
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            finally:
                for wait in waits:
                    wait.cancel()
                for handle in handles:
                    handle.close()

    def _open(self, pid: int) -> api.Handle | None:
        """Returns a handle of a member to wait for; None if it is gone."""
        value = api.open_process_or_null(_SYNCHRONIZE | _QUERY_LIMITED_INFORMATION, False, pid)
        if not value:
            return None
        handle = api.Handle(value)
        is_member = wintypes.BOOL()
        with suppress(OSError):
            api.is_process_in_job(value, int(self), ctypes.byref(is_member))
        return handle if is_member else None
