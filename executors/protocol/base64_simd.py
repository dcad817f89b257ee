"""Base64 by pybase64; see :mod:`executors.protocol.base64`."""

from __future__ import annotations

from pybase64 import b64decode, b64encode

__all__ = ["decode", "encode"]


def encode(data: bytes | bytearray | memoryview) -> bytes:
    return b64encode(data)


def decode(text: bytes | memoryview | str) -> bytes:
    """
    :raises ValueError: *text* has other characters, or too few or too many of them.
    """
    return b64decode(text, validate=True)
