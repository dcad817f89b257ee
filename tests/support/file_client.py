"""The ``fs/*`` methods of one connection, called directly with JSON."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import isawaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executors.protocol.binary import decode_base64, encode_base64
from executors.protocol.envelope import decode_as, encode_result
from executors.protocol.errors import RpcError
from executors.protocol.path_uri import Convention, PathUri
from executors.server.file_calls import FileCalls
from executors.server.sandboxed_files import SandboxedFiles
from executors.server.workers import Workers


class Client:
    """Calls methods with JSON, as a connection does."""

    def __init__(self, workers: Workers, sandboxed: SandboxedFiles | None = None) -> None:
        self.workers = workers
        self.files = FileCalls(workers, "linux", sandboxed)
        self._handlers = {handler.method.name: handler for handler in self.files.handlers()}

    def start(self, method: str, **params: Any) -> Any:
        """The result, or a future of it."""
        handler = self._handlers[f"fs/{method}"]
        return handler.call(decode_as(msgspec.Raw(msgspec.json.encode(params)), handler.method.params))

    async def call(self, method: str, **params: Any) -> Any:
        """The result as the client decodes it."""
        result = self.start(method, **params)
        reply = encode_result(1, await result if isawaitable(result) else result)
        return msgspec.json.decode(reply)["result"]

    async def refused(self, method: str, **params: Any) -> tuple[int, str]:
        with pytest.raises(RpcError) as refused:
            await self.call(method, **params)
        return refused.value.code, refused.value.message

    async def read(self, handle: str, offset: int = 0, len: int = 1 << 20) -> tuple[bytes, bool]:
        result = await self.call("readBlock", handleId=handle, offset=offset, len=len)
        return data(result["chunk"]), result["eof"]

    async def write(self, handle: str, offset: int, content: bytes) -> None:
        assert await self.call("writeBlock", handleId=handle, offset=offset, chunk=base64(content)) == {}


def run(test: Callable[[Client], Awaitable[None]], threads: int = 32) -> None:
    async def main() -> None:
        workers = Workers(threads)
        client = Client(workers)
        try:
            await test(client)
        finally:
            await client.files.close()
            workers.close()

    asyncio.run(main())


def uri(path: Path | str) -> str:
    return str(PathUri.from_native(str(path), Convention.POSIX))


def base64(content: bytes) -> str:
    text: str = msgspec.json.decode(encode_base64(content))
    return text


def data(text: str) -> bytes:
    return decode_base64(msgspec.Raw(msgspec.json.encode(text)), "chunk")


def open_descriptors(path: Path) -> int:
    """How many descriptors of this process lead to a file in the directory *path*."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{name}").startswith(f"{path}/")
    return found


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Makes writes beyond *size* fail with EFBIG, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
