"""How a method reaches the code that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from executors.protocol.methods import Method

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Handler:
    """One method's answer.

    :ivar call: gets the decoded params; returns the result, or an awaitable of it where the
        answer must wait. It raises :class:`~executors.protocol.errors.RpcError` to refuse.
    """

    method: Method[Any, Any]
    call: Callable[[Any], Any]


def handler(method: Method[P, R], call: Callable[[P], R | Awaitable[R]]) -> Handler:
    """Binds *call* to *method*, with types that agree."""
    return Handler(method, call)
