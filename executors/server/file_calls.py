"""Answers ``fs/*`` for one connection."""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import Future
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from executors.filesystem import system
from executors.filesystem.handles import HandleClosedError, ReadHandle, ReplaceHandle
from executors.filesystem.mounts import all_local
from executors.filesystem.operations import OPERATIONS, translated
from executors.protocol import methods
from executors.protocol.binary import decode_base64, encode_base64
from executors.protocol.environment import Empty
from executors.protocol.errors import RpcError, invalid_params, invalid_request, not_found
from executors.protocol.files import (
    MAX_BLOCK_BYTES,
    MAX_HANDLE_ID_BYTES,
    MAX_HANDLES_PER_CONNECTION,
    MAX_WALK_DEPTH,
    MAX_WALK_DIRECTORIES,
    MAX_WALK_ENTRIES,
    CanonicalizeResult,
    CopyParams,
    CreateDirectoryParams,
    HandleParams,
    Metadata,
    OpenParams,
    PathParams,
    ReadBlockParams,
    ReadBlockResult,
    ReadDirectoryResult,
    ReadFileResult,
    RemoveParams,
    WalkOptions,
    WalkParams,
    WalkResult,
    WriteBlockParams,
    WriteFileParams,
)
from executors.protocol.large import Prepared
from executors.protocol.path_uri import ForeignPathError, PathUri, PathUriError
from executors.sandbox.intent import refuse_unsupported
from executors.sandbox.policy import Policy
from executors.server.handlers import Handler, handler
from executors.server.sandboxed_files import SandboxedFiles
from executors.server.workers import Strand, Workers

T = TypeVar("T")
_Answer = Future[T] | Coroutine[Any, Any, T]

CLOSE_SECONDS = 5.0
"""How long :meth:`FileCalls.close` waits for calls that hang."""

_MAX_OFFSET = 2**63 - 1
_DONE = Empty()

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _OpenFile:
    id: str
    path: str
    handle: ReadHandle | ReplaceHandle
    strand: Strand
    """Keeps the calls on this handle in the order in which they came."""


