"""Binary data inside JSON: standard base64 (RFC 4648 section 4, padded).

A message holds its base64 as raw JSON, so that a chunk of megabytes is scanned once and
coded as it is, with pybase64 at about ten times the speed of a general JSON codec.
"""

from __future__ import annotations

import msgspec

from executors.protocol import base64
from executors.protocol.errors import invalid_params

Base64 = msgspec.Raw
"""A JSON string literal, quotes included, whose text is base64."""

EMPTY = Base64(b'""')

_decode_string = msgspec.json.Decoder(str).decode


def encode_text(data: bytes | bytearray | memoryview) -> bytes:
    """Returns the base64 of *data*, without quotes."""
    return base64.encode(data)


def encode_base64(data: bytes | bytearray | memoryview) -> Base64:
    """Returns the JSON string literal for *data*."""
    return Base64(b'"%b"' % encode_text(data))


def decode_base64(field: Base64, name: str) -> bytes:
    """Returns the bytes that the JSON value *field* holds.

    :param name: the field's name on the wire, for the error.
    :raises RpcError: INVALID_PARAMS if the value is no string or no canonical base64.
    """
    view = memoryview(field)
    if bytes(view[:1]) != b'"':
        raise invalid_params(f"field `{name}`: expected a base64 string")
    try:
        try:
            return base64.decode(view[1:-1])
        except ValueError:
            # JSON may escape any character, and some encoders do so with the slash.
            if b"\\" not in bytes(view):
                raise
            return base64.decode(_decode_string(view))
    except (ValueError, msgspec.DecodeError) as error:
        raise invalid_params(f"field `{name}`: invalid base64: {error}") from None
