"""The sandbox backend of Windows: a token that may write nowhere but where its own identifier may.

Everything may be read, and the network be used: it serves only policies that let that be. The canary tells
whether it holds on this system; it does not under Wine, which checks no tokens where files are written.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable

import msgspec

from executors.process.base import SpawnRequest
from executors.sandbox import windows_security as security
from executors.sandbox.backend import Evidence
from executors.sandbox.policy import Access, Policy

assert sys.platform == "win32"

_log = logging.getLogger(__name__)


class RestrictedTokenBackend:
    """See :class:`executors.sandbox.backend.SandboxBackend`."""

    name = "restricted-token"
    sees_denials = False
    ways = 1

    def missing(self) -> str | None:
        return None

    def lacks(self, policy: Policy) -> str | None:
        if not policy.network:
            return "it cannot keep programs from the network"
        if policy.denied_patterns:
            return "it cannot deny what matches a pattern"
        if any(policy.access(root) == Access.NONE for root in policy.roots):
            return "it cannot keep programs from reading"
        for rule in policy.carved():
            return f"it cannot take {rule.path} out of a place that allows more"
        if any(policy.access(root) == Access.WRITE for root in policy.roots):
            return "it cannot make all of a drive writable and keep the rest from being written"
        return None

    def confine(self, policy: Policy) -> RestrictedTokenConfinement:
        """See :meth:`executors.sandbox.backend.SandboxBackend.confine`."""
        lacks = self.lacks(policy)
        if lacks is not None:
            raise ValueError(f"{self.name}: {lacks}")
        return RestrictedTokenConfinement(policy)


class RestrictedTokenConfinement:
    """See :class:`executors.sandbox.backend.Confinement`.

    The access lists of the places that may be written name its identifier, which nobody else has, until it is
    closed.

    :raises OSError: the system refuses.
    :raises ValueError: a place that may be written is not there.
    """

    def __init__(self, policy: Policy) -> None:
        numbers = "-".join(str(secrets.randbits(32)) for _ in range(4))
        self._sid = security.Sid(f"S-1-5-21-{numbers}")
        self._granted: list[str] = []
        self._token = security.restricted_token(self._sid)
        try:
            for rule in policy.rules:
                if rule.access == Access.WRITE:
                    path = os.fspath(rule.path)
                    if not os.path.lexists(path):
                        raise ValueError(f"{path} may be written, and is not there: make it first")
                    security.grant(path, self._sid)
                    self._granted.append(path)
        except BaseException:
            self.close()
            raise

    def wrap(self, request: SpawnRequest) -> SpawnRequest:
        return msgspec.structs.replace(request, token=int(self._token))

    def start(self, spawn: Callable[[], int]) -> int:
        return spawn()

    def evidence(self, pid: int) -> Evidence | None:
        return None

    def close(self) -> None:
        while self._granted:
            path = self._granted.pop()
            try:
                security.revoke(path, self._sid)
            except OSError as error:
                if os.path.lexists(path):
                    _log.error("the access list of %s still names a sandbox that is gone: %s", path, error)
        self._token.close()
