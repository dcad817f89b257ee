"""The executor's own source, to be brought to a target."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import executors


class ExecutorSources:
    """The package ``executors`` as this process has it, read once, so that key and content agree.

    :param beside: further files, to lie beside the package.
    """

    def __init__(self, beside: Iterable[Path] = ()) -> None:
        package = Path(executors.__file__).parent
        files = {path.relative_to(package.parent): path for path in package.rglob("*.py")}
        files |= {Path(path.name): path for path in beside}
        self._content = {target: files[target].read_bytes() for target in sorted(files)}

    def key(self, *parts: str) -> str:
        """Tells one state of it from another, and from those on top of other *parts*."""
        told = hashlib.sha256("\0".join(parts).encode())
        for path, content in self._content.items():
            told.update(f"\0{path}\0{len(content)}\0".encode() + content)
        return told.hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """Makes the files in *folder*."""
        for path, content in self._content.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
