"""Base64 by the standard library; see :mod:`executors.protocol.base64`."""

from __future__ import annotations

import binascii

__all__ = ["decode", "encode"]


def encode(data: bytes | bytearray | memoryview) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def decode(text: bytes | memoryview | str) -> bytes:
    """
    :raises ValueError: *text* has other characters, or too few or too many of them.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        data = None
    # Strict mode still takes padding behind a whole group.
    if data is None or len(text) != (len(data) + 2) // 3 * 4:
        # In the words of pybase64, so that an error reads the same with and without it.
        raise ValueError("Non-base64 digit found")
    return data
