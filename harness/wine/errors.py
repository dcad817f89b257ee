"""What the Wine environment says when it cannot go on."""

from __future__ import annotations


class WineFailed(Exception):
    """The text says what was tried, what was found and the remedy."""


def storage_failed(what: str, error: OSError, folder: object) -> WineFailed:
    """Returns the error for a file that could not be made below the cache *folder*."""
    return WineFailed(
        f"{what} failed: {error}; the cache folder {folder} must be writable and have room: "
        "make some, or name another folder by the variable CROSSEXEC_CACHE"
    )
