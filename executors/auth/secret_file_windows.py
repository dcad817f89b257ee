"""Who may read a file, on Windows."""

from __future__ import annotations


def others_may_read(descriptor: int) -> bool:
    """Is not found out: a file has the list of its folder there, and that of a user's is the user's alone."""
    return False
