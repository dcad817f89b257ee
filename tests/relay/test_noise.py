import copy
import logging
import pickle

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.transport.noise import (
    ANSWER_BYTES,
    MAX_AUTHORIZATION_BYTES,
    MAX_PLAINTEXT_BYTES,
    OFFER_BYTES,
    REFUSAL,
    Channel,
    CipherState,
    Initiator,
    Prologue,
    Refused,
    Responder,
)
from executors.transport.noise_keys import SUITE, KeyPair, NoiseError, PublicKey, Secret, decode_key
from tests.relay.handshakes import Replayed, Vector, load

OURS = load("ours")
HARNESS = OURS.harness_private.pair()
assert OURS.executor_private is not None and OURS.executor_draws is not None
EXECUTOR_PRIVATE, EXECUTOR_DRAWS = OURS.executor_private, OURS.executor_draws
EXECUTOR = EXECUTOR_PRIVATE.pair()
PROLOGUE = Prologue(*OURS.prologue)


def initiator(vector: Vector = OURS) -> Initiator:
    return Initiator(
        vector.harness_private.pair(),
        PublicKey.from_wire(vector.executor),
        Prologue(*vector.prologue),
        Replayed(vector.harness_draws),
    )


def responder(prologue: Prologue = PROLOGUE, keys: KeyPair = EXECUTOR) -> Responder:
    return Responder(keys, prologue, Replayed(EXECUTOR_DRAWS))


def channels() -> tuple[Channel, Channel]:
    """Of the harness, of the executor."""
    harness, executor = initiator(), responder()
    executor.take_offer(harness.offer(OURS.authorization))
    answer, channel = executor.accept()
    return harness.finish(answer), channel


@pytest.mark.parametrize("name", ["ours", "peer"])
def test_a_recorded_handshake_is_made_again_by_the_harness(name: str) -> None:
    vector = load(name)
    handshake = initiator(vector)
    assert handshake.offer(vector.authorization) == vector.offer
    channel = handshake.finish(vector.answer)
    assert vector.to_executor and vector.to_harness
    for exchange in vector.to_executor:
        assert channel.encrypt(exchange.plaintext) == exchange.ciphertext
    for exchange in vector.to_harness:
        assert channel.decrypt(exchange.ciphertext) == exchange.plaintext


def test_a_recorded_handshake_is_made_again_by_the_executor() -> None:
    handshake = responder()
    assert handshake.take_offer(OURS.offer) == (HARNESS.public, OURS.authorization)
    answer, channel = handshake.accept()
    assert answer == OURS.answer
    for exchange in OURS.to_executor:
        assert channel.decrypt(exchange.ciphertext) == exchange.plaintext
    for exchange in OURS.to_harness:
        assert channel.encrypt(exchange.plaintext) == exchange.ciphertext


@pytest.mark.parametrize("name", ["ours-refused", "peer-refused"])
def test_a_recorded_refusal_ends_the_handshake(name: str) -> None:
    vector = load(name)
    handshake = initiator(vector)
    assert handshake.offer(vector.authorization) == vector.offer
    with pytest.raises(Refused):
        handshake.finish(vector.answer)
    with pytest.raises(NoiseError, match="has failed"):
        handshake.finish(vector.answer)


def test_a_refusal_is_made_again() -> None:
    vector = load("ours-refused")
    assert vector.executor_private is not None and vector.executor_draws is not None
    handshake = Responder(
        vector.executor_private.pair(), Prologue(*vector.prologue), Replayed(vector.executor_draws)
    )
    handshake.take_offer(vector.offer)
    assert handshake.refuse() == vector.answer
    with pytest.raises(NoiseError):
        handshake.accept()


def test_messages_have_the_lengths_of_the_pattern() -> None:
    assert OFFER_BYTES == 3568
    assert ANSWER_BYTES == 3424
    assert len(OURS.offer) == 3568 + len(OURS.authorization)
    assert len(OURS.answer) == 3424


