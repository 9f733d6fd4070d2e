"""
Another implementation, written from docs/reference/encryption.md alone.

Nothing of the room is used to read: only the table of the page, and ``cryptography``.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
import json
import struct
import unicodedata
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from pgultra.features.encryption import Encrypted, Equality, KeyRing, Prefix
from tests.features.encryption import models

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from pgultra.features.encryption.search import Search

ROOTS = models.ROOTS | {3: bytes(range(60, 92)), 7: bytes(range(100, 132))}
RING = KeyRing("test_reference", ROOTS)


class Stranger:
    """
    Reads what is stored.

    Args:
        sealed: the value of the column.
        column: its pinned id.
        context: texts of the context columns.
        subject: the subject's key.
    """

    def __init__(
        self,
        sealed: bytes,
        column: str,
        context: tuple[str | None, ...] = (),
        subject: bytes = b"",
    ) -> None:
        version, kind, key, shape = struct.unpack_from(">BBIB", sealed)
        assert version == 1
        at, self.tags = 7, dict[int, bytes]()
        for _ in range(shape >> 6):
            (number,) = struct.unpack_from(">I", sealed, at)
            self.tags[number] = sealed[at + 4 : at + 4 + (shape & 0x3F)]
            at += 4 + (shape & 0x3F)
        bound = sealed[:at] + struct.pack(">H", len(column.encode())) + column.encode()
        bound += bytes([len(context)])
        for each in context:
            text = b"" if each is None else each.encode()
            bound += (b"\xff" * 4 if each is None else struct.pack(">I", len(text))) + text
        info = b"pgultra/encryption/1/data" + b"\x00" + bytes([kind & 0x0F]) + column.encode()
        material = ROOTS[key] + (subject if kind & 0x20 else b"")
        cipher = {1: AESGCM, 2: AESGCMSIV}[kind & 0x0F](
            HKDF(SHA256(), 32, None, info).derive(material)
        )
        self.plain = cipher.decrypt(sealed[at : at + 12], sealed[at + 12 :], bound)
        if kind & 0x10:
            self.plain = self.plain.rstrip(b"\x00")
            assert self.plain[-1:] == b"\x80"
            self.plain = self.plain[:-1]


def tag(key: int, domain: str, form: str, normal: bytes, bits: int = 128) -> bytes:
    """
    Give the tag as the page says.
    """
    info = b"pgultra/encryption/1/index" + b"\x00" + domain.encode() + b"\x00" + form.encode()
    index_key = HKDF(SHA256(), 32, None, info).derive(ROOTS[key])
    whole = int.from_bytes(hmac.new(index_key, normal, hashlib.sha256).digest()[:16])
    size = (bits + 7) // 8
    kept = whole >> (128 - bits) << (8 * size - bits)
    return kept.to_bytes(size)


class Colour(enum.Enum):
    RED = "r"


def named(case: Any) -> str | None:
    """
    A test's name, the same in every process: a function's text bears its address.
    """
    return None if callable(case) else str(case)[:40]


MOMENT = dt.datetime(2024, 2, 29, 23, 30, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
TYPES: list[tuple[Any, Any, Callable[[bytes], Any]]] = [
    (sa.String(), "Stra\u00dfe", lambda raw: raw.decode("utf-8")),
    (sa.Enum(Colour), Colour.RED, lambda raw: Colour[raw.decode()]),
    (sa.LargeBinary(), b"\x00\xff", bytes),
    (sa.Integer(), -(10**30), lambda raw: int(raw)),
    (sa.Numeric(), Decimal("-0.00100"), lambda raw: Decimal(raw.decode())),
    (sa.Float(), 0.1, lambda raw: float(raw)),
    (sa.Boolean(), False, lambda raw: {b"1": True, b"0": False}[raw]),
    (sa.Date(), MOMENT.date(), lambda raw: dt.date.fromisoformat(raw.decode())),
    (sa.Time(), MOMENT.time(), lambda raw: dt.time.fromisoformat(raw.decode())),
    (sa.Time(timezone=True), MOMENT.timetz(), lambda raw: dt.time.fromisoformat(raw.decode())),
    (sa.DateTime(timezone=True), MOMENT, lambda raw: dt.datetime.fromisoformat(raw.decode())),
    (sa.Interval(), dt.timedelta(-3, 5, 7), lambda raw: dt.timedelta(microseconds=int(raw))),
    (sa.Uuid(), uuid.UUID(int=2**100), lambda raw: uuid.UUID(bytes=raw)),
    (sa.JSON(), {"b": [1, None, "\u00fc"], "a": {}}, json.loads),
]


@pytest.mark.parametrize("algorithm", ["AES-256-GCM", "AES-256-GCM-SIV"])
@pytest.mark.parametrize("padding", [None, 64])
@pytest.mark.parametrize(("type_", "value", "read"), TYPES, ids=named)
def test_values_of_every_type(
    type_: Any, value: Any, read: Any, padding: int | None, algorithm: Any
) -> None:
    """
    A stranger opens and decodes what was sealed.
    """
    of = Encrypted(type_, RING, id="a.b", padding=padding, algorithm=algorithm)
    found = read(Stranger(of.seal(value), "a.b").plain)
    assert (found, type(found)) == (value, type(value))


FORMS: list[tuple[Search, str, Callable[[str], str], int]] = [
    (Equality(), "eq", str, 128),
    (Equality(normalize="nfkc"), "nfkc,eq", lambda t: unicodedata.normalize("NFKC", t), 128),
    (Equality(normalize="strip"), "strip,eq", str.strip, 128),
    (Equality(bits=12), "eq12", str, 12),
    (Equality(bits=8), "eq8", str, 8),
    (Prefix(3), "prefix3", lambda t: t[:3], 128),
    (
        Prefix(2, normalize=("strip", "nfkc")),
        "strip,nfkc,prefix2",
        lambda t: unicodedata.normalize("NFKC", t.strip())[:2],
        128,
    ),
]


@pytest.mark.parametrize(("search", "form", "normal", "bits"), FORMS, ids=named)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_tags_of_every_search(
    search: Any, form: str, normal: Callable[[str], str], bits: int, text: str
) -> None:
    """
    A stranger with the index key finds the same tag.
    """
    of = Encrypted(sa.String(), RING, id="a.b", search=search)
    stranger = Stranger(of.seal(text), "a.b")
    assert stranger.plain.decode() == text
    assert stranger.tags == {1: tag(1, "a.b", form, normal(text).encode(), bits)}


def test_two_tags_domains_and_types() -> None:
    """
    Tags of two keys, of a named domain, and of numbers and times that are equal in several spellings.
    """
    search = Equality(domain="money", keys=(3, 1))
    for value, normal in (
        (Decimal("12.300"), b"123E-1"),
        (Decimal(-400), b"-4E2"),
        (Decimal("0.0"), b"0"),
    ):
        of = Encrypted(sa.Numeric(), RING, id="a.b", search=search)
        stranger = Stranger(of.seal(value), "a.b")
        assert stranger.tags == {key: tag(key, "money", "eq", normal) for key in (3, 1)}
    of = Encrypted(sa.Time(timezone=True), RING, id="a.b", search=search)
    microseconds = (21 * 60 + 30) * 60 * 10**6 + 5
    stranger = Stranger(of.seal(MOMENT.timetz()), "a.b")
    assert stranger.tags[3] == tag(3, "money", "eq", b"%dZ" % microseconds)


def test_rows_as_they_are_stored(session: Session) -> None:
    """
    Context and subject, read from the table by plain SQL.
    """
    models.CUSTOMERS.ensure(session.connection(), 17)
    session.add(models.Parcel(id=1, customer=17, address="Main Street"))
    session.add(models.Account(id=uuid.UUID(int=9), tenant=4, iban="GB33"))
    session.flush()
    subject, key = session.execute(sa.text("SELECT subject, key FROM customer_key")).one()
    (address,) = session.execute(sa.text("SELECT address FROM parcel")).one()
    (iban,) = session.execute(sa.text("SELECT iban FROM account")).one()
    opened = Stranger(key, "customer_key.key", (subject,)).plain
    assert Stranger(address, "parcel.address", ("17",), opened).plain == b"Main Street"
    assert Stranger(iban, "account.iban", ("4", str(uuid.UUID(int=9)))).plain == b"GB33"
