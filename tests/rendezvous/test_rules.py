"""The rules without I/O: tickets, limits, streams, and what the database keeps."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from harness.rendezvous.limits import Limiter, Rate
from harness.rendezvous.signing import InvalidTicket, Ticket, hash_of
from harness.rendezvous.store import Store, StoreFailed, open_store
from harness.rendezvous.switchboard import Refused, Switchboard

KEY = b"k" * 32
TEXT = st.text(max_size=20)


def ticket(environment: str = "box", grant: str = "g", expires: int = 100) -> Ticket:
    return Ticket("harness", environment, "reg", grant, "tok", expires)


# Tickets


@given(environment=TEXT, grant=TEXT, expires=st.integers(1, 2**40))
def test_a_ticket_comes_back_as_it_was(environment: str, grant: str, expires: int) -> None:
    made = ticket(environment, grant, expires)
    assert Ticket.verify(dict(parse_qsl(made.query(KEY), keep_blank_values=True)), KEY) == made


@given(first=st.tuples(TEXT, TEXT), second=st.tuples(TEXT, TEXT))
def test_no_two_tickets_have_one_signature(first: tuple[str, str], second: tuple[str, str]) -> None:
    made = [dict(parse_qsl(ticket(*each).query(KEY), keep_blank_values=True)) for each in (first, second)]
    assert (made[0]["signature"] == made[1]["signature"]) == (first == second)


@given(data=st.data())
def test_a_ticket_with_a_character_changed_is_none(data: st.DataObject) -> None:
    query = dict(parse_qsl(ticket().query(KEY)))
    name = data.draw(st.sampled_from(sorted(query)))
    at = data.draw(st.integers(0, len(query[name]) - 1))
    other = data.draw(st.characters().filter(lambda c: c != query[name][at]))
    query[name] = query[name][:at] + other + query[name][at + 1 :]
    with pytest.raises(InvalidTicket, match="not one that"):
        Ticket.verify(query, KEY)


def test_a_ticket_of_another_service_is_none() -> None:
    query = dict(parse_qsl(ticket().query(KEY)))
    assert Ticket.verify(query, KEY)
    with pytest.raises(InvalidTicket, match="not one that"):
        Ticket.verify(query, b"x" * 32)
    with pytest.raises(InvalidTicket):
        Ticket.verify({}, KEY)


# Limits


@given(
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
    rate=st.floats(0.1, 10),
    burst=st.integers(1, 20),
)
def test_nobody_gets_more_than_the_rate(gaps: list[float], rate: float, burst: int) -> None:
    limiter, now, taken = Limiter(Rate(rate, burst)), 0.0, 0
    for gap in gaps:
        now += gap
        taken += limiter.wait("who", now) == 0
        assert taken <= burst + now * rate + 1e-6


@given(rate=st.floats(0.1, 10), burst=st.integers(1, 20))
def test_after_the_time_that_is_told_one_is_taken(rate: float, burst: int) -> None:
    limiter = Limiter(Rate(rate, burst))
    while not (wait := limiter.wait("who", 0.0)):
        pass
    assert limiter.wait("another", 0.0) == 0
    assert limiter.wait("who", wait + 1e-6) == 0


# Streams


class Streams(RuleBasedStateMachine):
    """Any order of connections, frames and ends, against a plain list of who has which stream."""

    harnesses = Bundle("harnesses")

    def __init__(self) -> None:
        super().__init__()
        self.board: Switchboard[int] = Switchboard()
        self.next = 0
        self.executors: dict[str, tuple[int, str]] = {}
        self.live: dict[int, tuple[str, str | None]] = {}

    def new(self) -> int:
        self.next += 1
        return self.next

    @rule(environment=st.sampled_from("ab"), registration=st.sampled_from("xy"))
    def executor_comes(self, environment: str, registration: str) -> None:
        link = self.new()
        ended = set(self.board.add_executor(link, environment, registration))
        expected = {each for each, (of, _) in self.live.items() if of == environment}
        if environment in self.executors:
            expected.add(self.executors[environment][0])
        assert ended == expected
        self.live = {each: told for each, told in self.live.items() if each not in ended}
        self.executors[environment] = link, registration

    @rule(target=harnesses, environment=st.sampled_from("ab"), registration=st.sampled_from("xy"))
    def harness_comes(self, environment: str, registration: str) -> int:
        link = self.new()
        if self.executors.get(environment, (0, ""))[1] == registration:
            self.board.add_harness(link, environment, registration)
            self.live[link] = environment, None
        else:
            with pytest.raises(Refused):
                self.board.add_harness(link, environment, registration)
        return link

    @rule(link=harnesses, stream=st.sampled_from(["", "s", "t"]))
    def harness_sends(self, link: int, stream: str) -> None:
        if link not in self.live:
            return
        environment, own = self.live[link]
        taken = any(told == (environment, stream) for told in self.live.values())
        if stream and (own == stream or (own is None and not taken)):
            assert self.board.from_harness(link, stream) == (self.executors[environment][0], own is None)
            self.live[link] = environment, stream
        else:
            with pytest.raises(Refused):
                self.board.from_harness(link, stream)

    @precondition(lambda self: self.executors)
    @rule(stream=st.sampled_from(["s", "t"]))
    def executors_send(self, stream: str) -> None:
        for environment, (link, _) in self.executors.items():
            owners = [each for each, told in self.live.items() if told == (environment, stream)]
            assert self.board.from_executor(link, stream) == (owners[0] if owners else None)

    @rule(link=consumes(harnesses))
    def harness_goes(self, link: int) -> None:
        left = self.board.remove(link)
        environment, own = self.live.pop(link, ("", None))
        assert left.harnesses == ()
        assert (left.executor, left.stream) == (
            (self.executors[environment][0], own) if own is not None else (None, None)
        )

    @rule(environment=st.sampled_from("ab"))
    def executor_goes(self, environment: str) -> None:
        if environment in self.executors:
            left = self.board.remove(self.executors.pop(environment)[0])
            gone = {each for each, (of, _) in self.live.items() if of == environment}
            assert set(left.harnesses) == gone
            self.live = {each: told for each, told in self.live.items() if each not in gone}

    @invariant()
    def counts_are_right(self) -> None:
        assert self.board.executors == len(self.executors)
        assert self.board.harnesses == len(self.live)
        assert self.board.streams == sum(own is not None for _, own in self.live.values())


TestStreams = Streams.TestCase


# The database


def test_no_secret_is_in_the_database(tmp_path: Path) -> None:
    file = tmp_path / "rendezvous.sqlite"
    with open_store(file) as store:
        token, secret = store.add_token("box", "executor", 0.0, None)
        registration = store.register("box", "{}", "profile", token.id, 0.0)
        _, authorization = store.add_grant(registration, token.id, b"key", 10.0)
    content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert token.id.encode() in content and hash_of(secret) in content
    assert secret.encode() not in content and authorization.encode() not in content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_kept_outlives_the_service(tmp_path: Path) -> None:
    with open_store(tmp_path / "db") as store:
        token, secret = store.add_token("box", "executor", 0.0, 50.0)
        registration = store.register("box", "{}", "profile", token.id, 0.0)
        grant, authorization = store.add_grant(registration, token.id, b"key", 10.0)
        assert store.connect_grant(grant.id, 1.0) and store.bind_grant(grant.id, "s")
        assert store.validate_grant(grant.id, 2.0)
        key = store.signing_key()
    with open_store(tmp_path / "db") as store:
        assert store.find_token(secret) == token
        assert store.registration("box") == registration
        assert store.signing_key() == key
        found = store.find_grant(authorization)
        assert found is not None and (found.stream, found.is_validated) == ("s", True)
        assert not store.connect_grant(grant.id, 3.0)
        assert not store.bind_grant(grant.id, "t")
        assert not store.validate_grant(grant.id, 3.0)


def test_a_token_counts_until_it_expires_or_is_revoked(store: Store) -> None:
    token, _ = store.add_token("box", "harness", 0.0, 50.0)
    assert token.is_valid(49.9) and not token.is_valid(50.0)
    assert store.revoke_token(token.id, 10.0) and not store.revoke_token(token.id, 11.0)
    found = store.token(token.id)
    assert found is not None and not found.is_valid(10.0)
    assert not store.revoke_token("tok_none", 1.0)
    assert store.find_token("crossexec_guess") is None


def test_what_has_expired_is_forgotten(store: Store) -> None:
    registration = store.register("box", "{}", "profile", "tok", 0.0)
    kept = [store.add_grant(registration, "tok", b"key", expires)[1] for expires in (10.0, 20.0)]
    assert store.forget_grants(15.0) == 1
    assert [store.find_grant(each) is not None for each in kept] == [False, True]


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    made = {name: tmp_path / name for name in ("text", "later")}
    made["text"].write_text("no database " * 100)
    made["none/db"] = tmp_path / "none/db"
    database = sqlite3.connect(made["later"])
    database.execute("PRAGMA user_version = 99")
    database.close()
    told = {
        "text": "text cannot be used: file is not a database; restore it",
        "later": "version 99, and this program knows 1",
        "none/db": "No such file",
    }
    for name, words in told.items():
        with pytest.raises(StoreFailed, match=words), open_store(made[name]):
            pass
