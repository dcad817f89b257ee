"""What must be in no log: looked for in all that was logged, at any level, and in what went through."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs, urlsplit

from executors.transport.noise_keys import KeyPair
from fixtures.meddler import Meddler

_LEAST: Final = 12


def spellings(secret: bytes) -> dict[str, bytes]:
    """*secret*, as it may stand in a log or in a frame.

    Base64 of something longer that holds it is found too: whatever stands before, one of three cuts of it
    is written the same.
    """
    found = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for skipped in range(3):
        # The last group may hold what follows.
        whole = secret[skipped : skipped + (len(secret) - skipped) // 3 * 3]
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            found[f"{name} from {skipped}"] = encode(whole)
    found["repr"] = repr(secret)[2:-1].encode()
    return found


def found_in(text: bytes, secrets: Iterable[bytes]) -> list[str]:
    """How, and which by its first bytes, *secrets* stand in *text*."""
    hits = []
    for secret in secrets:
        assert len(secret) >= _LEAST, "so short a secret is found by chance"
        hits += [f"{secret[:6]!r}…: {how}" for how, spelt in spellings(secret).items() if spelt in text]
    return hits


def told(meddler: Meddler) -> set[bytes]:
    """The secrets that have gone through the registry: bearers, authorizations, signatures of URLs."""
    secrets: set[bytes] = set()
    for asked in meddler.asked:
        secrets.add(asked.headers.get("Authorization", "").removeprefix("Bearer ").encode())
        texts = [asked.body, asked.reply.body if asked.reply is not None else b""]
        for text in texts:
            try:
                fields = json.loads(text or b"{}")
            except ValueError:
                continue
            secrets.add(str(fields.get("harness_key_authorization", "")).encode())
            secrets |= set(
                map(str.encode, parse_qs(urlsplit(str(fields.get("url", ""))).query).get("signature", []))
            )
    for line in meddler.lines:
        secrets |= set(map(str.encode, parse_qs(line.query).get("signature", [])))
    return {secret for secret in secrets if len(secret) >= _LEAST}


class Logged(logging.Handler):
    """All that this process logs, at every level.

    :ivar private: the private keys that were made here meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.lines: list[str] = []
        self.private: set[bytes] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> bytes:
        return "\n".join(self.lines).encode(errors="backslashreplace")

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Logs everything, and keeps the private keys that are made."""
        root = logging.getLogger()
        level, take = root.level, KeyPair._take

        def keep(pair: KeyPair, curve: object, kem: object) -> None:
            self.private.add(curve.private_bytes_raw())  # type: ignore[attr-defined]
            self.private.add(kem.private_bytes_raw())  # type: ignore[attr-defined]
            take(pair, curve, kem)  # type: ignore[arg-type]

        root.addHandler(self)
        root.setLevel(logging.DEBUG)
        KeyPair._take = keep  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            KeyPair._take = take  # type: ignore[method-assign]
            root.setLevel(level)
            root.removeHandler(self)