def test_the_prologue_counts_its_fields_in_eight_bytes() -> None:
    assert Prologue("é", "", "s").encode() == (
        b"\0\0\0\0\0\0\0\x20codex-exec-server-relay-noise/v1"
        b"\0\0\0\0\0\0\0\2\xc3\xa9"
        b"\0\0\0\0\0\0\0\0"
        b"\0\0\0\0\0\0\0\1s"
    )


def test_an_answer_says_nothing_but_no() -> None:
    harness, executor = initiator(), responder()
    executor.take_offer(harness.offer(OURS.authorization))
    answer = executor._answer(b"x" * len(REFUSAL))
    with pytest.raises(NoiseError, match="something that is no refusal"):
        harness.finish(answer)


def test_two_handshakes_have_nothing_in_common() -> None:
    offers = [Initiator(HARNESS, EXECUTOR.public, PROLOGUE).offer(b"") for _ in range(2)]
    assert offers[0][:32] != offers[1][:32]
    assert offers[0][1088 : 1088 + 32] != offers[1][1088 : 1088 + 32]
    answers = []
    for offer in offers:
        executor = Responder(EXECUTOR, PROLOGUE)
        executor.take_offer(offer)
        answers.append(executor.accept()[0])
    assert answers[0][:32] != answers[1][:32]


@pytest.mark.parametrize("length", [0, MAX_AUTHORIZATION_BYTES])
def test_an_authorization_may_be_so_long(length: int) -> None:
    offer = initiator().offer(b"a" * length)
    assert responder().take_offer(offer).authorization == b"a" * length


def test_a_longer_authorization_is_refused_on_both_sides() -> None:
    with pytest.raises(NoiseError, match="at most 4096"):
        initiator().offer(b"a" * (MAX_AUTHORIZATION_BYTES + 1))
    with pytest.raises(NoiseError, match="at most 4096"):
        responder().take_offer(bytes(OFFER_BYTES + MAX_AUTHORIZATION_BYTES + 1))


@settings(deadline=None)
@given(st.integers(0, len(OURS.offer) * 8 - 1))
def test_an_offer_with_any_bit_flipped_is_refused(bit: int) -> None:
    handshake = responder()
    with pytest.raises(NoiseError):
        handshake.take_offer(flipped(OURS.offer, bit))
    with pytest.raises(NoiseError, match="has failed"):
        handshake.accept()


@settings(deadline=None)
@given(st.integers(0, len(OURS.answer) * 8 - 1))
def test_an_answer_with_any_bit_flipped_is_refused(bit: int) -> None:
    handshake = initiator()
    handshake.offer(OURS.authorization)
    with pytest.raises(NoiseError):
        handshake.finish(flipped(OURS.answer, bit))
    with pytest.raises(NoiseError, match="has failed"):
        handshake.finish(OURS.answer)


@settings(deadline=None)
@given(st.integers(0, len(OURS.offer) - 1), st.binary(min_size=1, max_size=64))
def test_an_offer_cut_or_prolonged_is_refused(length: int, more: bytes) -> None:
    with pytest.raises(NoiseError):
        responder().take_offer(OURS.offer[:length])
    with pytest.raises(NoiseError):
        responder().take_offer(OURS.offer + more)


@settings(deadline=None)
@given(st.integers(0, len(OURS.answer) - 1), st.binary(min_size=1, max_size=64))
def test_an_answer_cut_or_prolonged_is_refused(length: int, more: bytes) -> None:
    for answer in (OURS.answer[:length], OURS.answer + more):
        handshake = initiator()
        handshake.offer(OURS.authorization)
        with pytest.raises(NoiseError):
            handshake.finish(answer)


@pytest.mark.parametrize("field", [0, 1, 2])
def test_another_environment_registration_or_stream_is_refused(field: int) -> None:
    values = list(PROLOGUE)
    values[field] += "x"
    with pytest.raises(NoiseError, match="forged"):
        responder(Prologue(*values)).take_offer(OURS.offer)


def test_fields_of_the_prologue_do_not_run_into_each_other() -> None:
    assert Prologue("ab", "c", "").encode() != Prologue("a", "bc", "").encode()


