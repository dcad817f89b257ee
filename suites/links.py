"""Where symbolic links cannot be made."""

import pytest

needs_links = pytest.mark.known_gap(
    env="wine-exec",
    owner="wine",
    version="8.0",
    reason="CreateSymbolicLinkW reports success and makes nothing",
)
"""For a test that makes symbolic links, or those of its cases that do."""