class FileCalls:
    """The file methods and the open file handles of a connection.

    Calls run concurrently, but those on one handle in the order in which they came.

    :param platform: this machine's, as in ``environmentInfo``.
    :param sandboxed: makes the calls that are to be kept to something; None where no sandbox is to be had.
    """

    def __init__(self, workers: Workers, platform: str, sandboxed: SandboxedFiles | None = None) -> None:
        self._workers = workers
        self._sandboxed = sandboxed
        self._platform = platform
        self._files: dict[str, _OpenFile] = {}
        self._ending: set[_OpenFile] = set()
        """Those whose ``fs/close`` has come and is not done."""
        self._closed = False

    def handlers(self) -> list[Handler]:
        return [
            handler(methods.FS_READ_FILE, self._read_file, self._file_bytes),
            handler(methods.FS_WRITE_FILE, self._write_file),
            handler(methods.FS_CREATE_DIRECTORY, self._create_directory),
            handler(methods.FS_REMOVE, self._remove),
            handler(methods.FS_COPY, self._copy),
            handler(methods.FS_CANONICALIZE, self._canonicalize),
            handler(methods.FS_GET_METADATA, self._get_metadata),
            handler(methods.FS_READ_DIRECTORY, self._read_directory, _listing_bytes),
            handler(methods.FS_WALK, self._walk, _listing_bytes),
            handler(methods.FS_OPEN, self._open),
            handler(methods.FS_READ_BLOCK, self._read_block, _block_bytes),
            handler(methods.FS_WRITE_BLOCK, self._write_block),
            handler(methods.FS_CLOSE, self._close_handle),
        ]

    async def close(self) -> None:
        """Ends every handle, and the processes of sandboxed calls.

        A file that was being replaced keeps its old content.

        A handle with a call that hangs is ended when the call returns. Nobody waits for that
        longer than :data:`CLOSE_SECONDS`.
        """
        self._closed = True
        if self._sandboxed is not None:
            await self._sandboxed.close()
        files = [*self._files.values(), *self._ending]
        self._files.clear()
        if not files:
            return
        ends = [file.strand.submit(file.handle.abandon) for file in files]
        done, hanging = await asyncio.wait(ends, timeout=CLOSE_SECONDS)
        for end in done:
            if (error := end.exception()) is not None:
                _log.warning("a file handle was not closed cleanly: %s", error)
        if hanging:
            _log.warning("%d file handles wait for calls that hang", len(hanging))

    # Files by their path

    def _read_file(self, params: PathParams) -> _Answer[ReadFileResult | Prepared]:
        return self._run("readFile", (params.path,), params.sandbox, {}, _content_read)

    def _file_bytes(self, params: PathParams) -> int:
        """About the size of the reply; where asking could hang or is not allowed, a guess."""
        if params.sandbox is not None or not all_local():
            return MAX_BLOCK_BYTES
        try:
            return os.stat(self._path(params.path)).st_size * 4 // 3
        except OSError:
            return 0

    def _write_file(self, params: WriteFileParams) -> _Answer[Empty]:
        content = partial(decode_base64, params.data_base64, "dataBase64")
        return self._run("writeFile", (params.path,), params.sandbox, {}, _nothing, content)

    def _create_directory(self, params: CreateDirectoryParams) -> _Answer[Empty]:
        options = {"recursive": params.recursive is not False}
        return self._run("createDirectory", (params.path,), params.sandbox, options, _nothing)

    def _remove(self, params: RemoveParams) -> _Answer[Empty]:
        options = {"recursive": params.recursive is not False, "force": params.force is not False}
        return self._run("remove", (params.path,), params.sandbox, options, _nothing)

    def _copy(self, params: CopyParams) -> _Answer[Empty]:
        uris = (params.source_path, params.destination_path)
        return self._run("copy", uris, params.sandbox, {"recursive": params.recursive}, _nothing)

    def _canonicalize(self, params: PathParams) -> CanonicalizeResult | _Answer[CanonicalizeResult]:
        return self._at_once("canonicalize", params, CanonicalizeResult)

    def _get_metadata(self, params: PathParams) -> Metadata | _Answer[Metadata]:
        return self._at_once("getMetadata", params, Metadata)

    def _read_directory(self, params: PathParams) -> _Answer[ReadDirectoryResult]:
        return self._run("readDirectory", (params.path,), params.sandbox, {}, _as_it_is)

    def _walk(self, params: WalkParams) -> _Answer[WalkResult]:
        policy = self._policy(params.sandbox)
        path = self._path(params.path)
        options = _walk_limits(params.options or WalkOptions())
        return self._make("walk", (path,), policy, options, _as_it_is)

    def _run(
        self,
        name: str,
        uris: tuple[str, ...],
        sandbox: Any,
        options: Mapping[str, bool | int],
        to_wire: Callable[[Any], T],
        content: Callable[[], bytes] | None = None,
    ) -> _Answer[T]:
        """Has an operation made, where the intent *sandbox* wants it.

        :raises RpcError: INVALID_PARAMS: the intent cannot be enforced here; else as :meth:`_path`.
        """
        policy = self._policy(sandbox)
        paths = tuple(self._path(uri) for uri in uris)
        return self._make(name, paths, policy, options, to_wire, content)

    def _make(
        self,
        name: str,
        paths: tuple[str, ...],
        policy: Policy | None,
        options: Mapping[str, bool | int],
        to_wire: Callable[[Any], T],
        content: Callable[[], bytes] | None = None,
    ) -> _Answer[T]:
        if policy is None:
            return self._workers.submit(_made_here, name, paths, options, to_wire, content)
        assert self._sandboxed is not None
        return self._sandboxed.call(policy, name, paths, options, to_wire, content)

    def _at_once(self, name: str, params: PathParams, kind: type[T]) -> T | _Answer[T]:
        """Makes a quick call here where it cannot hang: a thread would cost ten times as much.

        :param kind: of what it results in.
        """
        policy = self._policy(params.sandbox)
        paths = (self._path(params.path),)
        if policy is None and all_local():
            made: T = _made_here(name, paths, {}, _as_it_is, None)
            return made
        return self._make(name, paths, policy, {}, _as_it_is)

    def _policy(self, sandbox: Any) -> Policy | None:
        """Returns what a call is to be kept to; None for nothing.

        :raises RpcError: INVALID_PARAMS: *sandbox* is malformed or cannot be enforced here.
        """
        if self._sandboxed is None:
            refuse_unsupported(sandbox)
            return None
        return self._sandboxed.policy(sandbox)

    def _path(self, uri: str) -> str:
        """Returns the native path, exact and without a trailing separator.

        :raises RpcError: INVALID_PARAMS: *uri* is no file URI, or one that no file can have;
            INVALID_REQUEST: it is of another operating system.
        """
        try:
            path = PathUri.parse(uri).to_native(self._platform)
        except ForeignPathError as error:
            raise invalid_request(str(error)) from None
        except PathUriError as error:
            raise invalid_params(str(error)) from None
        if "\0" in path:
            raise invalid_params(f"'{uri}' is invalid on '{self._platform}': no file name can hold a NUL")
        if path.endswith(os.sep):
            path = os.path.normpath(path)
        try:
            return system.exact(path)
        except ValueError as error:
            raise invalid_params(str(error)) from None

    # Files by handle

    def _open(self, params: OpenParams) -> Future[HandleParams]:
        if self._policy(params.sandbox) is not None:
            raise invalid_params(
                "field `sandbox`: there are no file handles under a sandbox: read or write the file as a "
                "whole (fs/readFile, fs/writeFile)"
            )
        path = self._path(params.path)
        id = params.handle_id
        if len(id.encode()) > MAX_HANDLE_ID_BYTES:
            raise invalid_request(f"file handle ID must not exceed {MAX_HANDLE_ID_BYTES} bytes")
        if id in self._files:
            raise invalid_request(f"file handle `{id}` already exists; close it or use another id")
        if len(self._files) >= MAX_HANDLES_PER_CONNECTION:
            raise invalid_request(
                f"at most {MAX_HANDLES_PER_CONNECTION} file handles may be open per connection; close one"
            )
        if self._closed:
            raise invalid_request("the connection is closing")
        handle = ReplaceHandle(path) if params.mode == "replace" else ReadHandle(path)
        file = self._files[id] = _OpenFile(id, path, handle, self._workers.strand())
        return self._in_order(file, "open {}", _open, id, handle)

    def _read_block(self, params: ReadBlockParams) -> Future[ReadBlockResult]:
        _check_range(params.offset, params.len, "read")
        file = self._file(params.handle_id)
        if not isinstance(file.handle, ReadHandle):
            raise invalid_request(f"file handle `{file.id}` is open to replace a file and cannot be read")
        return self._in_order(file, "read {}", _read_block, file.handle, params)

    def _write_block(self, params: WriteBlockParams) -> Future[Empty]:
        file = self._file(params.handle_id)
        if not isinstance(file.handle, ReplaceHandle):
            raise invalid_request(
                f"file handle `{file.id}` is open to read and cannot be written; open it with mode `replace`"
            )
        return self._in_order(file, "write {}", _write_block, file.handle, params)

    def _close_handle(self, params: HandleParams) -> Empty | Future[Empty]:
        file = self._files.pop(params.handle_id, None)
        if file is None:
            return _DONE
        self._ending.add(file)
        return self._in_order(file, "close {}", _void, file.handle.close)

    def _file(self, id: str) -> _OpenFile:
        file = self._files.get(id)
        if file is None:
            raise _unknown_handle(id)
        return file

    def _in_order(self, file: _OpenFile, what: str, call: Callable[..., T], *args: Any) -> Future[T]:
        """Queues a call on the handle; one that leaves it closed frees the handle's id."""

        def forget_if_ended(future: Future[T]) -> None:
            # Where the future is cancelled the connection is gone, and close() ends the handle.
            if not future.cancelled() and not file.handle.is_open:
                self._ending.discard(file)
                if self._files.get(file.id) is file:
                    del self._files[file.id]

        future = file.strand.submit(translated, what, (file.path,), call, *args)
        future.add_done_callback(forget_if_ended)
        return future


