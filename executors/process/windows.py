"""Processes on Windows: CreateProcess, one job object and process group each, overlapped pipes.

Needs Windows 10 1809 or later, or Wine, and asyncio's Proactor loop.
"""

from __future__ import annotations

import _winapi
import asyncio
import ctypes
import functools
import os
import stat
import sys
import weakref
from typing import Any

from executors.process import windows_api as api
from executors.process import (
    windows_conpty,
    windows_console,
    windows_jobs,
    windows_pipes,
    windows_process,
    wine,
)
from executors.process.base import DEFAULT_COLS, DEFAULT_ROWS, ProcessObserver, SpawnRequest
from executors.process.command_line import command_line
from executors.process.windows_programs import Environment, candidates

assert sys.platform == "win32"

_SHARE_READ_WRITE = 3

_MOST_DIRECTORY = 258
"""Of a process's current directory: MAX_PATH (260) less the backslash and NUL that the system appends.

CreateProcess takes no more, whether or not a program is aware of long paths.
"""

Streams = tuple[int | None, int | None, int | None]
"""Handles of stdin, stdout and stderr."""


def find_program(program: str, env: Environment, cwd: str) -> str:
    """Returns the path of the file to start for *program*; see :func:`candidates`.

    :raises FileNotFoundError: nothing of that name is there.
    :raises PermissionError: only directories or the like are.
    """
    unfit = False
    for path in candidates(program, env, cwd):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(mode):
            return path
        unfit = True
    raise api.failure(program, api.ERROR_ACCESS_DENIED if unfit else api.ERROR_FILE_NOT_FOUND)


def _check_directory(cwd: str) -> None:
    """
    :raises OSError: *cwd* is too long, missing or no directory; with the system's words and its path.
    """
    if len(cwd) > _MOST_DIRECTORY:
        # Refused by Windows; Wine 8.0 writes behind the end of a buffer in this process.
        raise api.failure(cwd, api.ERROR_FILENAME_EXCED_RANGE)
    if not stat.S_ISDIR(os.stat(cwd).st_mode):
        raise api.failure(cwd, api.ERROR_DIRECTORY)


