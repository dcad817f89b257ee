"""Short ways to write path URIs in tests."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from executors.protocol.path_uri import PathUri


def uri(text: str) -> PathUri:
    """A URI given in canonical form."""
    parsed = PathUri.parse(text)
    assert str(parsed) == text
    return parsed


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def fallback(payload: bytes) -> str:
    return "file:///%00/bad/path/" + urlsafe_b64encode(payload).decode().rstrip("=")
