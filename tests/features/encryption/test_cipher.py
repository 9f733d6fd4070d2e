from __future__ import annotations

import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pgultra.errors import DecryptionError, EncryptionError
from pgultra.features.encryption.cipher import Box, Place
from pgultra.features.encryption.keys import KeyRing

RING = KeyRing("test_cipher", {1: bytes(range(32)), 2: bytes(range(50, 82))})
PLACE = Place("person", "email", "person.email")
TAGS = ((1, b"t" * 16),)
boxes = st.sampled_from(
    [Box(RING, PLACE), Box(RING, PLACE, "AES-256-GCM-SIV"), Box(RING, PLACE, padding=8)]
)
contexts = st.lists(st.none() | st.binary(max_size=8), max_size=3)


@given(boxes, st.binary(max_size=200), contexts, st.none() | st.binary(min_size=1))
def test_what_was_sealed_opens(
    box: Box, value: bytes, context: list[bytes | None], subject: bytes | None
) -> None:
    """
    Every value comes back, whatever its length, context and subject.
    """
    sealed = box.seal(value, tags=TAGS, context=context, subject=subject)
    assert box.open(sealed, context=context, subject=lambda: subject) == value


@given(boxes, st.binary(max_size=40), st.data())
def test_no_byte_can_be_changed(box: Box, value: bytes, data: st.DataObject) -> None:
    """
    Any flipped bit of a stored value, header and tags included, makes it fail.
    """
    sealed = bytearray(box.seal(value, tags=TAGS))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DecryptionError):
        box.open(bytes(sealed))
    with pytest.raises(DecryptionError):
        box.opener(bytes)(bytes(sealed))


@given(boxes, st.binary(max_size=40), st.data())
def test_a_value_cannot_be_cut_or_lengthened(box: Box, value: bytes, data: st.DataObject) -> None:
    """
    Any shorter or longer value fails.
    """
    sealed = box.seal(value, tags=TAGS)
    for wrong in (sealed[: data.draw(st.integers(0, len(sealed) - 1))], sealed + b"\x00"):
        with pytest.raises(DecryptionError):
            box.open(wrong)
        with pytest.raises(DecryptionError):
            box.opener(bytes, 0x50)(wrong)


@given(boxes, st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40), st.data())
def test_values_cannot_be_spliced(box: Box, one: bytes, two: bytes, data: st.DataObject) -> None:
    """
    The head of one value with the tail of another fails.
    """
    first, second = box.seal(one, tags=TAGS), box.seal(two, tags=TAGS)
    cut = data.draw(st.integers(28, min(len(first), len(second)) - 1))
    spliced = first[:cut] + second[cut:]
    assume(spliced not in (first, second))  # a last byte is the same once in 256 times
    with pytest.raises(DecryptionError):
        box.open(spliced)


@given(st.binary(max_size=40), contexts, contexts)
def test_a_value_opens_in_its_own_context_only(
    value: bytes, here: list[bytes | None], there: list[bytes | None]
) -> None:
    """
    Another row, tenant or number of context parts fails.
    """
    box = Box(RING, PLACE)
    sealed = box.seal(value, context=here)
    if here == there:
        assert box.open(sealed, context=there) == value
    else:
        with pytest.raises(DecryptionError):
            box.open(sealed, context=there)


def test_a_value_opens_in_its_own_column_only() -> None:
    """
    The pinned id counts, not the names.
    """
    sealed = Box(RING, PLACE).seal(b"x")
    with pytest.raises(DecryptionError):
        Box(RING, Place("person", "email", "person.phone")).open(sealed)
    assert Box(RING, Place("people", "mail", "person.email")).open(sealed) == b"x"


def test_no_nonce_comes_twice() -> None:
    """
    Ten thousand equal values give ten thousand different nonces and ciphertexts.
    """
    seal = Box(RING, PLACE).sealer(bytes, repr)
    sealed = [seal(b"same") for _ in range(10_000)]
    assert len({each[7:19] for each in sealed}) == len(sealed)
    assert len({each[19:] for each in sealed}) == len(sealed)


def test_the_quick_ways_do_what_the_slow_ones_do() -> None:
    """
    ``sealer`` and ``opener`` are ``seal`` and ``open``.
    """
    box = Box(RING, PLACE)
    assert box.open(box.sealer(str.encode, repr)("a")) == b"a"
    for tags, shape in (((), 0), (TAGS, 0x50), (TAGS, 0)):
        assert box.opener(bytes.decode, shape)(box.seal(b"a", tags=tags)) == "a"
    old = Box(KeyRing("test_cipher_old", {1: bytes(range(32))}), PLACE)
    assert box.opener(bytes.decode)(old.seal(b"a")) == "a"


def test_padding_hides_the_length() -> None:
    """
    Values of one to fifteen bytes are all as long as each other.
    """
    box = Box(RING, PLACE, padding=16)
    assert len({len(box.seal(b"x" * length)) for length in range(16)}) == 1


def test_a_key_that_is_not_in_the_ring() -> None:
    """
    The error names the key that the header names, and nothing else.
    """
    ring = KeyRing("test_cipher_other", {9: bytes(range(7, 39))})
    with pytest.raises(DecryptionError) as caught:
        Box(RING, PLACE).open(Box(ring, PLACE).seal(b"secret"))
    error = caught.value
    assert (error.table, error.column, error.key_id) == ("person", "email", 9)
    assert str(error) == "a value of person.email (key 9) cannot be decrypted"
    assert error.__context__ is None
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def test_new_keys_are_seen_by_what_is_already_built() -> None:
    """
    A processor kept in a compiled statement seals with the keys of the moment.
    """
    keys = {1: bytes(range(32))}
    ring = KeyRing("test_cipher_moving", lambda: dict(keys))
    box = Box(ring, PLACE)
    seal, open_ = box.sealer(bytes, repr), box.opener(bytes)
    before = seal(b"a")
    keys[2] = bytes(range(50, 82))
    ring.prefetch()
    after = seal(b"a")
    assert (before[2:6], after[2:6]) == (b"\x00\x00\x00\x01", b"\x00\x00\x00\x02")
    assert open_(before) == open_(after) == b"a"


def test_a_destroyed_subject_leaves_noise() -> None:
    """
    Without the subject's key, or with another, the ring's keys are not enough.
    """
    box = Box(RING, PLACE)
    sealed = box.seal(b"x", subject=b"s" * 32)
    for subject in (None, lambda: None, lambda: b"t" * 32):
        with pytest.raises(DecryptionError):
            box.open(sealed, subject=subject)


def test_a_box_is_not_pickled() -> None:
    """
    Neither boxes nor snapshots of keys leave the process.
    """
    for each in (Box(RING, PLACE), RING.current()):
        with pytest.raises(EncryptionError):
            pickle.dumps(each)


def test_a_plaintext_that_does_not_decode_is_not_told() -> None:
    """
    A column whose type changed raises the one error, without the text of what was read.
    """
    box = Box(RING, PLACE)
    with pytest.raises(DecryptionError) as caught:
        box.opener(int)(box.seal(b"secret"))
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
