"""Intents: what a program or a file call is to be kept from, in terms of any operating system.

::

    sandbox = workspace_write([root], rules=[deny(root.join(".env")), allow_read(root.join("vendor"))])
    client.run(["make"], sandbox=sandbox)

The executor enforces an intent in whatever way its machine has, or refuses it
(:class:`harness.client.errors.SandboxRefused`); it never enforces a part of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import msgspec

from executors.protocol.errors import ErrorCode, RpcError
from executors.protocol.files import DENIED_BY_SANDBOX
from executors.protocol.path_uri import PathUri
from executors.protocol.sandbox import (
    AccessName,
    Entry,
    GlobPlace,
    Managed,
    Network,
    PathPlace,
    Restricted,
    SandboxIntent,
    Special,
    SpecialKind,
    SpecialPlace,
)
from harness.client.errors import FileDenied, SandboxRefused

Path = PathUri | str
"""A path URI; a string must be one too."""

Sandbox = SandboxIntent | Mapping[str, Any]
"""An intent, typed or as the protocol has it."""

Readable = Literal["everything", "minimal"]
"""``everything``: the whole file system; ``minimal``: what most programs need to start."""


def allow_read(place: Path) -> Entry:
    """A file, or a directory with all below it, that may be read and not written."""
    return _at(place, "read")


def allow_write(place: Path) -> Entry:
    """A file, or a directory with all below it, that may be read and written."""
    return _at(place, "write")


def deny(place: Path) -> Entry:
    """A file, or a directory with all below it, that may not even be read."""
    return _at(place, "deny")


def deny_matching(pattern: str) -> Entry:
    """What matches may not even be read, also below places that an inner rule opens.

    :param pattern: of slashes, ``*``, ``**``, ``?`` and ``[]``; a relative one is one of each workspace root.
    """
    return Entry(GlobPlace(pattern), "deny")


def read_only(
    rules: Iterable[Entry] = (),
    *,
    readable: Readable = "everything",
    network: bool = False,
    roots: Sequence[Path] = (),
) -> SandboxIntent:
    """Nothing may be written.

    :param rules: what holds besides; of several about one file, that of the innermost place counts.
    :param readable: what may be read without a rule for it.
    :param network: whether it may be used.
    :param roots: workspace roots: what relative patterns are taken from, read where *readable* is minimal.
    """
    entries = [_readable(readable)]
    if roots and readable == "minimal":
        entries.append(_special("project_roots", "read"))
    return _intent([*entries, *rules], network, roots)


def workspace_write(
    roots: Sequence[Path],
    rules: Iterable[Entry] = (),
    *,
    readable: Readable = "everything",
    network: bool = False,
    temporary: bool = False,
) -> SandboxIntent:
    """Only the workspace may be written, without what belongs to Git in it.

    :param roots: of the workspace, directories that are there; the first one is where programs start.
    :param rules: what holds besides; of several about one file, that of the innermost place counts.
    :param readable: what may be read without a rule for it.
    :param network: whether it may be used.
    :param temporary: whether the directories for temporary files may be written too.
    :raises ValueError: *roots* is empty.
    """
    if not roots:
        raise ValueError("a workspace that may be written needs at least one root; use read_only for none")
    entries = [_readable(readable), _special("project_roots", "write")]
    if temporary:
        entries += [_special("tmpdir", "write"), _special("slash_tmp", "write")]
    return _intent([*entries, *rules], network, roots)


def encode(sandbox: Sandbox) -> msgspec.Raw:
    """Returns an intent as it goes over the wire."""
    return msgspec.Raw(msgspec.json.encode(sandbox))


# How executors begin what they say of an intent: this project's, and the released one of @openai/codex.
_ABOUT_THE_INTENT: Final = ("field `sandbox`", "failed to prepare process sandbox")


@contextmanager
def told_apart(is_sandboxed: bool) -> Iterator[None]:
    """Within it a refusal of the intent, and a denial by it, have types of their own.

    :raises SandboxRefused: the executor refuses the intent.
    :raises FileDenied: the sandbox kept a file call from something.
    """
    try:
        yield
    except RpcError as error:
        # Also of a sandboxed call most errors are about something else, such as its working directory.
        if not is_sandboxed:
            raise
        if error.code == ErrorCode.INVALID_PARAMS and error.message.startswith(_ABOUT_THE_INTENT):
            raise SandboxRefused(error.code, error.message) from None
        if error.code == ErrorCode.INVALID_REQUEST and DENIED_BY_SANDBOX in error.message:
            raise FileDenied(error.code, error.message) from None
        raise


def _at(place: Path, access: AccessName) -> Entry:
    return Entry(PathPlace(str(place)), access)


def _special(kind: SpecialKind, access: AccessName) -> Entry:
    return Entry(SpecialPlace(Special(kind)), access)


def _readable(readable: Readable) -> Entry:
    return _special("root" if readable == "everything" else "minimal", "read")


def _intent(entries: Iterable[Entry], network: bool, roots: Sequence[Path]) -> SandboxIntent:
    allowed: Network = "enabled" if network else "restricted"
    uris = tuple(map(str, roots))
    return SandboxIntent(
        Managed(Restricted(tuple(entries)), allowed),
        # Of Windows executors only: as much as a user can have without an administrator.
        windows_sandbox_level="restricted-token",
        cwd=uris[0] if uris else None,
        workspace_roots=uris,
    )
