"""The release that is run: its version, its packages, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

NAME: Final = "@openai/codex"
VERSION: Final = "0.169.0"
"""What the known gaps are told of, and docs/peer.md."""


@dataclass(frozen=True)
class Package:
    """The package of one platform.

    :ivar platform: as the name of the npm package ends.
    :ivar integrity: of its tarball, as the registry tells it and Subresource Integrity spells it.
    :ivar vendor: the folder in it with all that the program needs.
    :ivar program: of that folder.
    """

    platform: str
    integrity: str
    vendor: str
    program: str

    @property
    def version(self) -> str:
        """As its package.json has it."""
        return f"{VERSION}-{self.platform}"

    @property
    def spec(self) -> str:
        """As npm takes it."""
        return f"{NAME}@{self.version}"

    @property
    def alias(self) -> str:
        """Folder that npm puts it into as a dependency of the package that a user installs."""
        return f"{NAME}-{self.platform}"

    def vendor_in(self, package: Path) -> Path:
        return package / "vendor" / self.vendor

    def program_in(self, vendor: Path) -> Path:
        return vendor / PurePosixPath(self.program)


LINUX: Final = Package(
    "linux-x64",
    "sha512-o05NyAOCDygSPRo1yinzxvkRSdmsZyBD9E7mbpmjRanSfM8lypqWtQgEo4XfNkwhuCR2aFu8mlGOsQGFXVbVww==",
    "x86_64-unknown-linux-musl",
    "bin/codex",
)
WINDOWS: Final = Package(
    "win32-x64",
    "sha512-nC+McFU8xRNL9tk3IhxcKdhcyOElwF/HhPO+gzSQCY7yjh3XdzSajX+MYWcHUVHWRHajfwn3/WgJYJK2wS+XWg==",
    "x86_64-pc-windows-msvc",
    "bin/codex.exe",
)