# On the worker threads


def _made_here(
    name: str,
    paths: tuple[str, ...],
    options: Mapping[str, bool | int],
    to_wire: Callable[[Any], T],
    content: Callable[[], bytes] | None,
) -> T:
    operation = OPERATIONS[name]
    data = () if content is None else (content(),)
    return to_wire(translated(operation.what, paths, operation.call, *paths, *data, **options))


def _as_it_is(result: T) -> T:
    return result


def _nothing(result: None) -> Empty:
    return _DONE


def _content_read(content: bytes) -> ReadFileResult | Prepared:
    if len(content) > MAX_BLOCK_BYTES:
        return Prepared("dataBase64", content)
    return ReadFileResult(encode_base64(content))


def _void(call: Callable[[], None]) -> Empty:
    call()
    return _DONE


def _open(id: str, handle: ReadHandle | ReplaceHandle) -> HandleParams:
    handle.open()
    return HandleParams(id)


def _read_block(handle: ReadHandle, params: ReadBlockParams) -> ReadBlockResult:
    try:
        data = handle.read(params.offset, params.len)
    except HandleClosedError:
        raise _unknown_handle(params.handle_id) from None
    return ReadBlockResult(encode_base64(data), len(data) < params.len)


def _write_block(handle: ReplaceHandle, params: WriteBlockParams) -> Empty:
    data = decode_base64(params.chunk, "chunk")
    _check_range(params.offset, len(data), "write")
    try:
        handle.write(params.offset, data)
    except HandleClosedError:
        raise _unknown_handle(params.handle_id) from None
    return _DONE


