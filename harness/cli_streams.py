"""The standard streams, read and written beside an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls *function* in a thread of its own.

    Unlike a thread of the loop's executor, one that never returns, because nobody types or nobody
    reads any more, keeps neither the loop nor the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(settle_future: Callable[[], None]) -> None:
        if not future.done():
            settle_future()

    def work() -> None:
        try:
            settle_future = partial(future.set_result, function(*args, **kwargs))
        except BaseException as error:
            settle_future = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, settle_future)

    threading.Thread(target=work, daemon=True).start()
    return await future


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
