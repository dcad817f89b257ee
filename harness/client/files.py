"""Files on an executor's machine."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal, NamedTuple, TypeVar

from executors.protocol.binary import decode_base64, encode_base64
from executors.protocol.environment import EnvironmentInfo
from executors.protocol.files import (
    MAX_BLOCK_BYTES,
    MAX_WALK_DEPTH,
    MAX_WALK_DIRECTORIES,
    MAX_WALK_ENTRIES,
    CopyParams,
    CreateDirectoryParams,
    DirectoryEntry,
    HandleParams,
    Metadata,
    OpenParams,
    PathParams,
    ReadBlockParams,
    RemoveParams,
    WalkOptions,
    WalkParams,
    WalkResult,
    WriteBlockParams,
    WriteFileParams,
)
from executors.protocol.methods import (
    FS_CANONICALIZE,
    FS_CLOSE,
    FS_COPY,
    FS_CREATE_DIRECTORY,
    FS_GET_METADATA,
    FS_OPEN,
    FS_READ_BLOCK,
    FS_READ_DIRECTORY,
    FS_READ_FILE,
    FS_REMOVE,
    FS_WALK,
    FS_WRITE_BLOCK,
    FS_WRITE_FILE,
    Method,
)
from executors.protocol.path_uri import PathUri
from harness.client.calls import Caller, pipelined
from harness.client.errors import (
    ConnectionLost,
    HandleLost,
    Interrupted,
    OutcomeUnknown,
    StreamInterrupted,
)
from harness.client.sandbox import Sandbox, encode, told_apart

P = TypeVar("P")
R = TypeVar("R")

Path = PathUri | str
"""A path URI; a string must be one too."""

Data = bytes | bytearray | memoryview

BLOCKS_IN_FLIGHT: Final = 4

_handle_numbers = itertools.count(1)


class Block(NamedTuple):
    """What was read at one place of a file; *eof* if the file ended before the length asked for."""

    data: bytes
    eof: bool


class ReadHandle:
    """A file open for reading; it stays the one that was opened, even if its path is replaced.

    It ends with the connection that it was opened over: its calls raise :class:`HandleLost` then.
    """

    def __init__(self, caller: Caller, handle_id: str) -> None:
        self._caller = caller
        self.handle_id = handle_id

    async def read_block(self, offset: int, length: int = MAX_BLOCK_BYTES) -> Block:
        """Reads up to *length* bytes, 1 to 1 MiB."""
        params = ReadBlockParams(self.handle_id, offset, length)
        try:
            result = await self._caller.call(FS_READ_BLOCK, params)
        except Interrupted as lost:
            raise HandleLost(lost.url, lost.code, lost.reason, lost.waiting_for) from None
        return Block(decode_base64(result.chunk, "chunk"), result.eof)

    async def stream(self, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Reads from *offset* to the end, in order, with several blocks in flight.

        :raises StreamInterrupted: the connection was lost. To go on from its offset, open the file again;
            that it is the same one then is for the caller to know.
        """
        while True:
            async with aclosing(self._blocks(offset)) as blocks:
                while True:
                    try:
                        data, eof = await anext(blocks)
                    except (Interrupted, HandleLost) as lost:
                        raise StreamInterrupted(lost, offset, f"a file at offset {offset}") from None
                    offset += len(data)
                    if data:
                        yield data
                    if eof:
                        return
                    if len(data) < MAX_BLOCK_BYTES:
                        # The blocks under way were asked for at offsets that are wrong now.
                        break

    async def _blocks(self, offset: int) -> AsyncGenerator[Block, None]:
        async def requests() -> AsyncIterator[ReadBlockParams]:
            for start in itertools.count(offset, MAX_BLOCK_BYTES):
                yield ReadBlockParams(self.handle_id, start, MAX_BLOCK_BYTES)

        async with aclosing(pipelined(self._caller, FS_READ_BLOCK, requests(), BLOCKS_IN_FLIGHT)) as results:
            async for result in results:
                yield Block(decode_base64(result.chunk, "chunk"), result.eof)


