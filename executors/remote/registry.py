"""The registry, and what an executor asks of it: to be registered, and whether a harness may connect."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from executors.remote.credentials import Bearer, CredentialError, CredentialSource, is_loopback
from executors.remote.http_post import HttpError, Response, error_of, post_json
from executors.transport.noise import Offer
from executors.transport.noise_keys import PublicKey
from executors.transport.relay_executor import Verdict

SECURITY_PROFILE = "noise_hybrid_ik_v1"
REQUEST_SECONDS = 10.0
# The question was not considered, so that an authorization which is good once still is.
_ASK_AGAIN = frozenset((429, 503))
_MAX_ID_CHARACTERS = 256


class RegistryError(Exception):
    """The registry could not be used; the text is fit for people and holds no secret.

    :ivar status: of its response, if there was one.
    :ivar retry_after: seconds after which it says to ask again; None if it does not say.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Registration(msgspec.Struct, frozen=True):
    """What the registry answers to a registration.

    :ivar url: where to dial; it is signed and so as good as a credential.
    """

    environment_id: str
    url: str
    security_profile: str
    executor_registration_id: str

    def __repr__(self) -> str:
        return f"Registration({self.environment_id!r}, {self.executor_registration_id!r}, url hidden)"


class _Validation(msgspec.Struct):
    valid: bool


class RegistryClient:
    """Who asks about one environment at one registry.

    :param base_url: as :func:`executors.remote.credentials.check_registry_url` returned it.
    :param tls: for https; None for the system's certificates.
    """

    def __init__(
        self,
        base_url: str,
        environment_id: str,
        credential: CredentialSource,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url
        self.environment_id = environment_id
        self._credential = credential
        # The system's certificates take a while to load.
        is_tls = base_url.startswith("https:")
        self._tls = tls or (ssl.create_default_context() if is_tls else None)

    async def _post(
        self,
        bearer: Bearer,
        action: str,
        body: object,
        headers: dict[str, str],
        seconds: float = REQUEST_SECONDS,
    ) -> Response:
        url = f"{self._base_url}/cloud/environment/{quote(self.environment_id, safe='')}/{action}"
        return await post_json(
            url,
            msgspec.json.encode(body),
            {"Authorization": bearer.header(), **headers},
            tls=self._tls,
            seconds=seconds,
        )

    def _check(self, registration: Registration) -> None:
        found = registration.environment_id
        if found != self.environment_id:
            raise RegistryError(f"the registry answered for the environment {found[:_MAX_ID_CHARACTERS]!r}")
        if registration.security_profile != SECURITY_PROFILE:
            raise RegistryError(
                f"the registry wants the security profile {registration.security_profile[:80]!r}: "
                f"known is {SECURITY_PROFILE}"
            )
        if not 0 < len(registration.executor_registration_id) <= _MAX_ID_CHARACTERS:
            raise RegistryError("the registry gave no usable registration id")
        try:
            parts = urlsplit(registration.url)
            host = parts.hostname or ""
            usable = parts.scheme == "wss" or (parts.scheme == "ws" and is_loopback(host))
            _ = parts.port
        except ValueError:
            usable, host = False, ""
        if not (usable and host and registration.url.isascii() and registration.url.isprintable()):
            raise RegistryError("the registry gave a URL to dial that is neither wss nor on this machine")


class Registry(RegistryClient):
    """What an executor asks."""

    async def register(self, key: PublicKey, name: str | None) -> Registration:
        """Says that this environment is now served by the owner of *key*.

        :param name: for people; only sent if there is one.
        :raises RegistryError: the registry cannot be reached, says no, or says something else.
        """
        body: dict[str, Any] = {"security_profile": SECURITY_PROFILE, "executor_public_key": key.to_wire()}
        if name is not None:
            body["name"] = name
        try:
            bearer = self._credential.read()
        except CredentialError as error:
            raise RegistryError(str(error)) from None
        try:
            response = await self._post(bearer, "register", body, {})
        except HttpError as error:
            raise RegistryError(f"cannot register: {bearer.redact(str(error))}") from None
        if response.status != 200:
            raise RegistryError(
                f"the registry refused to register: {describe(response, bearer)}", response.status
            )
        try:
            registration = msgspec.json.decode(response.body, type=Registration)
        except msgspec.DecodeError as error:
            raise RegistryError(f"the registry's answer has another form: {error}", 200) from None
        self._check(registration)
        return registration

    async def _ask(self, bearer: Bearer, body: object, stream_id: str) -> Response:
        now = asyncio.get_running_loop().time
        left = REQUEST_SECONDS
        until = now() + left
        while True:
            response = await self._post(
                bearer, "validate", body, {"x-codex-noise-stream-id": stream_id}, left
            )
            wait = response.retry_after
            if response.status not in _ASK_AGAIN or wait is None or now() + wait >= until:
                return response
            await asyncio.sleep(wait)
            left = until - now()

    async def validate(self, registration_id: str, stream_id: str, offer: Offer) -> Verdict:
        """Asks whether the harness of *offer* may connect; takes at most 10 s, in which it asks again when
        the registry wants it to.

        :raises RegistryError: it did not say.
        """
        try:
            authorization = offer.authorization.decode("ascii")
        except UnicodeDecodeError:
            return Verdict.INVALID
        if not (authorization.isprintable() and stream_id.isascii() and stream_id.isprintable()):
            return Verdict.INVALID
        body = {
            "executor_registration_id": registration_id,
            "harness_public_key": offer.harness.to_wire(),
            "harness_key_authorization": authorization,
        }
        try:
            bearer = self._credential.read()
            response = await self._ask(bearer, body, stream_id)
        except (CredentialError, HttpError) as error:
            raise RegistryError(f"cannot ask for a harness: {error}") from None
        if response.status == 401:
            return Verdict.UNAUTHENTICATED
        if response.status != 200:
            raise RegistryError(f"cannot ask for a harness: {describe(response, bearer)}", response.status)
        try:
            valid = msgspec.json.decode(response.body, type=_Validation).valid
        except msgspec.DecodeError:
            raise RegistryError("the registry's answer for a harness has another form", 200) from None
        return Verdict.VALID if valid else Verdict.INVALID


def describe(response: Response, bearer: Bearer) -> str:
    """The status and what the registry says of it; other people's text, so cut and made printable."""
    error = error_of(response.body)
    if error is None:
        return f"status {response.status}"
    text = bearer.redact(f"{error.code[:80]}: {error.message}")[:300]
    return f"status {response.status}, " + "".join(c if c.isprintable() else "?" for c in text)
