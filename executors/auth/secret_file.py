"""Files that hold a token or a secret."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Final

if sys.platform == "win32":
    from executors.auth.secret_file_windows import others_may_read
else:
    from executors.auth.secret_file_posix import others_may_read

_MAX_BYTES: Final = 64 * 1024

_log = logging.getLogger(__name__)


def read_secret(path: Path) -> bytes:
    """Returns what the file holds, without blanks and line ends around it; warns if others may read it.

    :raises ValueError: it cannot be read, or holds nothing, or too much; the text holds nothing of it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
            is_open = others_may_read(file.fileno())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{path} holds more than {_MAX_BYTES} bytes")
    secret = content.strip()
    if not secret:
        raise ValueError(f"{path} is empty")
    if is_open:
        _log.warning("%s holds a secret, and others may read it: chmod 600", path)
    return secret
