"""What this executor tells about its machine."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from functools import cache

import msgspec

from executors import __version__, speedups
from executors.protocol.environment import Capabilities, EnvironmentInfo, Shell
from executors.protocol.path_uri import Convention, PathUri

if sys.platform == "win32":
    from executors.server.shell_windows import console_code_page, user_shell

    PLATFORM = "windows"
    CONVENTION = Convention.WINDOWS
else:
    from executors.server.shell_posix import console_code_page, user_shell

    PLATFORM = "macos" if sys.platform == "darwin" else "linux"
    CONVENTION = Convention.POSIX


def to_uri(path: str) -> str:
    """Returns the file URI of an absolute native *path* of this machine."""
    return str(PathUri.from_native(path, CONVENTION))


@cache
def own_environment() -> dict[str, str]:
    """Returns the environment that this executor was given, for processes that inherit it.

    Where no locale is set, Python sets LC_CTYPE to a UTF-8 one for itself (PEP 538). On Linux the
    environment before that can be read; elsewhere the variable stays.
    """
    env = dict(os.environ)
    if "LC_CTYPE" in env and sys.platform == "linux":
        with suppress(OSError), open("/proc/self/environ", "rb") as file:
            if not any(entry.startswith(b"LC_CTYPE=") for entry in file.read().split(b"\0")):
                del env["LC_CTYPE"]
    return env


def with_sandbox(info: EnvironmentInfo, offered: tuple[str, ...] | None) -> EnvironmentInfo:
    """Returns *info* with the names of the sandboxes that hold here; None for not known yet."""
    capabilities = msgspec.structs.replace(info.capabilities, sandbox=offered)
    return msgspec.structs.replace(info, capabilities=capabilities)


@cache
def environment_info(can_resize: bool) -> EnvironmentInfo:
    """Asks the operating system, once; the answers hold as long as the executor runs.

    :param can_resize: whether terminals can change their size.
    """
    name, path = user_shell()
    home = os.path.expanduser("~")
    cwd = temp_dir = None
    # An executor whose directory was removed, or that may write nowhere, can still be used.
    with suppress(OSError):
        cwd = to_uri(os.getcwd())
    with suppress(OSError):
        temp_dir = to_uri(os.path.abspath(tempfile.gettempdir()))
    return EnvironmentInfo(
        shell=Shell(name, path),
        cwd=cwd,
        platform_os=PLATFORM,
        user_home_dir=to_uri(home) if os.path.isabs(home) else None,
        temp_dir=temp_dir,
        executor_version=__version__,
        console_code_page=console_code_page(),
        speed_ups=speedups.in_use(),
        capabilities=Capabilities(
            process_close_stdin=True,
            process_resize=can_resize,
            process_acknowledge=True,
            session_resume=True,
        ),
    )
