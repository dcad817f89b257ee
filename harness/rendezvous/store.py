"""What outlives the service: tokens, registrations and authorizations, in an SQLite database.

Of secrets only the SHA-256 is kept. Every call is short and blocks; one connection serves the whole service.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.client.errors import ClientError
from harness.rendezvous.signing import Role, hash_of, new_id, new_secret

_VERSION: Final = 1
_SCHEMA: Final = """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE tokens (
        id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, environment TEXT NOT NULL, role TEXT NOT NULL,
        created REAL NOT NULL, expires REAL, revoked REAL
    ) WITHOUT ROWID;
    CREATE TABLE registrations (
        environment TEXT PRIMARY KEY, id TEXT NOT NULL, key TEXT NOT NULL, profile TEXT NOT NULL,
        token TEXT NOT NULL, created REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE replaced (
        environment TEXT NOT NULL, key_hash BLOB NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (environment, key_hash)
    ) WITHOUT ROWID;
    CREATE TABLE grants (
        id TEXT PRIMARY KEY, environment TEXT NOT NULL, registration TEXT NOT NULL, token TEXT NOT NULL,
        key BLOB NOT NULL, authorization_hash BLOB NOT NULL UNIQUE, expires REAL NOT NULL, connected REAL,
        stream TEXT, validated REAL
    ) WITHOUT ROWID;
    CREATE INDEX grants_by_expiry ON grants (expires);
"""
# A secret that is found where it does not belong is known by it.
_TOKEN_PREFIX: Final = "crossexec_"
# Of an environment: who started so many executors since has long ended the first.
_MOST_REPLACED: Final = 1000
_TOKEN: Final = "id, environment, role, created, expires, revoked"


class StoreFailed(ClientError):
    """The database cannot be used; the text says which and why."""


@dataclass(frozen=True)
class Token:
    """Who may do what in one environment.

    :ivar role: ``executor`` may register and validate, ``harness`` may connect.
    :ivar expires: seconds since the epoch; None for never.
    :ivar revoked: since when it counts no more; None if it counts.
    """

    id: str
    environment: str
    role: Role
    created: float
    expires: float | None
    revoked: float | None

    def is_valid(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True)
class Registration:
    """The executor that an environment has at present.

    :ivar key: its public key, as JSON.
    :ivar token: id of the token that it came with.
    """

    environment: str
    id: str
    key: str
    profile: str
    token: str


@dataclass(frozen=True)
class Grant:
    """What a harness was given: to connect once, and to be validated once.

    :ivar key: SHA-256 of its public key.
    :ivar expires: seconds since the epoch.
    :ivar stream: id of the stream that its connection carries, once it is known.
    :ivar is_validated: whether its authorization has been used.
    """

    id: str
    environment: str
    registration: str
    token: str
    key: bytes
    expires: float
    stream: str | None
    is_validated: bool


class Store:
    """One database.

    :param connection: to it; use :func:`open_store`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._database = connection

    # Settings

    def renew_signing_key(self) -> None:
        """Has the next :meth:`signing_key` make another one: URLs that were signed before count no more."""
        with self._database:
            self._database.execute("DELETE FROM settings WHERE name = 'signing-key'")

    def signing_key(self) -> bytes:
        """Returns the key that URLs are signed with; it is made when it is first asked for."""
        with self._database:
            self._database.execute(
                "INSERT OR IGNORE INTO settings VALUES ('signing-key', ?)", (os.urandom(32),)
            )
        (key,) = self._database.execute("SELECT value FROM settings WHERE name = 'signing-key'").fetchone()
        return bytes(key)

    # Tokens

    def add_token(self, environment: str, role: Role, now: float, expires: float | None) -> tuple[Token, str]:
        """Returns a new token, and its text, which is told this once and not kept."""
        token = Token(new_id("tok"), environment, role, now, expires, None)
        secret = f"{_TOKEN_PREFIX}{new_secret()}"
        with self._database:
            self._database.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (token.id, hash_of(secret), environment, role, now, expires),
            )
        return token, secret

    def find_token(self, secret: str) -> Token | None:
        """Returns the token of that text, whether it still counts or not."""
        return self._token("hash = ?", hash_of(secret))

    def token(self, id: str) -> Token | None:
        return self._token("id = ?", id)

    def _token(self, condition: str, value: str | bytes) -> Token | None:
        row = self._database.execute(f"SELECT {_TOKEN} FROM tokens WHERE {condition}", (value,)).fetchone()
        return Token(*row) if row else None

    def tokens(self) -> list[Token]:
        rows = self._database.execute(f"SELECT {_TOKEN} FROM tokens ORDER BY environment, created")
        return [Token(*row) for row in rows]

    def valid_tokens(self, now: float) -> set[str]:
        """Returns the ids of those that count."""
        rows = self._database.execute(
            "SELECT id FROM tokens WHERE revoked IS NULL AND (expires IS NULL OR expires > ?)", (now,)
        )
        return {id for (id,) in rows}

    def revoke_token(self, id: str, now: float) -> bool:
        """Returns whether there was one that counted."""
        with self._database:
            done = self._database.execute(
                "UPDATE tokens SET revoked = ? WHERE id = ? AND revoked IS NULL", (now, id)
            )
        return done.rowcount == 1

    # Registrations

    def register(self, environment: str, key: str, profile: str, token: str, now: float) -> Registration:
        """Returns the new registration, which takes the place of an earlier one.

        The earlier one's key, if it is another, is from now on a replaced one, and the new one's none.
        """
        made = Registration(environment, new_id("reg"), key, profile, token)
        earlier = self.registration(environment)
        with self._database:
            if earlier is not None and earlier.key != key:
                self._replace(environment, earlier.key, key, now)
            self._database.execute(
                "INSERT OR REPLACE INTO registrations VALUES (?, ?, ?, ?, ?, ?)",
                (environment, made.id, key, profile, token, now),
            )
        return made

    def _replace(self, environment: str, earlier: str, key: str, now: float) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)", (environment, hash_of(earlier), now)
        )
        self._database.execute(
            "DELETE FROM replaced WHERE environment = ? AND (key_hash = ? OR at < (SELECT at FROM replaced"
            " WHERE environment = ? ORDER BY at DESC LIMIT 1 OFFSET ?))",
            (environment, hash_of(key), environment, _MOST_REPLACED - 1),
        )

    def was_replaced(self, environment: str, key: str) -> bool:
        """Whether the executor with this key was there, and another one has taken its place since."""
        row = self._database.execute(
            "SELECT 1 FROM replaced WHERE environment = ? AND key_hash = ?", (environment, hash_of(key))
        ).fetchone()
        return row is not None

    def registration(self, environment: str) -> Registration | None:
        row = self._database.execute(
            "SELECT environment, id, key, profile, token FROM registrations WHERE environment = ?",
            (environment,),
        ).fetchone()
        return Registration(*row) if row else None

    # Grants

    def add_grant(
        self, registration: Registration, token: str, key: bytes, expires: float
    ) -> tuple[Grant, str]:
        """Returns a new grant, and its authorization, which is told this once and not kept."""
        secret = new_secret()
        made = Grant(
            new_id("grant"), registration.environment, registration.id, token, key, expires, None, False
        )
        with self._database:
            self._database.execute(
                "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                (made.id, made.environment, made.registration, token, key, hash_of(secret), expires),
            )
        return made, secret

    def connect_grant(self, id: str, now: float) -> bool:
        """Notes that its URL is used; returns whether this is the first time."""
        with self._database:
            done = self._database.execute(
                "UPDATE grants SET connected = ? WHERE id = ? AND connected IS NULL", (now, id)
            )
        return done.rowcount == 1

    def bind_grant(self, id: str, stream: str) -> bool:
        """Notes which stream its connection carries; returns whether there was none yet."""
        with self._database:
            done = self._database.execute(
                "UPDATE grants SET stream = ? WHERE id = ? AND stream IS NULL", (stream, id)
            )
        return done.rowcount == 1

    def find_grant(self, authorization: str) -> Grant | None:
        row = self._database.execute(
            "SELECT id, environment, registration, token, key, expires, stream, validated IS NOT NULL"
            " FROM grants WHERE authorization_hash = ?",
            (hash_of(authorization),),
        ).fetchone()
        return Grant(*row) if row else None

    def validate_grant(self, id: str, now: float) -> bool:
        """Notes that its authorization is used; returns whether this is the first time."""
        with self._database:
            done = self._database.execute(
                "UPDATE grants SET validated = ? WHERE id = ? AND validated IS NULL", (now, id)
            )
        return done.rowcount == 1

    def forget_grants(self, before: float) -> int:
        """Removes those that expired before that; returns how many."""
        with self._database:
            return self._database.execute("DELETE FROM grants WHERE expires < ?", (before,)).rowcount


@contextmanager
def open_store(path: Path, busy_seconds: float = 5.0) -> Iterator[Store]:
    """The database in that file, which is made if it is not there, for its owner alone.

    :param busy_seconds: how long a call may wait, and block, while another program writes.
    :raises StoreFailed: it cannot be opened, is damaged, or is not one of this service.
    """
    try:
        # SQLite gives the files beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=busy_seconds)
        try:
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise StoreFailed(f"the database {path} cannot be used: {error}; {_remedy(error)}") from error
    try:
        yield Store(connection)
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it is of version {version}, and this program knows {_VERSION}")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables != (0,):
        raise sqlite3.DatabaseError("it is another program's")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {found}")
    connection.execute("PRAGMA journal_mode = WAL")
    # What a power cut may take away is at most the last moments, never the database.
    connection.execute("PRAGMA synchronous = NORMAL")
    if version == 0:
        with connection:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _remedy(error: Exception) -> str:
    if isinstance(error, sqlite3.OperationalError | OSError):
        if "locked" in str(error):
            return "end what writes to it, such as an SQLite shell, and try again"
        return "name a file that can be written, by --database"
    return "restore it from a backup, or name another file by --database, where tokens have to be made anew"
