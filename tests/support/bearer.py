"""A token that executors of tests ask for."""

from __future__ import annotations

import hashlib
from pathlib import Path

# The same in all processes of a run, since cases are named by it.
TOKEN = "Tests-2e5zq_Uo3Gm9vXb7.wLd~4RkPy1Nc"
SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()
GOOD = f"Authorization: Bearer {TOKEN}"
BY_DIGEST = ("--ws-auth", "capability-token", "--ws-token-sha256", SHA256)
"""Options of an executor."""


def private_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return path