def test_another_executor_cannot_take_the_offer() -> None:
    with pytest.raises(NoiseError, match="forged"):
        responder(keys=KeyPair.generate()).take_offer(OURS.offer)


@pytest.mark.parametrize("part", ["x25519", "mlkem768_seed"])
def test_half_of_the_executors_keys_is_not_enough(part: str) -> None:
    fresh = {"x25519": b"\1" * 32, "mlkem768_seed": b"\1" * 64}
    mixed = {"x25519": EXECUTOR_PRIVATE.x25519, "mlkem768_seed": EXECUTOR_PRIVATE.mlkem768_seed}
    thief = KeyPair(*(mixed | {part: fresh[part]}).values())
    # It pretends to be the executor, whose public key the harness pins.
    handshake = Responder(thief, PROLOGUE)
    handshake._state = responder()._state
    with pytest.raises(NoiseError, match="forged"):
        handshake.take_offer(OURS.offer)


def test_the_answer_to_another_offer_is_refused() -> None:
    handshake = Initiator(HARNESS, EXECUTOR.public, PROLOGUE)
    handshake.offer(OURS.authorization)
    with pytest.raises(NoiseError):
        handshake.finish(OURS.answer)


@pytest.mark.parametrize("low", [bytes(32), b"\1" + bytes(31)])
def test_a_key_of_low_order_is_refused(low: bytes) -> None:
    with pytest.raises(NoiseError, match="low order"):
        Initiator(HARNESS, PublicKey(low, EXECUTOR.public.mlkem768), PROLOGUE).offer(b"")


def test_steps_happen_once_and_in_order() -> None:
    harness, executor = initiator(), responder()
    with pytest.raises(NoiseError, match="expects the first message"):
        harness.finish(OURS.answer)
    with pytest.raises(NoiseError, match="expects the first message"):
        executor.accept()
    harness.offer(b"")
    with pytest.raises(NoiseError, match="expects the second message"):
        harness.offer(b"")
    executor.take_offer(OURS.offer)
    with pytest.raises(NoiseError, match="expects the second message"):
        executor.take_offer(OURS.offer)
    executor.accept()
    for again in (executor.accept, executor.refuse):
        with pytest.raises(NoiseError, match="is over"):
            again()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.binary(max_size=300), max_size=6))
def test_a_channel_carries_both_ways(there: list[bytes], back: list[bytes]) -> None:
    harness, executor = channels()
    assert [executor.decrypt(one) for one in [harness.encrypt(each) for each in there]] == there
    assert [harness.decrypt(one) for one in [executor.encrypt(each) for each in back]] == back


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_whatever_else_a_channel_gets_ends_it(data: st.DataObject) -> None:
    harness, executor = channels()
    sent = [harness.encrypt(text) for text in (b"first", b"second", b"third")]
    good = data.draw(st.integers(0, 2), "good ones")
    for ciphertext in sent[:good]:
        executor.decrypt(ciphertext)
    bad = data.draw(
        st.one_of(
            st.integers(0, len(sent[good]) * 8 - 1).map(lambda bit: flipped(sent[good], bit)),
            st.integers(0, len(sent[good]) - 1).map(lambda length: sent[good][:length]),
            st.binary(min_size=1, max_size=20).map(lambda more: sent[good] + more),
            st.sampled_from([each for each in sent if each != sent[good]]),
            st.just(executor.encrypt(b"its own")),
        ),
        "the bad one",
    )
    with pytest.raises(NoiseError):
        executor.decrypt(bad)
    with pytest.raises(NoiseError, match="failed before"):
        executor.decrypt(sent[good])


def test_a_channel_refuses_what_is_too_long() -> None:
    harness, executor = channels()
    longest = bytes(MAX_PLAINTEXT_BYTES)
    assert executor.decrypt(harness.encrypt(longest)) == longest
    with pytest.raises(NoiseError, match="at most 65519"):
        harness.encrypt(longest + b"x")
    with pytest.raises(NoiseError, match="at most 65535"):
        executor.decrypt(bytes(65536))


