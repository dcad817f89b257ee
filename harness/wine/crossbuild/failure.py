"""What the build says when it cannot go on."""

from __future__ import annotations


class BuildFailed(Exception):
    """The Windows Python could not be built; the text says what was tried, what was found and the remedy."""
