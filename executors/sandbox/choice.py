"""Which sandbox backend serves an intent: the cheapest proved one that enforces all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from executors.protocol.errors import RpcError, invalid_params
from executors.sandbox.backend import Proof, SandboxBackend
from executors.sandbox.policy import Policy

Prove = Callable[[SandboxBackend], Awaitable[Proof]]
_REMEDY: Final = "ask for less, ask for no sandbox (null, or type `disabled`), or use another executor"


class Sandboxes:
    """The backends of this machine, each offered only once it has held against its canary.

    :param backends: the cheapest first.
    :param prove: puts one to the test; called once for each, when it first might serve.
    """

    def __init__(self, backends: Sequence[SandboxBackend], prove: Prove) -> None:
        self._backends = backends
        self._prove = prove
        self._proofs: dict[str, asyncio.Future[Proof]] = {}

    async def proofs(self) -> list[Proof]:
        """Puts every backend to the test, once, and returns what came of it."""
        return [await self._proof(backend) for backend in self._backends]

    async def offered(self) -> list[str]:
        """Returns the names of the backends that hold on this machine."""
        return [proof.backend for proof in await self.proofs() if proof.holds]

    def offered_by_now(self) -> tuple[str, ...] | None:
        """As :meth:`offered`; None while a backend has yet to be put to the test."""
        proofs = [self._known(backend) for backend in self._backends]
        if None in proofs:
            return None
        return tuple(proof.backend for proof in proofs if proof is not None and proof.holds)

    async def choose(self, policy: Policy) -> SandboxBackend:
        """Returns the backend for *policy*.

        :raises RpcError: INVALID_PARAMS: there is none; the message says why for each.
        """
        for backend in self._backends:
            if backend.lacks(policy) is None and (await self._proof(backend)).holds:
                return backend
        raise unenforceable(self._reasons(policy))

    def choose_now(self, policy: Policy) -> SandboxBackend | None:
        """As :meth:`choose`; None where that would have to wait for a proof."""
        for backend in self._backends:
            if backend.lacks(policy) is None:
                proof = self._known(backend)
                if proof is None:
                    return None
                if proof.holds:
                    return backend
        raise unenforceable(self._reasons(policy))

    def _reasons(self, policy: Policy) -> list[str]:
        """Returns of each backend why it does not serve *policy*, as far as is known."""
        reasons = []
        for backend in self._backends:
            lacks = backend.lacks(policy)
            reasons.append(str(self._known(backend)) if lacks is None else f"{backend.name}: {lacks}")
        return reasons

    def _known(self, backend: SandboxBackend) -> Proof | None:
        proof = self._proofs.get(backend.name)
        return proof.result() if proof is not None and proof.done() else None

    async def _proof(self, backend: SandboxBackend) -> Proof:
        known = self._proofs.get(backend.name)
        if known is None:
            known = self._proofs[backend.name] = asyncio.get_running_loop().create_future()
            try:
                reason = backend.missing()
                known.set_result(
                    await self._prove(backend) if reason is None else Proof(backend.name, reason=reason)
                )
            except BaseException:
                # Whoever asked first was cancelled, or the canary could not be run: the next one tries again.
                del self._proofs[backend.name]
                known.cancel()
                raise
        try:
            return await asyncio.shield(known)
        except asyncio.CancelledError:
            if known.cancelled() and not _is_cancelling():
                return await self._proof(backend)
            raise


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def unenforceable(why: Sequence[str]) -> RpcError:
    """The refusal of an intent.

    :param why: of each backend, why it does not serve.
    """
    found = "; ".join(why) or "there is no sandbox for this operating system"
    return invalid_params(f"field `sandbox`: this executor cannot enforce it ({found}): {_REMEDY}")