def test_nonces_run_out() -> None:
    key = Secret(bytes(32))
    sender, receiver = CipherState(key, 2**64 - 2), CipherState(key, 2**64 - 2)
    assert receiver.decrypt(sender.encrypt(b"the last")) == b"the last"
    for _ in range(2):
        with pytest.raises(NoiseError, match="no nonce is left"):
            sender.encrypt(b"one more")
        with pytest.raises(NoiseError, match="no nonce is left"):
            receiver.decrypt(bytes(16))


def test_a_nonce_is_four_zeroes_and_a_big_endian_number() -> None:
    key = bytes(range(32))
    nonce = b"\0\0\0\0\1\2\3\4\5\6\7\x08"
    assert CipherState(Secret(key), 0x0102030405060708).encrypt(b"x", b"more") == AESGCM(key).encrypt(
        nonce, b"x", b"more"
    )


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_nonce_has_64_bits(value: int) -> None:
    with pytest.raises(NoiseError, match="64 bits"):
        CipherState(Secret(bytes(32)), value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Secret(bytes(31)),
        lambda: KeyPair(bytes(31), bytes(64)),
        lambda: KeyPair(bytes(32), bytes(63)),
        lambda: PublicKey(bytes(33), EXECUTOR.public.mlkem768),
        lambda: PublicKey(EXECUTOR.public.x25519, EXECUTOR.public.mlkem768 + b"x"),
        lambda: EXECUTOR.decapsulate(bytes(1087)),
    ],
)
def test_lengths_are_checked(make: object) -> None:
    assert callable(make)
    with pytest.raises(NoiseError, match="bytes: expected"):
        make()


def test_a_kem_key_whose_numbers_are_too_large_is_refused() -> None:
    # FIPS 203 section 7.2: coefficients below 3329.
    with pytest.raises(NoiseError, match="malformed"):
        PublicKey(EXECUTOR.public.x25519, b"\xff" * 1184)


def test_a_key_goes_through_json() -> None:
    text = msgspec.json.encode(EXECUTOR.public.to_wire())
    assert decode_key(text) == EXECUTOR.public
    assert msgspec.json.decode(text)["suite"] == "Noise_hybridIK_X25519+MLKEM768_AESGCM_SHA256"


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "Noise_hybridIK_25519+MLKEM768_AESGCM_SHA256"},
        {"suite": None},
        {"more": 1},
        {"x25519_public_key": "*" * 44},
        {"x25519_public_key": "AAAA"},
        {"mlkem768_public_key": ""},
        {"mlkem768_public_key": 5},
    ],
)
def test_json_of_another_form_is_no_key(change: dict[str, object]) -> None:
    wire = EXECUTOR.public.to_wire()
    good: dict[str, object] = {
        "suite": SUITE,
        "x25519_public_key": wire.x25519_public_key,
        "mlkem768_public_key": wire.mlkem768_public_key,
    }
    assert decode_key(good) == EXECUTOR.public
    with pytest.raises(NoiseError):
        decode_key(good | change)
    with pytest.raises(NoiseError):
        decode_key(msgspec.json.encode(good | change))
    with pytest.raises(NoiseError):
        decode_key({name: value for name, value in good.items() if name != "suite"})


def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    harness, executor = initiator(), responder()
    offer = executor.take_offer(harness.offer(b"an authorization"))
    answer, channel = executor.accept()
    shown = [HARNESS, EXECUTOR, harness, executor, offer, channel, harness.finish(answer), Secret(b"s" * 32)]
    shown += [harness._state, channel._sending, EXECUTOR_DRAWS.ephemeral.pair(), HARNESS.public.encapsulate()]
    with caplog.at_level(logging.DEBUG):
        for each in shown:
            logging.getLogger().debug("%r %s", each, each)
    text = caplog.text
    for secret in (b"an authorization", b"ssss", OURS.harness_private.x25519, EXECUTOR_PRIVATE.mlkem768_seed):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
    # What an object holds is hidden, whatever it is.
    assert "\\x" not in text


@pytest.mark.parametrize("secret", [HARNESS, Secret(bytes(32))], ids=["keys", "secret"])
def test_secrets_are_not_pickled(secret: object) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
