"""The sandbox backend of bubblewrap: a file system, processes and a network of its own for each program.

The program sees what its policy allows, at the same paths, with a /proc, a /dev and a /dev/shm of its own.
As a super-user, too, it has no capability: files that their owner has closed to others stay closed to it.
What it leaves running ends with it. ``ttyname`` finds a terminal as /dev/console.

Where the program cannot be run although bwrap was started, the process ends with exit code 125 if the sandbox
could not be made, 127 if the program, or what has to interpret it, is not there inside, and 126 if it cannot
be run; its standard error says why.

What is there but is not to be read cannot be opened (EACCES); what is only to be read is on a file system
that is read-only (EROFS). Places are those that were there when the confinement was made, whatever is moved
or linked later. What comes to match a pattern after that is not denied.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import PurePath, PurePosixPath
from typing import Final

import msgspec

from executors.process.base import SpawnRequest, Wrapping
from executors.process.posix import find_program
from executors.sandbox import launcher_linux as launcher
from executors.sandbox import seccomp_linux as seccomp
from executors.sandbox.backend import Evidence
from executors.sandbox.channel_linux import Channel
from executors.sandbox.mounts_linux import (
    SETTINGS,
    SHARED_MEMORY,
    Kind,
    Mount,
    Show,
    Unenforceable,
    arguments,
    plan,
)
from executors.sandbox.namespaces_linux import are_ours, count_capabilities, shared_namespaces
from executors.sandbox.pattern_scan_linux import find_matches
from executors.sandbox.policy import Access, Policy
from executors.sandbox.private_mounts_linux import PrivateMounts
from executors.sandbox.tracee_linux import NO_SYMLINKS, open_object
from executors.sandbox.witness_linux import Witness, make_judge, watched

SANDBOX_FAILED: Final = 125
CANNOT_RUN: Final = 126
NOT_THERE: Final = 127

_ARGUMENTS_FD: Final = 5
_LAUNCHER_FD: Final = 6
_FILTER_FD: Final = 7
_FIRST_SHOWN_FD: Final = 8
_PAST_JOINED_FD: Final = launcher.FIRST_NAMESPACE_FD + len(launcher.NAMESPACES)
MOST_SHOWN: Final = 800
"""A process has 1,024 descriptors as a rule."""
MOST_ARGUMENTS: Final = 8_900
"""bwrap takes 9,000."""
_MOST_WATCHED: Final = 4096
_HELP_SECONDS: Final = 5
_MFD_EXEC: Final = 0x10
_ALL_SIGNALS: Final = frozenset(signal.valid_signals())
_SWITCHES: Final = {
    "/proc/sys/user/max_user_namespaces": "user namespaces are switched off (user.max_user_namespaces is 0)",
    "/proc/sys/kernel/unprivileged_userns_clone": "user namespaces are for super-users only "
    "(kernel.unprivileged_userns_clone is 0)",
}


class BubblewrapBackend:
    """See :class:`executors.sandbox.backend.SandboxBackend`.

    :param path: of bwrap; None for the one in the PATH of this process.
    """

    name = "bubblewrap"
    ways = 2

    def __init__(self, path: str | None = None) -> None:
        self._path = shutil.which("bwrap") if path is None else path
        self._missing: str | None = None
        self._is_looked_at = False

    @property
    def sees_denials(self) -> bool:
        """See :class:`executors.sandbox.backend.SandboxBackend`: not in a sandbox that is watched itself."""
        return seccomp.missing() is None

    def missing(self) -> str | None:
        if not self._is_looked_at:
            self._missing = _missing(self._path)
            self._is_looked_at = True
        return self._missing

    def lacks(self, policy: Policy) -> str | None:
        try:
            mounts = plan(policy, _kind)
            return _too_many(mounts, _arguments(policy, mounts))
        except Unenforceable as error:
            return str(error)
        except ValueError:
            # A place is gone: no lack of this backend, and an error when it is to be confined.
            return None

    def confine(self, policy: Policy) -> BubblewrapConfinement:
        missing = self.missing()
        if missing is not None or self._path is None:
            raise OSError(errno.ENOENT, f"there is no bubblewrap to use: {missing}")
        return BubblewrapConfinement(self._path, policy)


class BubblewrapConfinement:
    """See :class:`executors.sandbox.backend.Confinement`.

    The first start is made by bwrap, and so is every one with a terminal. For a super-user it gives its
    namespaces away: the others join those, which takes a fraction of the time. They share mounts, as copies;
    a network where nobody can be connected to; and names of the machine and of control groups, which they
    cannot change.

    :param bwrap: its path.
    :raises OSError, ValueError: as :meth:`BubblewrapBackend.confine`.
    """

    def __init__(self, bwrap: str, policy: Policy) -> None:
        self._bwrap = bwrap
        self._policy = policy
        self._matches = find_matches(policy)
        mounts = plan(policy, _kind, self._matches)
        given = _arguments(policy, mounts)
        refusal = _too_many(mounts, given)
        if refusal is not None:
            raise ValueError(refusal)
        self._on_the_way = {place for mount in mounts for place in mount.path.parents}
        self._instructions, self._flags = _filter(policy)
        self._judge = make_judge(policy, mounts, map(str, self._matches))
        self._namespaces = shared_namespaces(network=policy.network)
        # A /dev/shm that shows something of the one outside is no fresh one.
        self._may_join = not any(SHARED_MEMORY in (mount.path, *mount.path.parents) for mount in mounts)
        self._joiner: launcher.Joiner | None = None
        self._template: list[int] = []
        self._renewed = 0
        shown = _shown(mounts)
        # Above all that are given to bwrap.
        self._floor = max(_FIRST_SHOWN_FD + len(shown), _PAST_JOINED_FD)
        self._fds: list[int] = []
        self._pending: _Start | None = None
        self._channels: OrderedDict[int, Channel] = OrderedDict()
        self._ending: list[Channel] = []
        self._given: dict[int, int | str] = {}
        self._mounts = PrivateMounts.if_possible()
        try:
            for number, path in enumerate(shown, _FIRST_SHOWN_FD):
                self._given[number] = self._keep(_open_place(path))
            texts = b"".join(os.fsencode(text) + b"\0" for text in given)
            # The filter is for the first process, which is bwrap's: the program could take it over. Without a
            # listener it refuses what is watched. The same with one, of the launcher, decides for the others.
            for number, data in ((_ARGUMENTS_FD, texts), (_FILTER_FD, self._instructions)):
                # Opened anew by each, so that each reads from the beginning.
                self._given[number] = f"/proc/self/fd/{self._keep(_memory_file(data))}"
        except BaseException:
            self.close()
            raise

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        """See :meth:`executors.sandbox.backend.Confinement.wrap`.

        :raises FileNotFoundError: there is no such program or working directory, sandbox or not.
        :raises PermissionError: it cannot be run or entered, or the policy keeps it from being read.
        """
        program = os.path.join(request.cwd, find_program(request.argv[0], request.env, request.cwd))
        self._require_visible(os.path.realpath(program, strict=True), "run", program)
        cwd = os.path.realpath(request.cwd, strict=True)
        if PurePosixPath(cwd) not in self._on_the_way:
            self._require_visible(cwd, "entered", request.cwd)
        if not os.access(program, os.X_OK) or os.path.isdir(program):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)
        arg0 = request.argv[0] if request.arg0 is None else request.arg0
        goal = launcher.Goal(program, [arg0, *request.argv[1:]], request.env, cwd)
        self._forget_pending()
        if self._mounts is not None and self._mounts.renew():
            self._renewed += 1
            self._forget_template()
        if self._template and not request.tty:
            return self._join(request, goal)
        # A terminal is mounted by bwrap, as /dev/console.
        gives = self._mounts is not None and self._may_join and not request.tty and not self._template
        fence = launcher.Fence(self._instructions, self._flags, self._namespaces if gives else ())
        start = self._prepare(launcher.make_launcher(goal, fence), fence)
        options = ["--args", str(_ARGUMENTS_FD), "--chdir", cwd, "--", f"/proc/self/fd/{_LAUNCHER_FD}"]
        descriptors = {**self._given, _LAUNCHER_FD: start.executable.fileno()}
        return self._wrapped(request, [self._bwrap, *options], start, descriptors, program)

    def start(self, spawn: Callable[[], int]) -> int:
        """To be called on a thread that lives longer than what is started: that ends with it."""
        start, self._pending = self._pending, None
        if start is None:
            raise ValueError("what is started must have been wrapped")
        try:
            # Its input may be a device, and is opened there.
            pid = spawn() if self._mounts is None else self._mounts.start(spawn)
        except BaseException:
            start.close()
            raise
        # The status is for whoever hears of the end.
        start.executable.close()
        if start.channel is not None:
            self._forget_channel(pid)
            self._channels[pid] = start.channel
            start.channel.started(asyncio.get_running_loop())
            while len(self._channels) > _MOST_WATCHED:
                self._forget_channel(next(iter(self._channels)))
        return pid

    def evidence(self, pid: int) -> Evidence | None:
        channel = self._channels.pop(pid, None)
        if channel is None:
            return None
        # What the program has left running is about to end, and is not to fail in another way before.
        self._ending = [one for one in [*self._ending, channel] if not one.is_over()]
        return channel.evidence()

    def close(self) -> None:
        self._forget_pending()
        for channel in (*self._channels.values(), *self._ending):
            channel.close()
        self._channels.clear()
        self._ending.clear()
        self._forget_template()
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        mounts, self._mounts = self._mounts, None
        if mounts is not None:
            mounts.close()

    def _join(self, request: SpawnRequest, goal: launcher.Goal) -> SpawnRequest:
        fence = launcher.Fence(self._instructions, self._flags)
        if self._joiner is None:
            self._joiner = launcher.Joiner(
                fence,
                namespaces=self._namespaces,
                settings=[path for path in SETTINGS if os.path.lexists(path)],
                capabilities=count_capabilities(),
            )
        start = self._prepare(self._joiner.make(goal), fence)
        numbers = range(launcher.FIRST_NAMESPACE_FD, launcher.FIRST_NAMESPACE_FD + len(self._template))
        descriptors = dict[int, int | str](zip(numbers, self._template, strict=True))
        argv = [f"/proc/self/fd/{start.executable.fileno()}"]
        return self._wrapped(request, argv, start, descriptors, goal.path)

    def _prepare(self, image: bytes, fence: launcher.Fence) -> _Start:
        executable = FileIO(self._lift(_memory_file(image, executable=True)))
        status = FileIO(self._lift(_memory_file(b"")))
        channel = None
        if fence.gives:
            watch = partial(Witness, asyncio.get_running_loop(), judge=self._judge) if fence.flags else None
            channel = Channel(fence.gives, watch, partial(self._take, self._renewed), self._floor)
        self._pending = _Start(executable, status, channel)
        return self._pending

    def _wrapped(
        self,
        request: SpawnRequest,
        argv: list[str],
        start: _Start,
        descriptors: Mapping[int, int | str],
        program: str,
    ) -> SpawnRequest:
        given = {**descriptors, launcher.STATUS_FD: start.status.fileno()}
        if start.channel is not None:
            given[launcher.CHANNEL_FD] = start.channel.theirs.fileno()
        return msgspec.structs.replace(
            request,
            argv=argv,
            arg0=None,
            # The dynamic loader of bwrap, outside of the sandbox, would obey it.
            env={},
            starter=self.start,
            wrapping=Wrapping(given, _ALL_SIGNALS, partial(_judge_exit, start.status, program)),
        )

    def _take(self, renewed: int, namespaces: list[int]) -> None:
        """Keeps what the first start has made for those that follow."""
        is_current = renewed == self._renewed and not self._template and self._mounts is not None
        if namespaces and is_current and are_ours(namespaces):
            for fd in namespaces:
                self._template.append(self._lift(fd))
        else:
            for fd in namespaces:
                os.close(fd)

    def _forget_template(self) -> None:
        for fd in self._template:
            os.close(fd)
        self._template.clear()

    def _forget_channel(self, pid: int) -> None:
        channel = self._channels.pop(pid, None)
        if channel is not None:
            channel.close()

    def _require_visible(self, real: str, what: str, said: str) -> None:
        path = PurePosixPath(real)
        if self._policy.access(path) == Access.NONE or not self._matches.keys().isdisjoint(
            (path, *path.parents)
        ):
            raise PermissionError(errno.EACCES, f"the sandbox keeps it from being {what}", said)

    def _keep(self, fd: int) -> int:
        fd = self._lift(fd)
        self._fds.append(fd)
        return fd

    def _lift(self, fd: int) -> int:
        try:
            return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, self._floor)
        finally:
            os.close(fd)

    def _forget_pending(self) -> None:
        if self._pending is not None:
            self._pending.close()
            self._pending = None


@dataclass(frozen=True)
class _Start:
    """One that has not been made yet.

    :ivar executable: the launcher or joiner.
    :ivar status: what it says.
    :ivar channel: what it gives away, if anything.
    """

    executable: FileIO
    status: FileIO
    channel: Channel | None

    def close(self) -> None:
        self.executable.close()
        self.status.close()
        if self.channel is not None:
            self.channel.close()


def _filter(policy: Policy) -> tuple[bytes, int]:
    """Returns a filter of system calls, and the flags to put it into force with."""
    if seccomp.missing() is not None:
        return seccomp.filter_bytes(network=policy.network), 0
    instructions = seccomp.supervised_filter(watched(policy), seccomp.require_architecture())
    return instructions, seccomp.LISTENER_FLAGS


def _missing(path: str | None) -> str | None:
    if path is None:
        return "there is no bwrap in the PATH: install bubblewrap"
    if not launcher.is_known():
        return "it is not known how to start programs in it on this architecture"
    try:
        seccomp.require_architecture()
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path}: {error.strerror}"
    if mode & (stat.S_ISUID | stat.S_ISGID):
        return f"{path} is set-user-ID: one without is needed, as bubblewrap is installed by default"
    if os.geteuid() != 0:
        for switch, reason in _SWITCHES.items():
            if _read(switch).strip() == "0":
                return reason
    try:
        found = subprocess.run(
            [path, "--help"], capture_output=True, stdin=subprocess.DEVNULL, env={}, timeout=_HELP_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path} cannot be run: {error}"
    if b"--ro-bind-fd" not in found.stdout + found.stderr:
        return (
            f"{path} is too old, or no bubblewrap: one that has --ro-bind-fd is needed, such as 0.10 or newer"
        )
    return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _kind(path: PurePath) -> Kind:
    """:raises ValueError: it cannot be looked at, or is a symbolic link."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Kind.NOTHING
    except OSError as error:
        raise ValueError(f"cannot look at {path}: {error.strerror}") from None
    if stat.S_ISLNK(mode):
        raise ValueError(f"{path} has become a symbolic link")
    return Kind.DIRECTORY if stat.S_ISDIR(mode) else Kind.FILE


