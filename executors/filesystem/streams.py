"""Whole reads and writes on descriptors."""

from __future__ import annotations

import os

PIECE_BYTES = 1024 * 1024


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Writes *data* at the descriptor's position.

    :raises OSError: the system's, with the number of bytes that it took before.
    """
    written = 0
    rest = memoryview(data)
    try:
        while written < len(rest):
            written += os.write(descriptor, rest[written:])
    except OSError as error:
        if written:
            error.strerror = f"{error.strerror} after {written} of {len(rest)} bytes"
        raise


def read_to_end(descriptor: int, expected: int, limit: int) -> bytes | None:
    """Reads on to the end of the file.

    :param expected: how many bytes to ask for first. Files of ``/proc`` say 0 and have more.
    :returns: None if there are more than *limit* bytes.
    """
    pieces: list[bytes] = []
    total = 0
    wanted = max(expected, 0) + 1
    while True:
        piece = os.read(descriptor, min(wanted, limit + 1 - total))
        if not piece:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        total += len(piece)
        if total > limit:
            return None
        pieces.append(piece)
        wanted = max(wanted - len(piece), PIECE_BYTES) if total <= expected else PIECE_BYTES


def copy_stream(source: int, target: int) -> None:
    """Copies from the one's position to its end, to the other's position."""
    while piece := os.read(source, PIECE_BYTES):
        write_all(target, piece)
