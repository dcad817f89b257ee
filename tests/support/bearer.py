"""A token that executors of tests ask for."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

TOKEN = secrets.token_urlsafe()
SHA256 = hashlib.sha256(TOKEN.encode()).hexdigest()
GOOD = f"Authorization: Bearer {TOKEN}"
BY_DIGEST = ("--ws-auth", "capability-token", "--ws-token-sha256", SHA256)
"""Options of an executor."""


def private_file(folder: Path, content: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return path
