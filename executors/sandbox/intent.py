"""The sandbox that a caller asks for with ``process/start`` and ``fs/*``."""

from __future__ import annotations

from typing import Any

import msgspec

from executors.protocol.errors import invalid_params


class _Permissions(msgspec.Struct):
    type: str


class _Intent(msgspec.Struct):
    permissions: _Permissions


_NOTHING_TO_ENFORCE = frozenset({"disabled", "external"})
"""No sandbox is asked for, or somebody else provides it."""


def refuse_unsupported(sandbox: Any) -> None:
    """Refuses what this executor cannot enforce; to be called before anything is touched.

    :param sandbox: the decoded JSON of the call's ``sandbox``; None for none.
    :raises RpcError: INVALID_PARAMS: it asks for a sandbox, or is malformed.
    """
    if sandbox is None:
        return
    try:
        wanted = msgspec.convert(sandbox, _Intent).permissions.type
    except msgspec.ValidationError as error:
        raise invalid_params(f"field `sandbox`: {error}") from None
    if wanted not in _NOTHING_TO_ENFORCE:
        raise invalid_params(
            f"field `sandbox`: this executor offers no sandbox and cannot enforce permissions "
            f"of type `{wanted}`; ask for none (null, or type `disabled`) or use an executor that does"
        )
