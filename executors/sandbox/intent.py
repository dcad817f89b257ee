"""From the intent of a caller to the policy that it means on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from executors.protocol.errors import invalid_params
from executors.protocol.sandbox import (
    AccessName,
    Disabled,
    External,
    Managed,
    Network,
    Restricted,
    SandboxIntent,
    SpecialKind,
    Unrestricted,
)
from executors.sandbox.binder import Binder
from executors.sandbox.places import Places as Places
from executors.sandbox.policy import Access, Policy, Rule, make_policy

MOST_ENTRIES: Final = 10_000
_MOST_OF_AN_ERROR: Final = 500
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "kind": get_args(SpecialKind),
    "access": get_args(AccessName),
    "network": get_args(Network),
    "permissions": ("managed", "disabled", "external"),
    "file_system": ("restricted", "unrestricted"),
    "path": ("path", "glob_pattern", "special"),
    "missing_path_behavior": ("skip",),
    "windowsSandboxLevel": ("disabled", "restricted-token", "elevated", "mxc"),
    "windowsSandboxProxySettingsMode": ("reconcile", "preserve"),
}
"""What a field of that name may say."""


def read_intent(sandbox: Any) -> SandboxIntent | None:
    """Returns the intent of a call; None where no sandbox is asked for, or somebody else provides all of it.

    :param sandbox: the decoded JSON of the call's ``sandbox``; None for none.
    :raises RpcError: INVALID_PARAMS: it is malformed, or has more entries than :data:`MOST_ENTRIES`.
    """
    if sandbox is None:
        return None
    try:
        intent = msgspec.convert(sandbox, SandboxIntent)
    except msgspec.ValidationError as error:
        raise invalid_params(f"field `sandbox`: {_explained(str(error))}") from None
    permissions = intent.permissions
    if isinstance(permissions, Disabled):
        return None
    if isinstance(permissions, External):
        return intent if permissions.network == "restricted" else None
    if isinstance(permissions.file_system, Restricted):
        count = len(permissions.file_system.entries)
        if count > MOST_ENTRIES:
            raise invalid_params(
                f"field `sandbox`: {count} entries, and {MOST_ENTRIES} are the most: name outer directories"
            )
    return intent


def _explained(error: str) -> str:
    """The text of a validation error, bounded, with the values that the field may have."""
    what, _, where = error.rpartition(" - at `$")
    if not what:
        return error[:_MOST_OF_AN_ERROR]
    place = where.rstrip("`").removesuffix(".type")
    text = f"{what[:_MOST_OF_AN_ERROR]} - at `sandbox{where[:_MOST_OF_AN_ERROR]}"
    known = _KNOWN.get(place.rpartition(".")[2].partition("[")[0])
    if known is not None and what.startswith("Invalid"):
        text += "; known are " + ", ".join(f"`{name}`" for name in known)
    return text


def bind(intent: SandboxIntent, places: Places) -> Policy:
    """Returns what *intent* means on this machine, as its files are now.

    Symbolic links in the paths of entries are resolved, unless the program itself could replace them. A
    ``.git`` that is there, in a place that may be written, and where it points to if it is a file, may only
    be read; an entry for it wins. Where entries are about the same place, one that denies wins, then one
    that names the path, then one with more access.

    Blocks for as long as it takes to look at each place, at most a few tenths of a second.

    :raises RpcError: INVALID_PARAMS: a path is relative, of another operating system or has ``..`` in it; a
        symbolic entry means nothing; a place to write to is not there; entries contradict each other; a link
        in a path could be replaced by the program; the entries are about too many directories.
    """
    permissions = intent.permissions
    binder = Binder(intent, places)
    if isinstance(permissions, Managed) and isinstance(permissions.file_system, Restricted):
        return binder.policy(permissions.file_system, network=permissions.network == "enabled")
    assert not isinstance(permissions, Disabled), "read_intent returns no such intent"
    return make_policy(
        [Rule(root, Access.WRITE) for root in places.roots],
        network=permissions.network == "enabled",
        roots=places.roots,
    )


def refuse_unsupported(sandbox: Any) -> None:
    """Refuses what an executor without any sandbox cannot enforce; to be called before anything is touched.

    :param sandbox: the decoded JSON of the call's ``sandbox``; None for none.
    :raises RpcError: INVALID_PARAMS: it asks for a sandbox, or is malformed.
    """
    intent = read_intent(sandbox)
    if intent is None:
        return
    permissions = intent.permissions
    if (
        isinstance(permissions, Managed)
        and isinstance(permissions.file_system, Unrestricted)
        and permissions.network == "enabled"
    ):
        return
    raise invalid_params(
        "field `sandbox`: this executor offers no sandbox and cannot enforce permissions of type `managed`; "
        "ask for none (null, or type `disabled`) or use an executor that does"
    )