def _open_place(path: PurePath) -> int:
    """:raises ValueError: it is gone, or symbolic links lead to it."""
    try:
        return open_object(os.fsencode(path), None, follow=True, resolve=NO_SYMLINKS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path} has become a symbolic link, or lies behind one") from None
        raise ValueError(f"{path} cannot be used: {error.strerror}") from None


def _shown(mounts: Iterable[Mount]) -> list[PurePath]:
    return [mount.path for mount in mounts if isinstance(mount, Show) and not mount.device]


def _too_many(mounts: Iterable[Mount], given: list[str]) -> str | None:
    count = len(_shown(mounts))
    if count > MOST_SHOWN or len(given) > MOST_ARGUMENTS:
        return (
            f"it takes {count} mounts of places to be shown and {len(given)} arguments of bwrap, and "
            f"{MOST_SHOWN} and {MOST_ARGUMENTS} are the most: name outer directories"
        )
    return None


def _arguments(policy: Policy, mounts: list[Mount]) -> list[str]:
    """Returns the options that *policy* takes, but for those that differ from start to start."""
    given = ["--die-with-parent", "--cap-drop", "ALL", "--unshare-pid", "--unshare-ipc"]
    given += ["--unshare-uts", "--unshare-cgroup-try"]
    if not policy.network:
        given.append("--unshare-net")
    numbers = {path: number for number, path in enumerate(_shown(mounts), _FIRST_SHOWN_FD)}
    return [*given, "--seccomp", str(_FILTER_FD), *arguments(mounts, numbers, _links(policy, mounts))]


