"""What the measures run and name on the executor's machine, which may be a Windows one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final


@dataclass(frozen=True)
class System:
    """The programs and the paths of one kind of machine.

    :ivar cwd: URI of a directory to run in.
    :ivar environment: the whole environment of a process.
    :ivar nothing: the quickest program there is; it exits with 0.
    :ivar sleeper: runs for a minute.
    :ivar zeros: writes so many zero bytes to its standard output.
    :ivar uri: what the executor calls a file that this machine has.
    :ivar starts_slowly: a program takes so long to start that a rate counts from its first output on.
    """

    cwd: str
    environment: Mapping[str, str]
    nothing: list[str]
    sleeper: list[str]
    zeros: Callable[[int], list[str]]
    uri: Callable[[Path], str]
    starts_slowly: bool = False


POSIX: Final = System(
    "file:///",
    {"PATH": "/usr/bin:/bin"},
    ["/bin/true"],
    ["sleep", "60"],
    lambda size: ["head", "-c", str(size), "/dev/zero"],
    Path.as_uri,
)


def windows(python: str, drive_c: Path) -> System:
    """The Windows machine that a Wine prefix is.

    :param python: native path of its ``python.exe``, which makes the output.
    :param drive_c: where drive C: is on this machine.
    """

    def zeros(size: int) -> list[str]:
        code = (
            "import os, sys\nleft, block = int(sys.argv[1]), bytes(65536)\n"
            "while left: left -= os.write(1, block[:left])"
        )
        return [python, "-I", "-S", "-c", code, str(size)]

    def uri(path: Path) -> str:
        return PurePosixPath("/C:", path.relative_to(drive_c)).as_uri().replace("%3A", ":")

    return System(
        "file:///C:/",
        {
            "PATH": r"C:\windows\system32;C:\windows",
            "SystemRoot": r"C:\windows",
            "SystemDrive": "C:",
            "TEMP": r"C:\windows\temp",
            "TMP": r"C:\windows\temp",
        },
        [r"C:\windows\system32\cmd.exe", "/c", "exit"],
        [python, "-I", "-S", "-c", "import time; time.sleep(60)"],
        zeros,
        uri,
        starts_slowly=True,
    )
