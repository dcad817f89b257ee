"""What the tests of files share: expectations by platform, and how a refusal is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, ParamSpec

import pytest

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.path_uri import PathUri
from fixtures.programs import BoundPython

P = ParamSpec("P")

MEBIBYTE = 1024 * 1024

BELOW_A_FILE = {
    "linux": ErrorCode.INTERNAL_ERROR,  # ENOTDIR
    "macos": ErrorCode.INTERNAL_ERROR,
    "windows": ErrorCode.NOT_FOUND,  # ERROR_PATH_NOT_FOUND
}
"""Of a path that leads through a file."""

IS_A_DIRECTORY = {
    "linux": ErrorCode.INTERNAL_ERROR,  # EISDIR
    "macos": ErrorCode.INTERNAL_ERROR,
    "windows": ErrorCode.INVALID_REQUEST,  # ERROR_ACCESS_DENIED
}
"""Of writing to a directory."""


def refusal(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> RpcError:
    """The error that the executor answers to *call*."""
    with pytest.raises(RpcError) as error:
        call(*args, **kwargs)
    return error.value


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


STAT = """
import hashlib, json, os, stat, sys
path = os.fsdecode(bytes.fromhex(sys.argv[1]))
lstat = os.lstat(path)
found = {"link": stat.S_ISLNK(lstat.st_mode), "target": None}
if found["link"]:
    found["target"] = os.readlink(path)
if os.path.exists(path):
    status = os.stat(path)
    found.update(
        directory=stat.S_ISDIR(status.st_mode),
        file=stat.S_ISREG(status.st_mode),
        size=status.st_size,
        modified=status.st_mtime_ns // 10**6,
        mode=stat.S_IMODE(status.st_mode),
        inode=status.st_ino,
        links=status.st_nlink,
    )
    if found["file"]:
        with open(path, "rb") as file:
            found["sha256"] = hashlib.sha256(file.read()).hexdigest()
print(json.dumps(found))
"""


def system_sees(python: BoundPython, path: PathUri | str) -> dict[str, Any]:
    """What the environment's own system says of a path, native if it is text."""
    native = path if isinstance(path, str) else path.render()
    found: dict[str, Any] = json.loads(python.run(STAT, native.encode().hex()).stdout)
    return found