def _block_bytes(params: ReadBlockParams) -> int:
    return params.len * 4 // 3


def _listing_bytes(params: PathParams | WalkParams) -> int:
    # Most are far smaller; few are larger.
    return 256 * 1024


def _unknown_handle(id: str) -> RpcError:
    return not_found(f"unknown file handle `{id}`: never opened, closed, or ended by an error")


def _check_range(offset: int, length: int, what: str) -> None:
    if length < 0:
        raise invalid_params(f"field `len`: {length} is negative")
    if not 1 <= length <= MAX_BLOCK_BYTES:
        raise invalid_request(f"file {what} block length must be between 1 and {MAX_BLOCK_BYTES}")
    if not 0 <= offset <= _MAX_OFFSET - length:
        raise invalid_params(f"field `offset`: {offset} is not between 0 and {_MAX_OFFSET - length}")


def _walk_limits(options: WalkOptions) -> dict[str, Any]:
    """The arguments of ``walk``; an absent limit is the largest.

    :raises RpcError: INVALID_REQUEST: a limit is zero or over its maximum; INVALID_PARAMS: it is negative.
    """
    depth = MAX_WALK_DEPTH if options.max_depth is None else options.max_depth
    directories = MAX_WALK_DIRECTORIES if options.max_directories is None else options.max_directories
    entries = MAX_WALK_ENTRIES if options.max_entries is None else options.max_entries
    if min(depth, directories, entries) < 0:
        raise invalid_params(f"field `options`: a limit is negative: {depth=}, {directories=}, {entries=}")
    if not directories or not entries:
        raise invalid_request("filesystem walk limits must be greater than zero")
    if depth > MAX_WALK_DEPTH or directories > MAX_WALK_DIRECTORIES or entries > MAX_WALK_ENTRIES:
        raise invalid_request(
            f"filesystem walk limits exceed maximums: depth={MAX_WALK_DEPTH}, "
            f"directories={MAX_WALK_DIRECTORIES}, entries={MAX_WALK_ENTRIES}"
        )
    return {
        "max_depth": depth,
        "max_directories": directories,
        "max_entries": entries,
        "follow": bool(options.follow_directory_symlinks),
        "prune_hidden": bool(options.prune_hidden_directories),
    }
