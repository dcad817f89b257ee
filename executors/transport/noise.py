"""The encrypted channel of the relay: a hybridIK handshake of Noise, then transport messages. No I/O.

The rules are those of the Noise framework, revision 34, with a key encapsulation beside every
Diffie-Hellman of a static key: whoever wants to read along, or to pretend to be one of the two, has to
break both X25519 and ML-KEM-768::

    <- s
    -> skem, e, es, s, ss       payload: the harness's authorization
    <- ekem, skem, e, ee, se    payload: nothing, or a refusal

The harness knows the executor's key beforehand and speaks first. Whatever fails, fails for good: an
object of this module that has raised :class:`NoiseError` is of no use any more.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from executors.transport.noise_keys import (
    MLKEM_CIPHERTEXT_BYTES,
    MLKEM_PUBLIC_BYTES,
    SECRET_BYTES,
    X25519_BYTES,
    KeyPair,
    NoiseError,
    PublicKey,
    Randomness,
    Secret,
    SystemRandomness,
)

PROTOCOL_NAME = b"Noise_hybridIK_25519+MLKEM768_AESGCM_SHA256"
PROLOGUE_TAG = b"codex-exec-server-relay-noise/v1"
REFUSAL = b"codex-registry-authentication-rejected/v1"
"""The payload of a second message that says no: the registry would not have this harness."""

TAG_BYTES = 16
MAX_AUTHORIZATION_BYTES = 4096
OFFER_BYTES = (
    MLKEM_CIPHERTEXT_BYTES
    + X25519_BYTES
    + MLKEM_PUBLIC_BYTES
    + (X25519_BYTES + TAG_BYTES)
    + (MLKEM_PUBLIC_BYTES + TAG_BYTES)
    + TAG_BYTES
)
"""The first message without its payload."""
ANSWER_BYTES = (
    MLKEM_CIPHERTEXT_BYTES
    + (MLKEM_CIPHERTEXT_BYTES + TAG_BYTES)
    + X25519_BYTES
    + MLKEM_PUBLIC_BYTES
    + TAG_BYTES
)
"""The second message without its payload."""
MAX_PLAINTEXT_BYTES = 65535 - TAG_BYTES
"""What one transport message can hold."""
# Section 5.1: this last number is reserved and never used.
_LAST_NONCE = 2**64 - 1


class Refused(NoiseError):
    """The executor answered that the registry does not know this harness; a fresh authorization may do."""


class Prologue(NamedTuple):
    """What both sides must mean alike, or the handshake fails."""

    environment_id: str
    executor_registration_id: str
    stream_id: str

    def encode(self) -> bytes:
        fields = [PROLOGUE_TAG, *(field.encode() for field in self)]
        return b"".join(struct.pack(">Q", len(field)) + field for field in fields)


class CipherState:
    """AES-256-GCM under one key, its nonces counted from *nonce* on (section 5.1).

    :raises NoiseError: the numbers have run out; a ciphertext is forged, or not the next one.
    """

    __slots__ = ("_cipher", "_failed", "_nonce")

    def __init__(self, key: Secret, nonce: int = 0) -> None:
        if not 0 <= nonce <= _LAST_NONCE:
            raise NoiseError("a nonce has 64 bits")
        self._cipher = AESGCM(key.reveal())
        self._nonce = nonce
        self._failed = False

    def encrypt(self, plaintext: bytes, additional: bytes = b"") -> bytes:
        return self._cipher.encrypt(self._next_nonce(), plaintext, additional)

    def decrypt(self, ciphertext: bytes, additional: bytes = b"") -> bytes:
        if len(ciphertext) < TAG_BYTES:
            self._failed = True
            raise NoiseError(f"a ciphertext has {len(ciphertext)} bytes: expected {TAG_BYTES} or more")
        nonce = self._next_nonce()
        try:
            return self._cipher.decrypt(nonce, ciphertext, additional)
        except InvalidTag:
            self._failed = True
            raise NoiseError("a ciphertext is forged, damaged, repeated or out of order") from None

    def _next_nonce(self) -> bytes:
        if self._failed:
            raise NoiseError("this cipher has failed before")
        if self._nonce == _LAST_NONCE:
            raise NoiseError("a key has been used up: no nonce is left")
        nonce = struct.pack(">4xQ", self._nonce)
        self._nonce += 1
        return nonce

    def __repr__(self) -> str:
        return "CipherState(…)"


class SymmetricState:
    """The chaining key and the hash of all that was said (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_hash")

    def __init__(self) -> None:
        self._hash = _sha256(PROTOCOL_NAME)
        self._chaining_key = Secret(self._hash)
        self._cipher: CipherState | None = None

    def mix_hash(self, data: bytes) -> None:
        self._hash = _sha256(self._hash, data)

    def mix_key(self, secret: Secret) -> None:
        self._chaining_key, key = self._derive(secret.reveal(), 2)
        self._cipher = CipherState(key)

    def mix_key_and_hash(self, secret: Secret) -> None:
        self._chaining_key, hashed, key = self._derive(secret.reveal(), 3)
        self.mix_hash(hashed.reveal())
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Before the first key, the plaintext itself."""
        if self._cipher is None:
            self.mix_hash(plaintext)
            return plaintext
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """:raises NoiseError: it is forged, or one side has other keys or another prologue."""
        before = self._hash
        self.mix_hash(ciphertext)
        return ciphertext if self._cipher is None else self._cipher.decrypt(ciphertext, before)

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers of the transport: the initiator's, the responder's."""
        first, second = self._derive(b"", 2)
        return CipherState(first), CipherState(second)

    def _derive(self, material: bytes, count: int) -> list[Secret]:
        # Noise's HKDF (section 4.3) is that of RFC 5869 with the chaining key as salt and no info.
        salt = self._chaining_key.reveal()
        derived = HKDF(SHA256(), count * SECRET_BYTES, salt, b"").derive(material)
        return [Secret(derived[at : at + SECRET_BYTES]) for at in range(0, len(derived), SECRET_BYTES)]

    def __repr__(self) -> str:
        return "SymmetricState(…)"


class Channel:
    """Both directions after the handshake. Messages must be decrypted in the order they were encrypted in."""

    __slots__ = ("_receiving", "_sending")

    def __init__(self, sending: CipherState, receiving: CipherState) -> None:
        self._sending = sending
        self._receiving = receiving

    def encrypt(self, plaintext: bytes) -> bytes:
        """:raises NoiseError: it has more than 65519 bytes, or no nonce is left."""
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise NoiseError(f"a plaintext has {len(plaintext)} bytes: at most {MAX_PLAINTEXT_BYTES}")
        return self._sending.encrypt(plaintext)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """:raises NoiseError: it is too long, or not what the peer encrypted next."""
        if len(ciphertext) > MAX_PLAINTEXT_BYTES + TAG_BYTES:
            raise NoiseError(f"a ciphertext has {len(ciphertext)} bytes: at most 65535")
        return self._receiving.decrypt(ciphertext)

    def __repr__(self) -> str:
        return "Channel(…)"


class _Step(Enum):
    FIRST = "the first message"
    SECOND = "the second message"
    OVER = "nothing: the handshake is over, or has failed"


class _Handshake:
    """What both sides share: their state, and whose turn it is."""

    def __init__(
        self, keys: KeyPair, prologue: Prologue, randomness: Randomness, executor: PublicKey
    ) -> None:
        self._keys = keys
        self._randomness = randomness
        self._step = _Step.FIRST
        self._state = SymmetricState()
        self._state.mix_hash(prologue.encode())
        self._mix_hash_key(executor)

    def _mix_hash_key(self, key: PublicKey) -> None:
        self._state.mix_hash(key.x25519)
        self._state.mix_hash(key.mlkem768)

    def _begin(self, step: _Step) -> None:
        """Until it is set anew the handshake counts as failed."""
        if self._step is not step:
            raise NoiseError(f"this handshake expects {self._step.value}")
        self._step = _Step.OVER

    def __repr__(self) -> str:
        return f"{type(self).__name__}(expects {self._step.value})"


class Initiator(_Handshake):
    """The harness's side.

    :param executor: the executor's key, as the registry told it.
    """

    def __init__(
        self,
        keys: KeyPair,
        executor: PublicKey,
        prologue: Prologue,
        randomness: Randomness = SystemRandomness(),  # noqa: B008 - it holds nothing
    ) -> None:
        super().__init__(keys, prologue, randomness, executor)
        self._executor = executor
        self._ephemeral: KeyPair

    def offer(self, authorization: bytes) -> bytes:
        """The first message.

        :raises NoiseError: the authorization has more than 4096 bytes; called twice.
        """
        self._begin(_Step.FIRST)
        if len(authorization) > MAX_AUTHORIZATION_BYTES:
            raise NoiseError(
                f"an authorization has {len(authorization)} bytes: at most {MAX_AUTHORIZATION_BYTES}"
            )
        state = self._state
        executor_kem = self._randomness.encapsulate(self._executor)
        parts = [state.encrypt_and_hash(executor_kem.ciphertext)]
        state.mix_key_and_hash(executor_kem.secret)
        self._ephemeral = self._randomness.key_pair()
        self._mix_hash_key(self._ephemeral.public)
        parts += [self._ephemeral.public.x25519, self._ephemeral.public.mlkem768]
        state.mix_key(self._ephemeral.exchange(self._executor))
        parts.append(state.encrypt_and_hash(self._keys.public.x25519))
        parts.append(state.encrypt_and_hash(self._keys.public.mlkem768))
        state.mix_key(self._keys.exchange(self._executor))
        parts.append(state.encrypt_and_hash(authorization))
        self._step = _Step.SECOND
        return b"".join(parts)

    def finish(self, answer: bytes) -> Channel:
        """Takes the second message.

        :raises Refused: it is the executor's word that the registry said no.
        :raises NoiseError: it is not from the executor, or not to this offer.
        """
        self._begin(_Step.SECOND)
        if len(answer) not in (ANSWER_BYTES, ANSWER_BYTES + len(REFUSAL)):
            raise NoiseError(f"the answer to a handshake has {len(answer)} bytes: expected {ANSWER_BYTES}")
        fields = _Fields(answer)
        state = self._state
        ephemeral_ciphertext = fields.take(MLKEM_CIPHERTEXT_BYTES)
        state.mix_hash(ephemeral_ciphertext)
        state.mix_key(self._ephemeral.decapsulate(ephemeral_ciphertext))
        static_ciphertext = state.decrypt_and_hash(fields.take(MLKEM_CIPHERTEXT_BYTES + TAG_BYTES))
        state.mix_key_and_hash(self._keys.decapsulate(static_ciphertext))
        theirs = PublicKey(fields.take(X25519_BYTES), fields.take(MLKEM_PUBLIC_BYTES))
        self._mix_hash_key(theirs)
        state.mix_key(self._ephemeral.exchange(theirs))
        state.mix_key(self._keys.exchange(theirs))
        payload = state.decrypt_and_hash(fields.rest())
        if payload == REFUSAL:
            raise Refused("the executor's registry does not accept this harness's authorization")
        if payload:
            raise NoiseError("the answer to a handshake holds something that is no refusal")
        sending, receiving = state.split()
        return Channel(sending, receiving)


class Offer(NamedTuple):
    """Who wants to connect, and what they show for it."""

    harness: PublicKey
    authorization: bytes

    def __repr__(self) -> str:
        return f"Offer({self.harness!r}, authorization hidden)"


class Responder(_Handshake):
    """The executor's side."""

    def __init__(
        self,
        keys: KeyPair,
        prologue: Prologue,
        randomness: Randomness = SystemRandomness(),  # noqa: B008 - it holds nothing
    ) -> None:
        super().__init__(keys, prologue, randomness, keys.public)
        self._ephemeral_of_harness: PublicKey
        self._harness: PublicKey

    def take_offer(self, message: bytes) -> Offer:
        """Takes the first message. Its sender has that key; whether they may connect is for others to say.

        :raises NoiseError: it is malformed, or meant for another executor, registration or stream.
        """
        self._begin(_Step.FIRST)
        if not OFFER_BYTES <= len(message) <= OFFER_BYTES + MAX_AUTHORIZATION_BYTES:
            raise NoiseError(
                f"the first message of a handshake has {len(message)} bytes: expected {OFFER_BYTES} and an "
                f"authorization of at most {MAX_AUTHORIZATION_BYTES}"
            )
        fields = _Fields(message)
        state = self._state
        ciphertext = state.decrypt_and_hash(fields.take(MLKEM_CIPHERTEXT_BYTES))
        state.mix_key_and_hash(self._keys.decapsulate(ciphertext))
        ephemeral = PublicKey(fields.take(X25519_BYTES), fields.take(MLKEM_PUBLIC_BYTES))
        self._mix_hash_key(ephemeral)
        state.mix_key(self._keys.exchange(ephemeral))
        curve = state.decrypt_and_hash(fields.take(X25519_BYTES + TAG_BYTES))
        kem = state.decrypt_and_hash(fields.take(MLKEM_PUBLIC_BYTES + TAG_BYTES))
        harness = PublicKey(curve, kem)
        state.mix_key(self._keys.exchange(harness))
        authorization = state.decrypt_and_hash(fields.rest())
        self._ephemeral_of_harness = ephemeral
        self._harness = harness
        self._step = _Step.SECOND
        return Offer(harness, authorization)

    def accept(self) -> tuple[bytes, Channel]:
        """The second message, and the channel that it opens."""
        answer = self._answer(b"")
        receiving, sending = self._state.split()
        return answer, Channel(sending, receiving)

    def refuse(self) -> bytes:
        """A second message that tells the harness that the registry said no."""
        return self._answer(REFUSAL)

    def _answer(self, payload: bytes) -> bytes:
        self._begin(_Step.SECOND)
        state = self._state
        ephemeral_kem = self._randomness.encapsulate(self._ephemeral_of_harness)
        parts = [ephemeral_kem.ciphertext]
        state.mix_hash(ephemeral_kem.ciphertext)
        state.mix_key(ephemeral_kem.secret)
        static_kem = self._randomness.encapsulate(self._harness)
        parts.append(state.encrypt_and_hash(static_kem.ciphertext))
        state.mix_key_and_hash(static_kem.secret)
        ephemeral = self._randomness.key_pair()
        self._mix_hash_key(ephemeral.public)
        parts += [ephemeral.public.x25519, ephemeral.public.mlkem768]
        state.mix_key(ephemeral.exchange(self._ephemeral_of_harness))
        state.mix_key(ephemeral.exchange(self._harness))
        parts.append(state.encrypt_and_hash(payload))
        return b"".join(parts)


class _Fields:
    """A message, cut from the front."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._at = 0

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        return self._message[start : self._at]

    def rest(self) -> bytes:
        return self._message[self._at :]


def _sha256(*parts: bytes) -> bytes:
    digest = Hash(SHA256())
    for part in parts:
        digest.update(part)
    return digest.finalize()
