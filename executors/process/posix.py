"""Processes on POSIX systems: posix_spawn, one session each, one reaper for all."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import resource
import select
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from executors.process import terminal
from executors.process.base import ProcessObserver, SpawnRequest, Wrapping
from executors.process.pipes import InputWriter, OutputReader
from executors.process.tree import ProcessTree, TreeKeeper

_TERMINATE_SECONDS = 5.0
_GIVEN_DESCRIPTORS = 256
# What an ignoring parent, a shell's `&` or nohup, would pass on: Python ignores SIGPIPE and SIGXFSZ.
_DEFAULT_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

# The same to a terminal and the null device, and no program opens anything so: a sandbox that judges what is
# opened lets it pass, since its judge waits here for the start.
_QUIETLY = os.O_SYNC & ~os.O_DSYNC

FileActions = list[tuple[int, int, int] | tuple[int, int, str, int, int] | tuple[int, int]]


def find_program(program: str, env: dict[str, str], cwd: str) -> str:
    """Returns the path to execute for *program*, as execvp(3) finds it in the PATH of *env*.

    :raises FileNotFoundError: nothing of that name is there.
    :raises PermissionError: only files that may not be executed are.
    """
    if "/" in program:
        return program
    denied = False
    if not program:
        raise FileNotFoundError(2, os.strerror(2), program)
    for directory in os.get_exec_path(env):
        path = os.path.join(cwd, directory, program)
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if stat.S_ISREG(mode) and os.access(path, os.X_OK):
            return path
        denied = True
    if denied:
        raise PermissionError(13, os.strerror(13), program)
    raise FileNotFoundError(2, os.strerror(2), program)


def keep_descriptors() -> None:
    """Keeps from programs started here what this process was given besides its standard streams."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        # There is no /proc: what was given has low numbers.
        numbers = list(range(_GIVEN_DESCRIPTORS))
    for number in numbers:
        if number > 2:
            with suppress(OSError):
                os.set_inheritable(number, False)


def _open_home() -> int:
    """Opens the working directory, to come back to it; the root where we may not enter it."""
    # With O_PATH, on Linux, it need not be readable.
    flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY
    try:
        return os.open(".", flags)
    except PermissionError:
        return os.open("/", flags)


def _more_descriptors(wrapping: Wrapping | None) -> FileActions:
    if wrapping is None:
        return []
    return [
        (os.POSIX_SPAWN_DUP2, given, number)
        if isinstance(given, int)
        else (os.POSIX_SPAWN_OPEN, number, given, os.O_RDONLY, 0)
        for number, given in wrapping.descriptors.items()
    ]


