"""How a method reaches the code that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from executors.protocol.large import Prepared
from executors.protocol.methods import Method

P = TypeVar("P")
R = TypeVar("R")


class Handler(msgspec.Struct, frozen=True):
    """One method's answer.

    :ivar call: gets the decoded params; returns the result, or an awaitable of it where the
        answer must wait. It raises :class:`~executors.protocol.errors.RpcError` to refuse.
    :ivar reply_bytes: about how large the reply will be; None where it is always small.
    """

    method: Method[Any, Any]
    call: Callable[[Any], Any]
    reply_bytes: Callable[[Any], int] | None = None


def handler(
    method: Method[P, R],
    call: Callable[[P], R | Prepared | Awaitable[R | Prepared]],
    reply_bytes: Callable[[P], int] | None = None,
) -> Handler:
    """Binds *call* to *method*, with types that agree."""
    return Handler(method, call, reply_bytes)
