"""The envelope of a message: request, notification, result or error, and its JSON.

The dialect is JSON-RPC 2.0 without the ``jsonrpc`` field and without batches.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from executors.protocol.errors import RpcError, invalid_params, invalid_request
from executors.protocol.large import Prepared

T = TypeVar("T")

RequestId = int | str

UNKNOWN_ID = -1
"""The id of an error reply to a message whose own id is unknown or unusable."""


class Message(msgspec.Struct, gc=False):
    """Any message as it comes in; :func:`decode` has checked that it is one of the four kinds.

    A request has ``id`` and ``method``; a notification only ``method``; a reply only ``id``
    with ``result`` or ``error``.
    """

    id: RequestId | msgspec.UnsetType = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ErrorObject(msgspec.Struct, gc=False):
    code: int
    message: str


class _Request(msgspec.Struct, gc=False):
    id: RequestId
    method: str
    params: Any


class _Notification(msgspec.Struct, gc=False):
    method: str
    params: Any


class _Result(msgspec.Struct, gc=False):
    id: RequestId
    result: Any


class _Error(msgspec.Struct, gc=False):
    error: ErrorObject
    id: RequestId


_decode_message = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode
_EMPTY = msgspec.Raw(b"{}")
_NULL = msgspec.Raw(b"null")
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def decode(data: bytes | bytearray | memoryview | str) -> Message:
    """Parses one message.

    :raises RpcError: INVALID_REQUEST if it is no JSON object, nests too deeply, has an id that
        is neither string nor integer, or is none of the four kinds.
    """
    try:
        message = _decode_message(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid_request(f"invalid message: {error}") from None
    except RecursionError:
        raise invalid_request("invalid message: nested too deeply") from None
    if message.method is msgspec.UNSET and (
        message.id is msgspec.UNSET or (message.result is msgspec.UNSET and message.error is msgspec.UNSET)
    ):
        raise invalid_request("invalid message: neither a call (`method`) nor a reply (`result` or `error`)")
    return message


def decode_as(data: msgspec.Raw | msgspec.UnsetType, kind: type[T]) -> T:
    """Decodes the ``params`` or ``result`` of a message; absent and null count as ``{}``.

    :raises RpcError: INVALID_PARAMS; the message names the field.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        decoded: T = decoder.decode(_EMPTY if data is msgspec.UNSET or data == _NULL else data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise invalid_params(f"invalid params: {error}") from None
    except RecursionError:
        raise invalid_params("invalid params: nested too deeply") from None
    return decoded


def encode_request(id: RequestId, method: str, params: Any) -> bytes:
    return _encode(_Request(id, method, params))


def encode_notification(method: str, params: Any) -> bytes:
    return _encode(_Notification(method, params))


def encode_result(id: RequestId, result: Any) -> bytes:
    if isinstance(result, Prepared):
        return result.reply(id)
    return _encode(_Result(id, result))


def encode_error(id: RequestId, error: RpcError) -> bytes:
    return _encode(_Error(ErrorObject(error.code, error.message), id))