class WindowsBackend:
    """Starts processes; see :class:`executors.process.base.Backend`.

    :ivar can_resize: whether terminals can change their size here.
    :raises TypeError: *loop* is not the Proactor loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        windows_pipes.proactor_of(loop)
        self._loop = loop
        self._processes: weakref.WeakSet[windows_process.WindowsProcess] = weakref.WeakSet()
        self._consoles: weakref.WeakSet[windows_conpty.PseudoConsole] = weakref.WeakSet()
        self._null = api.Handle(
            _winapi.CreateFile("NUL", _winapi.GENERIC_READ, _SHARE_READ_WRITE, 0, _winapi.OPEN_EXISTING, 0, 0)
        )
        os.set_handle_inheritable(int(self._null), True)
        self._cmd = os.path.join(api.system_directory(), "cmd.exe")
        self._rules = wine.console_rules()
        self.can_resize = self._rules.can_resize
        # Without one a console would open, in a window of its own, for every process.
        self._no_console_flags = 0 if windows_console.open_console() else api.CREATE_NO_WINDOW

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> windows_process.WindowsProcess:
        """See :meth:`executors.process.base.Backend.spawn`.

        *arg0* is the first word of the command line; a batch file sees its path instead.
        """
        env = Environment(request.env)
        _check_directory(request.cwd)
        argv = request.argv
        program, line = command_line(
            find_program(argv[0], env, request.cwd),
            argv[0] if request.arg0 is None else request.arg0,
            argv[1:],
            self._cmd,
        )
        ours: list[int] = []
        theirs: list[int] = []
        console: windows_conpty.PseudoConsole | None = None
        try:
            attributes: list[tuple[int, Any]] = []
            if request.tty:
                console = windows_conpty.PseudoConsole(DEFAULT_ROWS, DEFAULT_COLS)
                ours += [console.output, console.input]
                attributes.append((api.PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE, console.value))
                streams = self._rules.terminal_streams()
                # A process in a group of its own, or one below who ignores CTRL_C, ignores it too.
                api.set_console_ctrl_handler(None, False)
                flags = 0
            else:
                streams = self._connect(request, ours, theirs)
                flags = api.CREATE_NEW_PROCESS_GROUP | self._no_console_flags
            job = windows_jobs.Job(confined=request.token is not None)
            attributes.append((api.PROC_THREAD_ATTRIBUTE_JOB_LIST, api.handle_array([int(job)])))
            handle, pid = self._create(
                program, line, flags, env.block(), request.cwd, streams, attributes, request.token
            )
        except BaseException:
            for end in ours:
                api.close_handle(end)
            if console is not None:
                console.close()
            raise
        finally:
            for end in theirs:
                api.close_handle(end)
        outputs, stdin = (ours[:1], ours[1]) if request.tty else (ours[:2], ours[2] if ours[2:] else None)
        process = windows_process.WindowsProcess(
            self._loop,
            self._rules,
            observer,
            pid=pid,
            handle=handle,
            job=job,
            outputs=outputs,
            stdin=stdin,
            console=console,
        )
        self._processes.add(process)
        if console is not None:
            self._consoles.add(console)
        return process

    def has_orphans(self) -> bool:
        """See :meth:`executors.process.base.Backend.has_orphans`."""
        return any(not process.running and process.has_left_any() for process in self._processes)

    async def close(self) -> None:
        """Waits for the ends of terminals; what was not terminated dies with its job."""
        for console in list(self._consoles):
            await asyncio.to_thread(console.join)
        self._null.close()

    def _connect(self, request: SpawnRequest, ours: list[int], theirs: list[int]) -> Streams:
        """Makes the pipes of a process; adds the handles to *ours* and *theirs*."""
        for _ in range(2):
            reader, writer = windows_pipes.output_pipe()
            ours.append(reader)
            theirs.append(writer)
        if request.pipe_stdin:
            writer, reader = windows_pipes.input_pipe()
            ours.append(writer)
            theirs.append(reader)
        for end in theirs:
            os.set_handle_inheritable(end, True)
        return theirs[2] if request.pipe_stdin else int(self._null), theirs[0], theirs[1]

    def _create(
        self,
        program: str,
        line: str,
        flags: int,
        block: bytes,
        cwd: str,
        streams: Streams,
        attributes: list[tuple[int, Any]],
        token: int | None,
    ) -> tuple[api.Handle, int]:
        """Returns the process, which runs, and its id."""
        startup = api.StartupInfo(cb=ctypes.sizeof(api.StartupInfo), dwFlags=api.STARTF_USESTDHANDLES)
        startup.hStdInput, startup.hStdOutput, startup.hStdError = streams
        inherited = [handle for handle in dict.fromkeys(streams) if handle is not None]
        if inherited:
            # Nothing else that happens to be inheritable, whatever thread made it so.
            attributes.append((api.PROC_THREAD_ATTRIBUTE_HANDLE_LIST, api.handle_array(inherited)))
        listed = api.AttributeList(attributes)
        startup.lpAttributeList = ctypes.addressof(listed.buffer)
        created = api.ProcessInformation()
        text = line.encode("utf-16-le", "surrogatepass") + b"\0\0"

        create_process = (
            api.create_process if token is None else functools.partial(api.create_process_as_user, token)
        )

        def create() -> None:
            create_process(
                program,
                ctypes.create_string_buffer(text, len(text)),  # the system writes to it
                None,
                None,
                bool(inherited),
                flags
                | self._rules.creation_flags
                | api.CREATE_UNICODE_ENVIRONMENT
                | api.EXTENDED_STARTUPINFO_PRESENT,
                block,
                cwd,
                ctypes.byref(startup),
                ctypes.byref(created),
            )

        try:
            self._rules.create(create)
        except OSError as error:
            raise api.failure(program, error.winerror) from None
        finally:
            listed.delete()
        handle, thread = api.Handle(created.hProcess), api.Handle(created.hThread)
        # Should this fail, the process dies with its job.
        self._rules.created(int(handle), int(thread))
        thread.close()
        return handle, int(created.dwProcessId)
