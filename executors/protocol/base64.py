"""Base64 (RFC 4648 section 4, padded), by pybase64 or else by the standard library.

Both take the same texts.
"""

from __future__ import annotations

from executors import speedups

__all__ = ["decode", "encode"]

if speedups.is_used(speedups.PYBASE64):
    from executors.protocol.base64_simd import decode, encode
else:
    from executors.protocol.base64_plain import decode, encode