class WriteHandle:
    """A file open for writing; what is written is its whole new content, and is there once it is closed.

    It ends with the connection that it was opened over: its calls raise :class:`HandleLost` then.
    """

    def __init__(self, caller: Caller, handle_id: str) -> None:
        self._caller = caller
        self.handle_id = handle_id

    async def write_block(self, offset: int, data: Data) -> None:
        """Writes up to 1 MiB.

        :raises OutcomeUnknown: the connection was lost before the answer.
        """
        block = encode_base64(data)
        await self._caller.call(FS_WRITE_BLOCK, WriteBlockParams(self.handle_id, offset, block))

    async def write_stream(self, source: AsyncIterable[Data] | Iterable[Data], offset: int = 0) -> int:
        """Writes all that *source* yields, with several blocks in flight; returns the bytes written.

        :raises StreamInterrupted: the connection was lost.
        """
        end = done = offset
        sizes: deque[int] = deque()

        async def requests() -> AsyncIterator[WriteBlockParams]:
            nonlocal end
            async for data in _iterate(source):
                view = memoryview(data).cast("B")
                for start in range(0, len(view), MAX_BLOCK_BYTES):
                    block = view[start : start + MAX_BLOCK_BYTES]
                    sizes.append(len(block))
                    yield WriteBlockParams(self.handle_id, end, encode_base64(block))
                    end += len(block)

        async with aclosing(pipelined(self._caller, FS_WRITE_BLOCK, requests(), BLOCKS_IN_FLIGHT)) as results:
            try:
                async for _ in results:
                    done += sizes.popleft()
            except (OutcomeUnknown, HandleLost) as lost:
                raise StreamInterrupted(lost, done, f"a file at offset {done}") from None
        return end - offset


async def _iterate(source: AsyncIterable[Data] | Iterable[Data]) -> AsyncIterator[Data]:
    if isinstance(source, AsyncIterable):
        async for data in source:
            yield data
    else:
        for data in source:
            yield data