class PosixBackend:
    """Starts processes and reaps every child; see :class:`executors.process.base.Backend`.

    To be made on the main thread, since it handles SIGCHLD.
    """

    can_resize = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._live: dict[int, PosixProcess] = {}
        self._home = _open_home()
        keep_descriptors()
        self._trees = TreeKeeper()
        self._scan_is_shared = False
        self._reaped_hooks: set[Callable[[], None]] = set()
        # Many processes need many descriptors here; they themselves get the limit we were given.
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._many_files = (self._files[1], self._files[1])
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, self._many_files)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(self, request: SpawnRequest, observer: ProcessObserver) -> PosixProcess:
        """See :meth:`executors.process.base.Backend.spawn`."""
        program = find_program(request.argv[0], request.env, request.cwd)
        argv = [request.argv[0] if request.arg0 is None else request.arg0, *request.argv[1:]]
        ours: list[int] = []
        theirs: list[int] = []
        try:
            start = partial(
                os.posix_spawn,
                program,
                argv,
                request.env,
                file_actions=[*self._connect(request, ours, theirs), *_more_descriptors(request.wrapping)],
                setsid=True,
                setsigmask=() if request.wrapping is None else request.wrapping.blocked,
                setsigdef=_DEFAULT_SIGNALS,
            )
            with self._inside(request.cwd), self._trees.marking() as tree:
                pid = start() if request.starter is None else request.starter(start)
            tree.leader = pid
            try:
                process = PosixProcess(self._loop, self, request, pid, tree, ours, observer)
            except BaseException:
                os.kill(pid, signal.SIGKILL)
                raise
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._live[pid] = process
        return process

    async def close(self) -> None:
        """Gives SIGCHLD back; what was not terminated is left alone."""
        self._loop.remove_signal_handler(signal.SIGCHLD)
        os.close(self._home)
        self._trees.close()

    def has_orphans(self) -> bool:
        """See :meth:`executors.process.base.Backend.has_orphans`."""
        return self._trees.has_orphans(self.is_live)

    def is_live(self, pid: int) -> bool:
        """Whether *pid* was started here and is not reaped yet."""
        return pid in self._live

    async def until_reaped(self, gone: Callable[[], bool]) -> None:
        """Returns as soon as *gone*, asked again after each reaping, answers True."""
        if not self._scan_is_shared:
            self._share_scan()
        if gone():
            return
        done = self._loop.create_future()

        def look() -> None:
            if not done.done() and gone():
                done.set_result(None)

        self._reaped_hooks.add(look)
        try:
            await done
        finally:
            self._reaped_hooks.discard(look)

    def _connect(self, request: SpawnRequest, ours: list[int], theirs: list[int]) -> FileActions:
        """Makes the child's standard streams; adds the descriptors to *ours* and *theirs*."""
        if request.tty:
            master, name, slave = terminal.open_terminal()
            # Reading and writing end on their own, so each has a descriptor. The other side stays open
            # here while the process runs: it may close its terminal and open it again.
            ours += [self._out_of_the_way(master), self._out_of_the_way(slave)]
            ours.append(self._out_of_the_way(os.dup(ours[0])))
            # Opened by name after setsid: that makes it the controlling terminal.
            return [
                (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR | _QUIETLY, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ]
        actions: FileActions = []
        for target in (1, 2):
            reader, writer = os.pipe()
            ours.append(self._out_of_the_way(reader))
            theirs.append(writer)
            actions.append((os.POSIX_SPAWN_DUP2, writer, target))
        if request.stdin is not None:
            actions.append((os.POSIX_SPAWN_DUP2, request.stdin, 0))
        elif request.pipe_stdin:
            reader, writer = os.pipe()
            ours.append(self._out_of_the_way(writer))
            theirs.append(reader)
            actions.append((os.POSIX_SPAWN_DUP2, reader, 0))
        else:
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY | _QUIETLY, 0))
        if request.wrapping is not None:
            # What its end may be told with.
            ours.append(self._out_of_the_way(os.dup(theirs[1])))
        return actions

    def _out_of_the_way(self, fd: int) -> int:
        """Moves *fd* above the limit in force while a process starts: other threads need those below."""
        if self._files[0] == self._files[1]:
            return fd
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, self._files[0])
        except OSError:
            # So many are in use that none is left up there.
            return fd
        os.close(fd)
        return high

    @contextmanager
    def _inside(self, cwd: str) -> Iterator[None]:
        """Lets what is started in the block begin in *cwd* with the limits we were given.

        posix_spawn has no portable way to change the directory. Nothing else here uses relative
        paths, and the block runs no other code of the event loop.
        """
        os.chdir(cwd)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
            yield
        finally:
            os.fchdir(self._home)
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, self._many_files)

    def _reap(self) -> None:
        """Collects every ended child: processes started here and orphans handed to us."""
        found = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            found = True
            process = self._live.pop(pid, None)
            if process is not None:
                code = os.waitstatus_to_exitcode(status)
                process.reaped(code if code >= 0 else 128 - code)
        # Of many signals that came together the first call has done the work.
        if found and self._reaped_hooks:
            self._share_scan()
            for hook in list(self._reaped_hooks):
                hook()

    def _share_scan(self) -> None:
        """Reads /proc once for all that look before the event loop goes on."""
        self._trees.share_scan(self.is_live)
        if not self._scan_is_shared:
            self._scan_is_shared = True
            self._loop.call_soon(self._forget_scan)

    def _forget_scan(self) -> None:
        self._scan_is_shared = False
        self._trees.forget_scan()


