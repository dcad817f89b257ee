"""Error codes of the wire protocol and the exception that carries one."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """Codes of an error reply; those from -32768 to -32600 are JSON-RPC 2.0's own."""

    INVALID_REQUEST = -32600
    """Unparseable message, call out of turn, or a state that refuses the call."""
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    """The operating system refused; the message holds its text."""
    NOT_FOUND = -32004
    """No such file, or a file handle that is not open."""
    SESSION_ATTACHED = -32010
    """The session to resume still belongs to another connection; a retry may succeed."""


class RpcError(Exception):
    """An error reply: raised by a handler to send one, by the client when it gets one.

    :ivar code: an :class:`ErrorCode` or any other integer a peer sent.
    :ivar message: text for a person; names what was tried, what was found, and the remedy.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


def invalid_request(message: str) -> RpcError:
    return RpcError(ErrorCode.INVALID_REQUEST, message)


def invalid_params(message: str) -> RpcError:
    return RpcError(ErrorCode.INVALID_PARAMS, message)


def internal_error(message: str) -> RpcError:
    return RpcError(ErrorCode.INTERNAL_ERROR, message)


def not_found(message: str) -> RpcError:
    return RpcError(ErrorCode.NOT_FOUND, message)
