"""Messages of ``fs/*``. Every path is a file URI; *sandbox* is an intent, None for none."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from executors.protocol.binary import Base64

MAX_BLOCK_BYTES = 1024 * 1024
MAX_HANDLE_ID_BYTES = 32
MAX_HANDLES_PER_CONNECTION = 128
MAX_WALK_DEPTH = 64
MAX_WALK_DIRECTORIES = 10_000
MAX_WALK_ENTRIES = 50_000
DENIED_BY_SANDBOX = "the sandbox does not allow it"
"""In the message of the error, an INVALID_REQUEST, of a call that its sandbox kept from something."""


class PathParams(msgspec.Struct, omit_defaults=True):
    """Of readFile, getMetadata, readDirectory and canonicalize."""

    path: str
    sandbox: Any = None


class ReadFileResult(msgspec.Struct, rename="camel"):
    data_base64: Base64


class WriteFileParams(msgspec.Struct, rename="camel", omit_defaults=True):
    path: str
    data_base64: Base64
    sandbox: Any = None


class CreateDirectoryParams(msgspec.Struct, omit_defaults=True):
    path: str
    recursive: bool | None = None
    sandbox: Any = None


class RemoveParams(msgspec.Struct, omit_defaults=True):
    path: str
    recursive: bool | None = None
    force: bool | None = None
    sandbox: Any = None


class CopyParams(msgspec.Struct, rename="camel", omit_defaults=True):
    source_path: str
    destination_path: str
    recursive: bool
    sandbox: Any = None


class CanonicalizeResult(msgspec.Struct):
    path: str


class Metadata(msgspec.Struct, rename="camel"):
    """Of the file itself, links followed; ``is_symlink`` tells whether the path named a link."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    size: int
    """Bytes."""
    created_at_ms: int
    """Milliseconds since 1970-01-01 UTC; 0 where the file system does not know."""
    modified_at_ms: int


class DirectoryEntry(msgspec.Struct, rename="camel", omit_defaults=True):
    """Links are followed; one that leads nowhere is neither directory nor file."""

    file_name: str
    """As text; U+FFFD stands for what is not Unicode in the name."""
    is_directory: bool
    is_file: bool
    path: str | None = None
    """File URI of the entry, only where *file_name* does not spell the name exactly."""


class ReadDirectoryResult(msgspec.Struct):
    entries: list[DirectoryEntry]


class WalkOptions(msgspec.Struct, rename="camel", omit_defaults=True):
    max_depth: int | None = None
    max_directories: int | None = None
    max_entries: int | None = None
    follow_directory_symlinks: bool | None = None
    prune_hidden_directories: bool | None = None
    """True lists directories whose name begins with a dot, but does not enter them."""


class WalkParams(msgspec.Struct, omit_defaults=True):
    path: str
    options: WalkOptions | None = None
    sandbox: Any = None


class WalkEntry(msgspec.Struct):
    path: str
    kind: str


class WalkError(msgspec.Struct):
    path: str
    message: str


class WalkResult(msgspec.Struct):
    entries: list[WalkEntry]
    errors: list[WalkError]
    truncated: bool


class OpenParams(msgspec.Struct, rename="camel", omit_defaults=True):
    handle_id: str
    path: str
    mode: Literal["read", "replace"] | None = None
    sandbox: Any = None


class ReadBlockParams(msgspec.Struct, rename="camel"):
    handle_id: str
    offset: int
    len: int


class ReadBlockResult(msgspec.Struct):
    chunk: Base64
    eof: bool


class WriteBlockParams(msgspec.Struct, rename="camel"):
    handle_id: str
    offset: int
    chunk: Base64


class HandleParams(msgspec.Struct, rename="camel"):
    handle_id: str
