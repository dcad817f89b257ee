"""The one-shot ``fs/*`` operations, by name, and what their failures are on the wire.

They run in the executor itself or, under a sandbox, in a helper process inside of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from executors.filesystem import local, system
from executors.filesystem.copy import copy
from executors.filesystem.errors import RefusedError, os_text
from executors.filesystem.remove import remove
from executors.filesystem.walk import walk
from executors.protocol.errors import RpcError, internal_error, invalid_request, not_found
from executors.protocol.files import (
    CanonicalizeResult,
    Metadata,
    ReadDirectoryResult,
    WalkResult,
)
from executors.protocol.path_uri import PathUri

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Operation:
    """One that takes absolute native paths.

    :ivar what: what is tried, with a place for each path; for errors.
    :ivar call: gets the paths, then the content to write where there is one, and options by name.
    :ivar result: the type of what *call* returns.
    :ivar writes: of each path, whether something there is changed.
    :ivar follows: whether a path that is a symbolic link means what it leads to.
    """

    what: str
    call: Callable[..., Any]
    result: Any
    writes: tuple[bool, ...] = (False,)
    follows: bool = True


def _canonicalize(path: str) -> CanonicalizeResult:
    return CanonicalizeResult(str(PathUri.from_native(system.canonicalize(path), system.CONVENTION)))


def _read_directory(path: str) -> ReadDirectoryResult:
    return ReadDirectoryResult(local.read_directory(path))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "readFile": Operation("read {}", local.read_file, bytes),
    "writeFile": Operation("write {}", local.write_file, None, writes=(True,)),
    "createDirectory": Operation("create the directory {}", local.create_directory, None, writes=(True,)),
    "remove": Operation("remove {}", remove, None, writes=(True,), follows=False),
    "copy": Operation("copy {} to {}", copy, None, writes=(False, True), follows=False),
    "canonicalize": Operation("canonicalize {}", _canonicalize, CanonicalizeResult),
    "getMetadata": Operation("get the metadata of {}", local.metadata, Metadata),
    "readDirectory": Operation("read the directory {}", _read_directory, ReadDirectoryResult),
    "walk": Operation("walk {}", walk, WalkResult),
}
"""By the method that they serve, without ``fs/``."""


def translated(
    what: str, paths: tuple[str, ...], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Makes the call.

    :param what: what is tried, with a place for each of *paths*; for the error.
    :raises RpcError: for what the operating system or this executor refuses.
    """
    try:
        return call(*args, **kwargs)
    except OSError as error:
        raise refusal(what, paths, error) from None


def refusal(what: str, paths: tuple[str, ...], error: OSError) -> RpcError:
    """Returns what *error* is on the wire; the parameters are as of :func:`translated`."""
    if isinstance(error, RefusedError):
        return invalid_request(str(error))
    found = os_text(error)
    name = error.filename
    if isinstance(name, str) and os.path.isabs(name) and name not in paths:
        found = f"`{system.display(name)}`: {found}"
    return _kind_of_refusal(error)(f"cannot {tried(what, paths)}: {found}")


def tried(what: str, paths: tuple[str, ...]) -> str:
    """Returns *what* with the paths in their places, as text for a person."""
    return what.format(*(f"`{system.display(path)}`" for path in paths))


def _kind_of_refusal(error: OSError) -> Callable[[str], RpcError]:
    if isinstance(error, FileNotFoundError):
        return not_found
    if isinstance(error, PermissionError):
        return invalid_request
    return internal_error
