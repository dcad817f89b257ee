"""Where symbolic links cannot be made."""

import pytest

needs_links = pytest.mark.known_gap(
    env="wine-exec", reason="Wine 8.0: CreateSymbolicLinkW reports success and makes nothing"
)
"""For a test that makes symbolic links, or those of its cases that do."""
