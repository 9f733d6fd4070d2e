from __future__ import annotations

import copy
import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from pgultra.errors import DeclarationError, DecryptionError, EncryptionError
from pgultra.features.encryption import Encrypted, Equality, KeyProvider, KeyRing, keys

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = bytes(range(32)), bytes(range(50, 82))
TEXT_ONE = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_the_last_key_seals() -> None:
    """
    The order of the keys says which one is active; ``active`` overrules it.
    """
    assert KeyRing("a", {1: ONE, 2: TWO}).current().active == 2
    assert KeyRing("a", {2: TWO, 1: ONE}).current().active == 1
    assert KeyRing("a", {2: TWO, 1: ONE}, active=2).current().active == 2


def test_a_ring_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The variable is read when a key is first needed, and names itself when it is missing.
    """
    ring = KeyRing.from_env("env", "TEST_KEYS")
    with pytest.raises(EncryptionError, match="TEST_KEYS is not set"):
        ring.current()
    monkeypatch.setenv("TEST_KEYS", f"{TEXT_ONE}, {KeyRing.generate(2)}")
    assert ring.current().keys[1] == ONE
    assert ring.current().active == 2


def test_a_ring_from_a_file(tmp_path: Path) -> None:
    """
    A line for each key.
    """
    path = tmp_path / "keys"
    ring = KeyRing.from_file("file", path)
    with pytest.raises(EncryptionError, match="cannot read"):
        ring.current()
    path.write_text(f"{TEXT_ONE}\n{KeyRing.generate(3)}\n")
    assert set(ring.current().keys) == {1, 3}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "is empty"),
        ({1: b"short"}, "at least 32"),
        ({1: b""}, "at least 32"),
        ({1: b"\x00" * 32}, "at least 32"),
        ({1: ONE, 2: ONE}, "are equal"),
        ({0: ONE}, "numbered"),
        ("1:AAAA", "at least 32"),
        ("1:%%%%", "at least 32"),
        ("nonsense", "entry 1 does not read"),
        (f"{TEXT_ONE},{TEXT_ONE}", "given twice"),
    ],
)
def test_weak_keys_are_refused(given: dict[int, bytes] | str, message: str) -> None:
    """
    Short, empty, doubled and malformed keys raise, without being shown.
    """
    with pytest.raises(DeclarationError, match=message) as caught:
        KeyRing("weak", given)
    assert "short" not in str(caught.value)
    assert "AAEC" not in str(caught.value)


def _no_vault() -> str:
    raise PermissionError("no token")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: "1:short", "key 1 must be at least 32 random bytes"),
        (lambda: "garbage", "entry 1 does not read like 1:BASE64"),
        (lambda: f"{TEXT_ONE},{TEXT_ONE}", "key 1 is given twice"),
        (lambda: b"x", "was given a value of type bytes"),
        (_no_vault, "its source failed with PermissionError"),
    ],
)
def test_keys_that_are_none_say_so_at_their_first_use(source: Any, message: str) -> None:
    """
    Writing, searching and reading tell what is wrong with the keys, and not with the value.
    """
    secret = Encrypted(sa.String, KeyRing("first use", source), search=Equality())
    table = sa.Table("reader", sa.MetaData(), sa.Column("email", secret))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    asked = sa.select(table).where(table.c.email == "ann").compile(dialect=dialect)
    [tag] = asked._bind_processors.values()
    for use, value in (
        (secret.bind_processor(dialect), "ann"),
        (tag, "ann"),
        (secret.result_processor(dialect, None), b"sealed"),
    ):
        with pytest.raises(EncryptionError, match=message):
            use(value)


def test_an_active_key_must_be_there() -> None:
    """
    ``active`` names a key of the ring.
    """
    with pytest.raises(DeclarationError, match="active key 3"):
        KeyRing("active", {1: ONE}, active=3)


def test_nothing_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    """
    Neither repr, log, pickle nor copy of a ring holds one.
    """
    ring = KeyRing("shown", {1: ONE})
    logging.getLogger("test").warning("%r %s %r", ring, ring, ring.current())
    texts = [caplog.text, repr(ring), repr(ring.current()), pickle.dumps(ring).decode("latin-1")]
    for text in texts:
        for secret in (ONE.decode("latin-1"), repr(ONE), ONE.hex(), TEXT_ONE[2:]):
            assert secret not in text
    assert pickle.loads(pickle.dumps(ring)) is ring
    assert copy.deepcopy(ring) is ring
    assert copy.copy(ring) is ring


def test_a_ring_is_found_by_its_name() -> None:
    """
    A pickle of a ring that this process has not defined says so.
    """
    raw = pickle.dumps(KeyRing("gone", {1: ONE}))
    keys._rings.pop("gone", None)
    with pytest.raises(EncryptionError, match="there is no key ring 'gone'"):
        pickle.loads(raw)


class Service:
    """
    A key management service that counts its calls.
    """

    calls = 0

    def wrap(self, key: bytes) -> bytes:
        return key[::-1]

    def unwrap(self, wrapped: bytes) -> bytes:
        self.calls += 1
        return wrapped[::-1]


def test_a_provider_is_asked_in_prefetch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While statements run only the cache is read, and it ends with its lifetime.
    """
    service, clock = Service(), [1000.0]
    assert isinstance(service, KeyProvider)
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock[0])
    ring = KeyRing.from_provider("kms", service, {1: service.wrap(ONE)}, lifetime=60)
    with pytest.raises(EncryptionError, match="prefetch"):
        ring.current()
    assert service.calls == 0
    ring.prefetch()
    assert ring.current().keys == {1: ONE}
    assert ring.current().keys == {1: ONE}
    assert service.calls == 1
    clock[0] += 61
    with pytest.raises(EncryptionError, match="prefetch"):
        ring.current()
    assert service.calls == 1


def test_bytes_that_stand_in_no_column() -> None:
    """
    They open under the same id and ring, after a rotation too, and nowhere else.
    """
    old = KeyRing("test_keys_loose_old", {1: bytes(range(32))})
    new = KeyRing("test_keys_loose", {1: bytes(range(32)), 2: bytes(range(40, 72))})
    sealed = old.encrypt(b"secret", id="report")
    assert b"secret" not in sealed
    assert new.decrypt(sealed, id="report") == b"secret"
    assert new.decrypt(new.encrypt(b"", id="report"), id="report") == b""
    other = KeyRing("test_keys_loose_other", {1: bytes(range(60, 92))})
    for ring, given, what in (
        (new, sealed, "letter"),
        (other, sealed, "report"),
        (new, sealed[:-1], "report"),
        (old, new.encrypt(b"secret", id="report"), "report"),
    ):
        with pytest.raises(DecryptionError) as caught:
            ring.decrypt(given, id=what)
        assert "secret" not in str(caught.value)