def _links(policy: Policy, mounts: Iterable[Mount]) -> Mapping[str, str]:
    """Returns the symbolic links, such as /lib64, to what *policy* allows, that are in no such place."""
    around = {place for mount in mounts for place in mount.path.parents}
    found = {}
    for directory in sorted(place for place in around if policy.access(place) == Access.NONE):
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_symlink():
                    leads_to = PurePosixPath(os.path.realpath(entry.path))
                    if policy.access(leads_to) != Access.NONE:
                        found[entry.path] = os.readlink(entry.path)
    return found


def _memory_file(data: bytes, *, executable: bool = False) -> int:
    try:
        fd = os.memfd_create("crossexec", os.MFD_CLOEXEC | (_MFD_EXEC if executable else 0))
    except OSError as error:
        # Before kernel 6.3 all may be executed, and there is no such flag.
        if not executable or error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create("crossexec", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except BaseException:
        os.close(fd)
        raise
    return fd


def _judge_exit(status: FileIO, program: str, exit_code: int) -> tuple[int, bytes]:
    """Tells an end of bwrap, or of the launcher, from one of the program."""
    with status:
        said = os.pread(status.fileno(), 3, 0)
    if len(said) == 1 or (not said and exit_code > 128):
        return exit_code, b""
    if not said:
        text = f"the bubblewrap sandbox could not be made, nothing was run: bwrap ended with {exit_code}"
        return SANDBOX_FAILED, f"crossexec: {text}\n".encode()
    if said[0] == launcher.STEP_FAILED:
        why = f"step {said[1]}: {os.strerror(said[2])}"
        text = f"the bubblewrap sandbox could not be made, nothing was run: {why}"
        return SANDBOX_FAILED, f"crossexec: {text}\n".encode()
    number = said[1]
    text = f"cannot run {program} inside of the bubblewrap sandbox: {os.strerror(number)}"
    code = NOT_THERE if number == errno.ENOENT else CANNOT_RUN
    return code, os.fsencode(f"crossexec: {text}\n")
