"""What a harness asks of the registry: where an executor is, who it is, and leave to talk to it."""

from __future__ import annotations

import msgspec

from executors.remote.credentials import CredentialError
from executors.remote.http_post import HttpError
from executors.remote.registry import Registration, RegistryClient, RegistryError, describe
from executors.transport.noise_keys import NoiseError, PublicKey, WireKey


class Bundle(Registration, frozen=True):
    """All that is needed for one connection, and good for no other.

    :ivar url: where to dial; it is signed and so as good as a credential.
    :ivar harness_key_authorization: goes to the executor in the handshake.
    """

    executor_public_key: WireKey
    harness_key_authorization: str

    def executor(self) -> PublicKey:
        """:raises RegistryError: it is no key."""
        try:
            return PublicKey.from_wire(self.executor_public_key)
        except NoiseError as error:
            raise RegistryError(f"the registry's key of the executor is of no use: {error}") from None

    def __repr__(self) -> str:
        return f"Bundle({self.environment_id!r}, {self.executor_registration_id!r}, the rest hidden)"


class HarnessRegistry(RegistryClient):
    """See :class:`executors.remote.registry.RegistryClient`."""

    async def connect(self, key: PublicKey) -> Bundle:
        """Asks for a connection of the harness that owns *key*.

        :raises RegistryError: the registry cannot be reached, says no, or says something else.
        """
        try:
            bearer = self._credential.read()
        except CredentialError as error:
            raise RegistryError(str(error)) from None
        try:
            response = await self._post(bearer, "connect", {"harness_public_key": key.to_wire()}, {})
        except HttpError as error:
            raise RegistryError(f"cannot ask the registry: {bearer.redact(str(error))}") from None
        if response.status != 200:
            raise RegistryError(
                f"the registry refused: {describe(response, bearer)}", response.status, response.retry_after
            )
        try:
            bundle = msgspec.json.decode(response.body, type=Bundle)
        except msgspec.DecodeError as error:
            raise RegistryError(f"the registry's answer has another form: {error}", 200) from None
        self._check(bundle)
        if not bundle.harness_key_authorization.isascii():
            raise RegistryError("the registry gave no usable authorization")
        return bundle
