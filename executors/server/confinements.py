"""The confinements of a session, by what they enforce."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from executors.protocol.errors import internal_error, invalid_params
from executors.sandbox.backend import Confinement, SandboxBackend
from executors.sandbox.choice import Sandboxes
from executors.sandbox.denial import Judge
from executors.sandbox.intent import bind, read_intent
from executors.sandbox.places import Places
from executors.sandbox.policy import Policy

_MOST_KEPT = 32

_Identity = tuple[int, int] | None
_Key = tuple[Policy, tuple[_Identity, ...]]


class Confined:
    """A confinement and how many use it.

    :ivar policy: what it enforces.
    :ivar backend: what enforces it.
    """

    def __init__(self, policy: Policy, backend: SandboxBackend, confinement: Confinement) -> None:
        self.policy = policy
        self.backend = backend
        self.confinement = confinement
        self.users = 0

    def judge(self, cwd: str) -> Judge:
        """:param cwd: where the process starts that is to be judged."""
        return Judge(self.confinement, self.policy, sees_denials=self.backend.sees_denials, cwd=cwd)


class Confinements:
    """Makes a confinement once for all that is started under the same policy.

    Those that nobody uses are kept for the next start, 32 at most, the last used.
    """

    def __init__(self, sandboxes: Sandboxes, places: Places) -> None:
        self._sandboxes = sandboxes
        self._places = places
        self._kept: OrderedDict[_Key, Confined] = OrderedDict()
        # Those that cannot serve another start.
        self._single: set[Confined] = set()

    def offered_by_now(self) -> tuple[str, ...] | None:
        """Returns the names of the sandboxes that hold here; None while one has yet to be tried."""
        return self._sandboxes.offered_by_now()

    async def offered(self) -> tuple[str, ...]:
        """As :meth:`offered_by_now`, after trying those."""
        return tuple(await self._sandboxes.offered())

    def separate(self) -> Confinements:
        """Returns an object of the same sandboxes that shares no confinement with this one."""
        return Confinements(self._sandboxes, self._places)

    def policy(self, sandbox: Any, environ: Mapping[str, str] | None = None) -> Policy | None:
        """Returns what an intent means now; None where there is nothing to enforce.

        :param sandbox: the decoded JSON of a call's ``sandbox``.
        :param environ: of the program that is to be started, which may say where its temporary files go; None
            for no program.
        :raises RpcError: INVALID_PARAMS: it is malformed or contradicts itself.
        """
        intent = read_intent(sandbox)
        if intent is None:
            return None
        places = self._places if environ is None else self._places.for_program(environ)
        policy = bind(intent, places)
        return None if policy.is_unrestricted else policy

    def take_now(self, policy: Policy) -> Confined | None:
        """Returns a confinement to use, until :meth:`give_back`; None if a backend has yet to prove itself.

        :raises RpcError: INVALID_PARAMS: no backend enforces *policy*, or a place of it is gone.
            INTERNAL_ERROR: the system refuses.
        """
        key = identify(policy)
        kept = self._kept.get(key)
        if kept is None:
            backend = self._sandboxes.choose_now(policy)
            if backend is None:
                return None
            kept = Confined(policy, backend, _confine(backend, policy))
            if policy.denied_patterns:
                # What matches was looked for just now, and may be something else the next time.
                self._single.add(kept)
            else:
                self._kept[key] = kept
        if kept not in self._single:
            self._kept.move_to_end(key)
        kept.users += 1
        self._trim()
        return kept

    async def take(self, policy: Policy) -> Confined:
        """As :meth:`take_now`, after the proofs that it takes."""
        while (taken := self.take_now(policy)) is None:
            await self._sandboxes.choose(policy)
        return taken

    def give_back(self, confined: Confined) -> None:
        """One who used *confined* is gone, with all that it started."""
        confined.users -= 1
        if not confined.users:
            if confined in self._single:
                self._single.discard(confined)
                confined.confinement.close()
            else:
                self._trim()

    def close(self) -> None:
        """Gives up all of them; what was started under them must be gone."""
        every = [*self._kept.values(), *self._single]
        self._kept.clear()
        self._single.clear()
        for confined in every:
            confined.confinement.close()

    def _trim(self) -> None:
        """Closes those used longest ago; those in use stay, however many they are."""
        if len(self._kept) <= _MOST_KEPT:
            return
        for key, confined in list(self._kept.items()):
            if not confined.users:
                del self._kept[key]
                confined.confinement.close()
                if len(self._kept) <= _MOST_KEPT:
                    return


def _confine(backend: SandboxBackend, policy: Policy) -> Confinement:
    try:
        return backend.confine(policy)
    except OSError as error:
        raise internal_error(f"cannot make the {backend.name} sandbox: {error}") from None
    except ValueError as error:
        raise invalid_params(f"field `sandbox`: {backend.name} cannot enforce it: {error}") from None


def identify(policy: Policy) -> _Key:
    """What a confinement depends on: its rules hold for the files that were there, not for their names."""
    return policy, tuple(_identity(os.fspath(rule.path)) for rule in policy.rules)


def _identity(path: str) -> _Identity:
    try:
        found = os.stat(path, follow_symlinks=False)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
