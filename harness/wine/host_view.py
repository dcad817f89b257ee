"""Drive C: of a Wine prefix, seen from the host's file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from executors.protocol.path_uri import Convention, PathUri


@dataclass(frozen=True)
class HostView:
    """Maps paths of the target to the host's and back, and looks at the files past the executor.

    :ivar drive_c: where drive C: is on the host, absolute and without symbolic links.
    """

    drive_c: Path

    def host_path(self, uri: PathUri) -> Path:
        """Returns where *uri* lies on the host, whether or not anything is there.

        Names that exist are found without regard to case, as Windows finds them; the rest of the
        path is taken as spelt.

        :raises ValueError: it is not below drive C:, or no file can have that name.
        """
        native = uri.to_native("windows") if uri.convention is Convention.WINDOWS else ""
        drive, names = native[:3], native[3:]
        if uri.authority or uri.is_fallback or drive.upper() != "C:\\":
            raise ValueError(f"{uri} is not on drive C:, all that the host sees of the Wine prefix")
        path = self.drive_c
        for name in filter(None, names.split("\\")):
            path = path / _spelling(path, name)
        return path

    def uri(self, path: Path) -> PathUri:
        """Returns what the executor calls the host's *path*, which need not exist.

        :raises ValueError: it is outside drive C:, or its name is none that Windows could have.
        """
        try:
            relative = Path(os.path.normpath(path.absolute())).relative_to(self.drive_c)
        except ValueError:
            raise ValueError(f"{path} is outside {self.drive_c}: the target cannot see it") from None
        if any("\\" in name or ":" in name for name in relative.parts):
            raise ValueError(f"{path} has a name that Windows would take for several")
        return PathUri.from_native("C:\\" + "\\".join(relative.parts), Convention.WINDOWS)

    def exists(self, uri: PathUri) -> bool:
        return os.path.lexists(self.host_path(uri))

    def read(self, uri: PathUri) -> bytes:
        """:raises OSError: it is no file that can be read."""
        return self.host_path(uri).read_bytes()

    def write(self, uri: PathUri, content: bytes) -> None:
        """Writes a file and makes the directories above it.

        :raises OSError: it cannot be written.
        """
        path = self.host_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def list(self, uri: PathUri) -> list[str]:
        """Returns the names in a directory, sorted.

        :raises OSError: it is no directory.
        """
        return sorted(os.listdir(self.host_path(uri)))


def _spelling(folder: Path, name: str) -> str:
    """Returns *name* as the directory has it: exactly if it can, else whatever differs by case only."""
    if not os.path.lexists(folder / name):
        try:
            found = os.listdir(folder)
        except OSError:
            return name
        wanted = name.casefold()
        for spelling in sorted(found):
            if spelling.casefold() == wanted:
                return spelling
    return name