class _Sandboxed:
    """Makes calls that have an intent."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.submit = caller.submit

    @property
    def info(self) -> EnvironmentInfo:
        return self._caller.info

    async def call(self, method: Method[P, R], params: P) -> R:
        with told_apart(is_sandboxed=True):
            return await self._caller.call(method, params)

    async def one_connection(self) -> Caller:
        return _Sandboxed(await self._caller.one_connection())


class Files:
    """The ``fs/*`` calls. Each raises :class:`RpcError`: NOT_FOUND where there is no such file,
    INTERNAL_ERROR with the operating system's text otherwise. A call that was under way when the connection
    was lost raises :class:`Interrupted` if it changes nothing, else :class:`OutcomeUnknown`.

    :param sandbox: an intent that every call here is made under; None for none.
    """

    def __init__(self, caller: Caller, sandbox: Sandbox | None = None) -> None:
        self._unsandboxed = caller
        self._caller = caller if sandbox is None else _Sandboxed(caller)
        self._sandbox = None if sandbox is None else encode(sandbox)

    def sandboxed(self, sandbox: Sandbox) -> Files:
        """The same files, through an intent. Its calls raise more, each an :class:`RpcError` too:

        :class:`SandboxRefused` where the executor does not enforce it, :class:`FileDenied` for what it
        forbids.
        """
        return Files(self._unsandboxed, sandbox)

    async def read_file(self, path: Path) -> bytes:
        """Returns the content of a regular file, links followed."""
        result = await self._caller.call(FS_READ_FILE, PathParams(str(path), self._sandbox))
        return decode_base64(result.data_base64, "dataBase64")

    async def write_file(self, path: Path, data: Data) -> None:
        """Writes a whole file; its directory must exist."""
        await self._caller.call(FS_WRITE_FILE, WriteFileParams(str(path), encode_base64(data), self._sandbox))

    async def create_directory(self, path: Path, *, recursive: bool = True) -> None:
        """Creates a directory; with *recursive* its parents too, and it may exist already."""
        await self._caller.call(
            FS_CREATE_DIRECTORY, CreateDirectoryParams(str(path), recursive, self._sandbox)
        )

    async def remove(self, path: Path, *, recursive: bool = True, force: bool = True) -> None:
        """Removes a file, a link itself, or a directory; with *force* it need not exist."""
        await self._caller.call(FS_REMOVE, RemoveParams(str(path), recursive, force, self._sandbox))

    async def copy(self, source: Path, destination: Path, *, recursive: bool = False) -> None:
        """Copies a file, a link itself, or, with *recursive*, a directory."""
        await self._caller.call(FS_COPY, CopyParams(str(source), str(destination), recursive, self._sandbox))

    async def canonicalize(self, path: Path) -> PathUri:
        """Returns the path with all links resolved."""
        result = await self._caller.call(FS_CANONICALIZE, PathParams(str(path), self._sandbox))
        return PathUri.parse(result.path)

    async def metadata(self, path: Path) -> Metadata:
        """Tells kind, size and times, links followed."""
        return await self._caller.call(FS_GET_METADATA, PathParams(str(path), self._sandbox))

    async def read_directory(self, path: Path) -> list[DirectoryEntry]:
        """Lists the names in a directory, in no particular order."""
        result = await self._caller.call(FS_READ_DIRECTORY, PathParams(str(path), self._sandbox))
        return result.entries

    async def walk(
        self,
        path: Path,
        *,
        max_depth: int = MAX_WALK_DEPTH,
        max_directories: int = MAX_WALK_DIRECTORIES,
        max_entries: int = MAX_WALK_ENTRIES,
        follow_directory_symlinks: bool = False,
    ) -> WalkResult:
        """Lists a tree, the root itself left out; by default as far as the protocol allows."""
        options = WalkOptions(max_depth, max_directories, max_entries, follow_directory_symlinks)
        return await self._caller.call(FS_WALK, WalkParams(str(path), options, self._sandbox))

    @asynccontextmanager
    async def open_read(self, path: Path) -> AsyncIterator[ReadHandle]:
        """Opens a regular file for reading."""
        async with self._open(path, "read") as (caller, handle_id):
            yield ReadHandle(caller, handle_id)

    @asynccontextmanager
    async def open_replace(self, path: Path) -> AsyncIterator[WriteHandle]:
        """Creates a file, or opens it for new content.

        :raises OutcomeUnknown: on leaving, if the connection was lost while the file was being closed.
        :raises HandleLost: on leaving, if the connection was lost before: the new content is not there, or
            not for certain.
        """
        async with self._open(path, "replace") as (caller, handle_id):
            yield WriteHandle(caller, handle_id)

    async def stream(self, path: Path) -> AsyncGenerator[bytes, None]:
        """Yields the content in blocks of up to 1 MiB, several of them in flight.

        :raises StreamInterrupted: see :meth:`ReadHandle.stream`.
        """
        async with self.open_read(path) as handle, aclosing(handle.stream()) as blocks:
            async for block in blocks:
                yield block

    async def write_stream(self, path: Path, source: AsyncIterable[Data] | Iterable[Data]) -> int:
        """Writes a whole file from *source*, several blocks in flight; returns the bytes written.

        :raises StreamInterrupted, OutcomeUnknown, HandleLost: see :meth:`WriteHandle.write_stream` and
            :meth:`open_replace`.
        """
        async with self.open_replace(path) as handle:
            return await handle.write_stream(source)

    @asynccontextmanager
    async def _open(self, path: Path, mode: Literal["read", "replace"]) -> AsyncIterator[tuple[Caller, str]]:
        handle_id = f"h{next(_handle_numbers)}"
        params = OpenParams(handle_id, str(path), mode, self._sandbox)
        while True:
            caller = await self._caller.one_connection()
            # It was lost while this waited to be sent.
            with contextlib.suppress(HandleLost):
                await caller.call(FS_OPEN, params)
                break
        closed = False
        try:
            yield caller, handle_id
            if mode == "replace":
                # It may only now have its new content.
                closed = True
                await caller.call(FS_CLOSE, HandleParams(handle_id))
        finally:
            if not closed:
                # A handle ends with its connection.
                with contextlib.suppress(ConnectionLost):
                    await caller.call(FS_CLOSE, HandleParams(handle_id))
