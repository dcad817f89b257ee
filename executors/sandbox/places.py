"""What the symbolic entries of an intent mean on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

_TEMPORARY = {"windows": ("TMP", "TEMP")}


@dataclass(frozen=True)
class Places:
    """What symbolic entries of an intent mean here, besides what the intent says itself.

    Of *minimal*, *temporary* and *slash_tmp*, what is not there does no harm.

    :ivar platform: ``linux``, ``macos`` or ``windows``.
    :ivar roots: all of the file system.
    :ivar minimal: what most programs need to start, to be read only.
    :ivar temporary: the directory for temporary files.
    :ivar slash_tmp: ``/tmp``; empty on Windows.
    """

    platform: str
    roots: tuple[Path, ...]
    minimal: tuple[Path, ...]
    temporary: Path
    slash_tmp: tuple[Path, ...]

    def for_program(self, environ: Mapping[str, str]) -> Self:
        """Returns the places of a program, with its temporary directory where *environ* says, if it does."""
        for name in _TEMPORARY.get(self.platform, ("TMPDIR",)):
            path = Path(environ.get(name, ""))
            if path.is_absolute() and ".." not in path.parts and "\0" not in str(path):
                return replace(self, temporary=path)
        return self


def temporary_directory(otherwise: Path) -> Path:
    """Returns where this process's temporary files go; *otherwise* if it can write to no such place."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return otherwise