class PosixProcess:
    """A process led by its own session; see :class:`executors.process.base.ChildProcess`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        backend: PosixBackend,
        request: SpawnRequest,
        pid: int,
        tree: ProcessTree,
        fds: list[int],
        observer: ProcessObserver,
    ) -> None:
        self.pid = pid
        self._backend = backend
        self._tree = tree
        self._observer = observer
        self._running = True
        self._master: int | None = None
        self._slave: int | None = None
        self._stdin: InputWriter | None = None
        self._wrapping = request.wrapping
        self._stderr: int | None = None
        if request.tty:
            self._master, self._slave, writing = fds
            self._stdin = InputWriter(loop, writing)
            self._outputs = [OutputReader(loop, fds[0], self._output_pty, self._output_ended)]
        else:
            self._outputs = [
                OutputReader(loop, fds[0], self._output_stdout, self._output_ended),
                OutputReader(loop, fds[1], self._output_stderr, self._output_ended),
            ]
            if request.pipe_stdin and request.stdin is None:
                self._stdin = InputWriter(loop, fds[2])
            if request.wrapping is not None:
                self._stderr = fds[-1]
        for reader in self._outputs:
            reader.resume()

    def write(self, data: bytes) -> asyncio.Future[None] | None:
        if self._stdin is None:
            raise BrokenPipeError("stdin was not opened")
        return self._stdin.write(data)

    def close_stdin(self) -> None:
        if self._master is not None:
            raise io.UnsupportedOperation(
                "a terminal has no end of input to close: write its end-of-file character, \\x04, instead"
            )
        if self._stdin is not None:
            self._stdin.close_after_writing()

    def interrupt(self) -> None:
        if not self._running:
            return
        group = self.pid
        if self._master is not None and not self._outputs[0].closed:
            with suppress(OSError):
                group = os.tcgetpgrp(self._master) or group
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGINT)

    def resize(self, rows: int, cols: int) -> None:
        if self._master is None:
            raise io.UnsupportedOperation("the process has no terminal: start it with `tty`")
        if not self._outputs[0].closed:
            terminal.set_size(self._master, rows, cols)

    def pause_output(self) -> None:
        for reader in self._outputs:
            reader.pause()

    def resume_output(self) -> None:
        for reader in self._outputs:
            reader.resume()

    async def terminate(self) -> None:
        gone = self._kill_all
        try:
            async with asyncio.timeout(_TERMINATE_SECONDS):
                await self._backend.until_reaped(gone)
        except TimeoutError:
            left = ", ".join(map(str, self._tree.members(self._backend.is_live)))
            raise TimeoutError(
                f"killed process {self.pid} and its descendants, but after {_TERMINATE_SECONDS:g} s "
                f"these are not gone: {left}"
            ) from None

    def has_left_any(self) -> bool:
        return self._tree.has_members(self._backend.is_live)

    def release(self) -> None:
        self._close_far_side()
        for reader in self._outputs:
            reader.close()
        if self._stdin is not None:
            self._stdin.close()

    def reaped(self, exit_code: int) -> None:
        """The backend has collected the exit status."""
        self._running = False
        self._tree.leader = None
        if self._wrapping is not None:
            exit_code, text = self._wrapping.judge_exit(exit_code)
            self._say(text)
        self._close_far_side()
        if self._stdin is not None:
            self._stdin.close()
        self._observer.exited(exit_code)

    def _close_far_side(self) -> None:
        """Closes what the process writes to, as far as this side has it open, too."""
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None
        if self._stderr is not None:
            os.close(self._stderr)
            self._stderr = None

    def _say(self, text: bytes) -> None:
        """Adds *text* to what the process has written; it is lost if that has not been read by far."""
        target = self._slave if self._stderr is None else self._stderr
        if text and target is not None:
            room = select.poll()
            room.register(target, select.POLLOUT)
            # A pipe that has room takes a short text whole.
            if any(events & select.POLLOUT for _, events in room.poll(0)):
                with suppress(OSError):
                    os.write(target, text[: select.PIPE_BUF])

    def _kill_all(self) -> bool:
        return self._tree.kill(self._backend.is_live)

    def _output_stdout(self, data: bytes) -> None:
        self._observer.output("stdout", data)

    def _output_stderr(self, data: bytes) -> None:
        self._observer.output("stderr", data)

    def _output_pty(self, data: bytes) -> None:
        self._observer.output("pty", data)

    def _output_ended(self) -> None:
        if all(reader.closed for reader in self._outputs):
            self._observer.output_closed()
