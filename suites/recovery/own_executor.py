"""A second executor in the environment, a process of the first one, which a test may stop and kill.

It is started by the command line of the first one, which only the environment itself knows. Where that one
dials out, so does the second, to a service of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from executors.transport import unix
from fixtures.programs import BoundPython
from fixtures.target import RunningEnvironment
from harness.bearer import BearerAuth
from harness.client.errors import ConnectFailed
from harness.client.events import OutputEvent
from harness.client.sync import SyncClient, SyncProcess, blocking_context, connect_sync
from harness.environments import RelayedLinks
from harness.environments.relayed import ENVIRONMENT_ID, Service, serving
from harness.environments.remote import RemoteEnvironment
from harness.remote.options import PREFIX, RemoteOptions

_COMMAND_OF_PARENT = r"""
import json, os, sys

def windows():
    import ctypes
    void, size = ctypes.c_void_p, ctypes.c_size_t
    kernel, native, shell = (ctypes.WinDLL(name) for name in ("kernel32", "ntdll", "shell32"))
    kernel.OpenProcess.restype = void
    process = void(kernel.OpenProcess(0x410, False, os.getppid()))
    def read(address, kind):
        found = kind()
        where = void(address), ctypes.byref(found), size(ctypes.sizeof(found))
        kernel.ReadProcessMemory(process, *where, None)
        return found
    # PROCESS_BASIC_INFORMATION, then PEB.ProcessParameters, then the UNICODE_STRING CommandLine (64 bits).
    basic = (ctypes.c_uint64 * 6)()
    native.NtQueryInformationProcess(process, 0, ctypes.byref(basic), 48, None)
    parameters = read(basic[1] + 0x20, ctypes.c_uint64).value
    length = read(parameters + 0x70, ctypes.c_uint16).value
    text = read(read(parameters + 0x78, ctypes.c_uint64).value, ctypes.c_wchar * (length // 2))[:]
    count = ctypes.c_int()
    shell.CommandLineToArgvW.restype = ctypes.POINTER(ctypes.c_wchar_p)
    return shell.CommandLineToArgvW(text, ctypes.byref(count))[:count.value]

def posix():
    with open(f"/proc/{os.getppid()}/cmdline") as line:
        return line.read().split("\0")[:-1]

print(json.dumps(windows() if os.name == "nt" else posix()))
"""

STOP = """
import os, signal, sys, time
pid = int(sys.argv[1])
if os.name == "nt":
    import ctypes
    kernel, native = ctypes.WinDLL("kernel32"), ctypes.WinDLL("ntdll")
    kernel.OpenProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.OpenProcess(0x1FFFFF, False, pid))
    stop, go_on = (lambda: native.NtSuspendProcess(process)), (lambda: native.NtResumeProcess(process))
else:
    stop, go_on = (lambda: os.kill(pid, signal.SIGSTOP)), (lambda: os.kill(pid, signal.SIGCONT))
assert not stop()
os.write(1, b"stopped\\n")
time.sleep(float(sys.argv[2]))
assert not go_on()
os.write(1, b"going\\n")
"""
"""Stops the process whose id is its first argument, for the seconds of the second; tells both."""


# Of this package's executor, and of others.
_CREDENTIAL_STDIN = frozenset({"--credential-stdin", "--registration-bearer-stdin"})
_LOOK_AGAIN_SECONDS = 0.02
_DIAL_SECONDS = 60.0


class _Own(NamedTuple):
    process: SyncProcess
    url: str
    links: RelayedLinks | None


class OwnExecutor:
    """An executor that belongs to a test.

    :ivar url: where it is reached from here.
    :ivar links: lead to it, where it dials out; else None.
    :ivar pid: its process id there.
    """

    def __init__(self, process: SyncProcess, url: str, links: RelayedLinks | None, pid: int) -> None:
        self.url = url
        self.links = links
        self.pid = pid
        self._process = process

    def kill(self) -> None:
        """Kills it, and all that it has started, at once (SIGKILL)."""
        self._process.terminate()
        self._process.wait()

    def end(self) -> None:
        """Asks it to end."""
        self._process.close_stdin()
        self._process.wait()


@contextmanager
def own_executor(
    env: RunningEnvironment, client: SyncClient, python: BoundPython, *options: str
) -> Iterator[OwnExecutor]:
    """A second executor, with *options* of its command line besides those of the first; skips where it
    cannot be started or reached."""
    told = python.run(_COMMAND_OF_PARENT, check=False)
    command: list[str] = json.loads(told.text) if told.exit_code == 0 else []
    if "--remote" in command:
        with blocking_context(serving()) as service, _dialling_out(client, command, options, service) as own:
            yield _probed(own, python, env.bearer)
    elif "--listen" in command:
        with _listening(env, client, command, options) as own:
            yield _probed(own, python, env.bearer)
    else:
        pytest.skip(f"no command line of an executor: {command or told.error_text}")


@contextmanager
def _listening(
    env: RunningEnvironment, client: SyncClient, command: list[str], options: Sequence[str]
) -> Iterator[_Own]:
    place = command.index("--listen") + 1
    is_unix = command[place].startswith(unix.SCHEME)
    command[place] = command[place] + "-own" if is_unix else "ws://127.0.0.1:0"
    with client.start([*command, *options], stdin=True) as process:
        inner = _first_line(process)
        # Where a folder of sockets is shared, it has another name here.
        yield _Own(process, env.url + "-own" if is_unix else inner, None)


@contextmanager
def _dialling_out(
    client: SyncClient, command: list[str], options: Sequence[str], service: Service
) -> Iterator[_Own]:
    command[command.index("--remote") + 1] = service.url
    command[command.index("--environment-id") + 1] = ENVIRONMENT_ID
    if not _CREDENTIAL_STDIN & set(command):
        pytest.skip("the executor has its credential in a way that a second one cannot have it")
    with client.start([*command, *options], stdin=True) as process:
        process.write(service.executor_token.encode() + b"\n")
        _until_dialled(service, process)
        chosen = RemoteOptions(registry=service.url, token_file=service.harness_token_file)
        links = RemoteEnvironment(ENVIRONMENT_ID, chosen).clients().open_link
        yield _Own(process, f"{PREFIX}{ENVIRONMENT_ID}", links)


def _probed(own: _Own, python: BoundPython, bearer: BearerAuth | None) -> OwnExecutor:
    try:
        # Started with the options of the first, it asks for the same token.
        with connect_sync(own.url, open_link=own.links, bearer=bearer) as probe:
            asked = probe.run(python.argv("import os; print(os.getppid())"), check=True)
    except ConnectFailed as error:
        pytest.skip(f"an executor at {own.url} cannot be reached from here: {error}")
    return OwnExecutor(own.process, own.url, own.links, int(asked.stdout))


def _until_dialled(service: Service, process: SyncProcess) -> None:
    """Waits until the executor is connected; not every one says so itself, but the service notes it."""
    deadline = time.monotonic() + _DIAL_SECONDS
    while '"event": "dial", "outcome": "done"' not in service.log.read_text(errors="replace"):
        assert process.exit_code is None and time.monotonic() < deadline, "the executor has not dialled out"
        time.sleep(_LOOK_AGAIN_SECONDS)


def _first_line(process: SyncProcess) -> str:
    text = b""
    errors = b""
    for event in process:
        if isinstance(event, OutputEvent):
            text += event.data if event.stream == "stdout" else b""
            errors += event.data if event.stream == "stderr" else b""
            if b"\n" in text:
                return text.decode().splitlines()[0]
    raise AssertionError(f"the executor did not start: {errors.decode(errors='replace')}")
