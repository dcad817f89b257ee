"""The sandbox that a caller may ask for with ``process/start`` and ``fs/*``: its intent, as on the wire.

An intent says what the program may do in terms of any operating system; how that is enforced is the
executor's own affair.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

SpecialKind = Literal[
    "root", "minimal", "current_working_directory", "project_roots", "tmpdir", "slash_tmp", "unknown"
]
AccessName = Literal["read", "write", "deny", "none"]
"""``write`` includes reading; ``deny`` and ``none`` mean the same: not even reading."""

Network = Literal["restricted", "enabled"]

PROJECT_ROOTS_SCHEME = "codex-project-roots://"
"""What a client may begin a pattern with that is one of each project root."""


# Inside of permissions an unknown field may be a restriction, so it is refused and not passed over.


class Special(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A place that the executor knows and the caller does not.

    :ivar kind: ``root`` is the whole file system; ``minimal`` what most programs need to start;
        ``project_roots`` each of the intent's workspace roots, or what lies at *subpath* in each;
        ``unknown`` one that the client itself does not know.
    :ivar subpath: relative path below each project root, with slashes; for no other kind.
    :ivar path: what the client was given for an ``unknown`` one, such as ``:future``.
    """

    kind: SpecialKind
    subpath: str | None = None
    path: str | None = None


class PathPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="path"):
    """A file, or a directory and all below it, by its URI."""

    path: str


class GlobPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="glob_pattern"):
    """Whatever matches a pattern; it can only take access away.

    A relative one, or one that begins with :data:`PROJECT_ROOTS_SCHEME`, is one of each project root.
    """

    pattern: str


class SpecialPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="special"):
    value: Special


Place = PathPlace | GlobPlace | SpecialPlace


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Access to one place. Of several that hold for a file the one of the innermost place counts.

    :ivar missing_path_behavior: ``skip`` for an entry that says nothing while its place is not there.
    """

    path: Place
    access: AccessName
    missing_path_behavior: Literal["skip"] | None = None


class Restricted(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="restricted"
):
    """Nothing may be read or written but what an entry allows.

    :ivar glob_scan_max_depth: how many directories deep matches of patterns are looked for; None for all.
    """

    entries: tuple[Entry, ...]
    glob_scan_max_depth: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Unrestricted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="unrestricted"):
    """Whatever the executor's user may read and write."""


class Managed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="managed"):
    """The executor is to see to it."""

    file_system: Restricted | Unrestricted
    network: Network


class Disabled(msgspec.Struct, frozen=True, tag="disabled"):
    """No sandbox is asked for."""


class External(msgspec.Struct, frozen=True, tag="external"):
    """Somebody else sees to the files; the executor to the network."""

    network: Network


class SandboxIntent(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a caller wants a program or a file call to be kept from.

    Fields that are not here are for other executors; they ask for nothing.

    :ivar cwd: file URI that ``current_working_directory`` means.
    :ivar workspace_roots: file URIs that ``project_roots`` means.
    :ivar windows_sandbox_level: how much is to be done for it on Windows.
    :ivar windows_sandbox_proxy_settings_mode: of no meaning here, as all that follow.
    :ivar user_home_dir: file URI of the home directory that the client knows.
    :ivar temporary_directories: file URIs of those that the client knows; ``tmpdir`` is the executor's own.
    """

    permissions: Managed | Disabled | External
    windows_sandbox_level: Literal["disabled", "restricted-token", "elevated", "mxc"]
    cwd: str | None = None
    workspace_roots: tuple[str, ...] | None = None
    windows_sandbox_proxy_settings_mode: Literal["reconcile", "preserve"] | None = None
    windows_sandbox_private_desktop: bool | None = None
    use_legacy_landlock: bool | None = None
    user_home_dir: str | None = None
    temporary_directories: tuple[str, ...] | None = None
