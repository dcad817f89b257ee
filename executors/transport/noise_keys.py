"""Hybrid keys of the encrypted relay: X25519 and ML-KEM-768, always both, never one alone.

Whatever is secret here shows nothing of itself in a repr, in a log or in a traceback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NoReturn, Protocol, Self

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from executors.protocol import base64

SUITE = "Noise_hybridIK_X25519+MLKEM768_AESGCM_SHA256"
"""What the JSON of a key says of its kind; the protocol's own name is spelt without the X."""

X25519_BYTES = 32
MLKEM_PUBLIC_BYTES = 1184
MLKEM_SEED_BYTES = 64
MLKEM_CIPHERTEXT_BYTES = 1088
SECRET_BYTES = 32


class NoiseError(Exception):
    """Something of the encrypted relay is not as it must be; whatever it belongs to has failed for good.

    The text never holds a key, a plaintext or an authorization.
    """


class Secret:
    """32 secret bytes.

    :raises NoiseError: *value* has another length.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = check_length("a secret", value, SECRET_BYTES)

    def reveal(self) -> bytes:
        """The bytes, for a primitive that needs them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class WireKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key as the registry has it."""

    suite: str
    x25519_public_key: str
    mlkem768_public_key: str


@dataclass(frozen=True)
class PublicKey:
    """Who somebody is: both public keys.

    :ivar x25519: 32 bytes.
    :ivar mlkem768: 1184 bytes.
    :raises NoiseError: one of them is no key, or has another length.
    """

    x25519: bytes
    mlkem768: bytes

    def __post_init__(self) -> None:
        check_length("an X25519 public key", self.x25519, X25519_BYTES)
        check_length("an ML-KEM-768 public key", self.mlkem768, MLKEM_PUBLIC_BYTES)
        _ = self._kem, self._curve

    @classmethod
    def from_wire(cls, wire: WireKey) -> Self:
        """:raises NoiseError: the suite is another one, or a field is no key in base64."""
        if wire.suite != SUITE:
            raise NoiseError(f"key of the suite {wire.suite[:80]!r}: expected {SUITE}")
        return cls(
            _from_base64("x25519_public_key", wire.x25519_public_key),
            _from_base64("mlkem768_public_key", wire.mlkem768_public_key),
        )

    def to_wire(self) -> WireKey:
        return WireKey(SUITE, base64.encode(self.x25519).decode(), base64.encode(self.mlkem768).decode())

    @property
    def fingerprint(self) -> str:
        """The first 32 hexadecimal digits of a SHA-256 over both keys; no other keys have the same."""
        return hashlib.sha256(self.x25519 + self.mlkem768).hexdigest()[:32]

    def encapsulate(self) -> Encapsulation:
        """A fresh secret that only the owner of this key can find from the ciphertext."""
        secret, ciphertext = self._kem.encapsulate()
        return Encapsulation(ciphertext, Secret(secret))

    @cached_property
    def _kem(self) -> MLKEM768PublicKey:
        try:
            return MLKEM768PublicKey.from_public_bytes(self.mlkem768)
        except ValueError as error:
            raise NoiseError("an ML-KEM-768 public key is malformed") from error
        except UnsupportedAlgorithm as error:
            raise NoiseError(f"ML-KEM-768 is missing here: {error}; install `cryptography` >= 48") from error

    @cached_property
    def _curve(self) -> X25519PublicKey:
        return X25519PublicKey.from_public_bytes(self.x25519)

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint})"


class KeyPair:
    """Both private keys of one side, static or ephemeral.

    :param x25519: 32 bytes.
    :param mlkem768: the seed of FIPS 203, 64 bytes (d, then z).
    :raises NoiseError: a length is another one.
    """

    __slots__ = ("_curve", "_kem", "public")

    def __init__(self, x25519: bytes, mlkem768: bytes) -> None:
        check_length("an X25519 private key", x25519, X25519_BYTES)
        check_length("an ML-KEM-768 seed", mlkem768, MLKEM_SEED_BYTES)
        self._take(X25519PrivateKey.from_private_bytes(x25519), MLKEM768PrivateKey.from_seed_bytes(mlkem768))

    @classmethod
    def generate(cls) -> Self:
        """Fresh keys from the operating system's generator."""
        pair = cls.__new__(cls)
        pair._take(X25519PrivateKey.generate(), MLKEM768PrivateKey.generate())
        return pair

    def _take(self, curve: X25519PrivateKey, kem: MLKEM768PrivateKey) -> None:
        self._curve = curve
        self._kem = kem
        self.public = PublicKey(curve.public_key().public_bytes_raw(), kem.public_key().public_bytes_raw())

    def exchange(self, peer: PublicKey) -> Secret:
        """X25519.

        :raises NoiseError: the peer's key is one of those whose result is always zero (RFC 7748 section 6.1).
        """
        try:
            return Secret(self._curve.exchange(peer._curve))
        except ValueError as error:
            raise NoiseError("an X25519 public key is of low order") from error

    def decapsulate(self, ciphertext: bytes) -> Secret:
        """The secret of an ML-KEM-768 *ciphertext*; a forged one gives a wrong secret, never an error.

        :raises NoiseError: its length is not 1088.
        """
        check_length("an ML-KEM-768 ciphertext", ciphertext, MLKEM_CIPHERTEXT_BYTES)
        return Secret(self._kem.decapsulate(ciphertext))

    def __repr__(self) -> str:
        return f"KeyPair({self.public.fingerprint}, private keys hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("private keys are not pickled")


class Encapsulation(NamedTuple):
    """A ciphertext of ML-KEM-768, 1088 bytes, and the secret in it."""

    ciphertext: bytes
    secret: Secret

    def __repr__(self) -> str:
        return "Encapsulation(…)"


class Randomness(Protocol):
    """What a handshake draws; handed in, so that a recorded one can be repeated."""

    def key_pair(self) -> KeyPair: ...

    def encapsulate(self, key: PublicKey) -> Encapsulation: ...


class SystemRandomness:
    """The operating system's generator."""

    def key_pair(self) -> KeyPair:
        return KeyPair.generate()

    def encapsulate(self, key: PublicKey) -> Encapsulation:
        return key.encapsulate()


def decode_key(value: Mapping[str, object] | bytes) -> PublicKey:
    """A public key from JSON, as text or decoded.

    :raises NoiseError: it has another form, unknown fields, or another suite.
    """
    try:
        if isinstance(value, bytes):
            wire = msgspec.json.decode(value, type=WireKey)
        else:
            wire = msgspec.convert(value, WireKey)
    except msgspec.DecodeError as error:
        raise NoiseError(f"malformed public key: {error}") from error
    return PublicKey.from_wire(wire)


def check_length(what: str, value: bytes, expected: int) -> bytes:
    """Returns *value*.

    :raises NoiseError: it has not the *expected* number of bytes.
    """
    if len(value) != expected:
        raise NoiseError(f"{what} has {len(value)} bytes: expected {expected}")
    return value


def _from_base64(field: str, text: str) -> bytes:
    try:
        return base64.decode(text)
    except ValueError as error:
        raise NoiseError(f"`{field}` is not base64: {error}") from error
